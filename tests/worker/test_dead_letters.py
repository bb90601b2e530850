"""Dead letters: none is missed, whatever is away and in whatever order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from bench import Bench
from event_log import client_of
from stepwire._handlers.registry import collecting
from stepwire._runs.runner import Runner
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import StoreUnavailable
from stepwire_core.log.repeat import replay
from stepwire_core.queue.dead_letters import DeadLetter, DeadLetters
from stepwire_core.queue.listing import read_queue
from stepwire_core.queue.run_queue import RunQueue, open_queue
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
def queue_server() -> Iterator[EmbeddedServer]:
    with embedded_server(append_only=True) as running:
        yield running


@pytest.fixture
async def queue(settings: Settings, queue_server: EmbeddedServer) -> AsyncIterator[RunQueue]:
    settings = settings.model_copy(update={"queue_url": queue_server.url})
    async with open_queue(settings) as queue:
        yield queue


@pytest.fixture
def letters(settings: Settings, queue: RunQueue) -> DeadLetters:
    return DeadLetters(queue.store, settings)


@pytest.fixture
def key(settings: Settings) -> str:
    """Where the letters are, by the time of their burial."""
    return f"{settings.queue_name}:dead"


async def added_at(queue: RunQueue, key: str, letter: DeadLetter) -> float:
    at: float | None = await client_of(queue.store).zscore(key, letter.request.run_id)
    assert at is not None
    return at


def failing(bench: Bench, letters: DeadLetters) -> tuple[Runner, RunRequest]:
    async def handler() -> None:
        raise ValueError("no luck")

    with collecting() as handlers:
        handlers.add("task", handler)
    runner = Runner(handlers, bench.log, bench.publisher, bench.settings, dead_letters=letters)
    return runner, RunRequest(session_id=bench.session_id, run_id=new_id(), handler="task")


async def run_ids(letters: DeadLetters) -> list[str]:
    return [letter.request.run_id for letter in await letters.newest(10)]


async def test_a_run_that_fails_while_the_queue_is_away_is_a_dead_letter_when_its_job_comes_back(
    bench: Bench, letters: DeadLetters, queue_server: EmbeddedServer
) -> None:
    runner, request = failing(bench, letters)
    queue_server.kill()
    with pytest.raises(StoreUnavailable):
        await runner.execute(request)
    ended = (await bench.snapshot()).run(request.run_id)
    assert ended is not None
    assert ended.status == "error"
    queue_server.start()
    assert await run_ids(letters) == []
    await runner.execute(request, tried=1)
    [letter] = await letters.newest(10)
    assert (letter.request, letter.error, letter.attempts) == (request, ended.error, 1)


async def test_a_request_that_is_repeated_does_not_bring_back_a_letter_that_was_taken_off(
    bench: Bench, letters: DeadLetters
) -> None:
    runner, request = failing(bench, letters)
    await runner.execute(request)
    assert await run_ids(letters) == [request.run_id]
    await letters.forget_session(bench.session_id)
    await runner.execute(request, tried=0)
    assert await run_ids(letters) == []


async def test_a_run_that_is_added_twice_is_one_letter_and_keeps_its_place(
    bench: Bench, letters: DeadLetters, queue: RunQueue, key: str
) -> None:
    first = await _dead_letter(letters, bench.session_id)
    second = await _dead_letter(letters, bench.session_id)
    await letters.add(first)
    assert sorted(await run_ids(letters)) == sorted([first.request.run_id, second.request.run_id])
    assert await added_at(queue, key, first) <= await added_at(queue, key, second)


async def test_a_retry_that_is_repeated_makes_one_run(
    bench: Bench, letters: DeadLetters, queue: RunQueue
) -> None:
    """As after one that was cut off, or when two people ask for it at once."""
    letter = await _dead_letter(letters, bench.session_id)
    runs = {await replay(letter, letters, bench.log, queue) for _ in range(2)}
    [queued] = await read_queue(queue.store, bench.settings.queue_name, 10)
    assert runs == {queued.run_id}
    assert queued.run_id != letter.request.run_id
    assert await run_ids(letters) == []


async def test_letters_are_kept_for_their_time_and_no_longer(
    bench: Bench, queue: RunQueue, key: str
) -> None:
    settings = bench.settings.model_copy(update={"dead_letters_ttl_s": 60})
    letters = DeadLetters(queue.store, settings)
    old = await _dead_letter(letters, bench.session_id)
    assert 0 < await client_of(queue.store).pttl(key) <= 60_000
    # As if it had been added an hour ago.
    at = await added_at(queue, key, old)
    await client_of(queue.store).zadd(key, {old.request.run_id: at - 3_600_000})
    assert await run_ids(letters) == []
    new = await _dead_letter(letters, bench.session_id)
    assert await run_ids(letters) == [new.request.run_id]
    assert await letters.get(old.request.run_id) is None


async def _dead_letter(letters: DeadLetters, session_id: str) -> DeadLetter:
    letter = DeadLetter(
        request=RunRequest(session_id=session_id, run_id=new_id(), handler="task"),
        status="error",
        error=None,
        attempts=1,
        ended_at="2026-01-01T00:00:00.000Z",
    )
    await letters.add(letter)
    return letter
