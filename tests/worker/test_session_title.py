"""``cl.session_title``: what lists of sessions show."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

import stepwire as cl
from bench import Bench
from stack import wait_until
from stepwire._handlers.registry import collecting
from stepwire._runs.runner import Runner
from stepwire_core.errors import InvalidArgument, NoActiveSession
from stepwire_core.log.session_index import SessionIndex
from stepwire_core.redis.keys import INDEX
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.session_entry import SessionEntry

pytestmark = pytest.mark.anyio


async def entry(bench: Bench) -> SessionEntry:
    """As the session's own values say, once the index has heard of it."""
    with Redis.from_url(bench.settings.redis_url) as redis:

        def is_listed() -> bool:
            return redis.zscore(f"{INDEX}time", bench.session_id) is not None

        await asyncio.to_thread(wait_until, is_listed, "the index has heard of it")
    [found] = await SessionIndex(bench.log.store, bench.settings).entries([bench.session_id])
    assert isinstance(found, SessionEntry)
    return found


async def test_the_last_title_stays_and_makes_no_event(bench: Bench) -> None:
    async def handler() -> None:
        cl.session_title("A draft")
        cl.session_title("  Trip to\nRome\u202e ")

    assert (await bench.run(handler)).status == "ok"
    assert await bench.types() == ["run.start", "run.end"]
    assert (await entry(bench)).title == "Trip to Rome"


async def test_a_long_title_is_cut_off_with_a_mark(bench: Bench) -> None:
    def handler() -> None:
        cl.session_title("é" * 1_000)

    assert (await bench.run(handler)).status == "ok"
    assert (await entry(bench)).title == "é" * 199 + "…"


@pytest.mark.parametrize("title", ["", " \n", "\u200b", None, 7])
async def test_a_title_that_cannot_be_shown_is_refused(bench: Bench, title: str) -> None:
    refused: list[str] = []

    async def handler() -> None:
        with pytest.raises(InvalidArgument) as raised:
            cl.session_title(title)
        refused.append(str(raised.value))

    assert (await bench.run(handler)).status == "ok"
    assert "title" in refused[0]


async def test_outside_a_session_there_is_nothing_to_give_a_title() -> None:
    with pytest.raises(NoActiveSession, match="session_title"):
        cl.session_title("x")


async def test_a_run_lists_its_session_and_its_subject(bench: Bench) -> None:
    async def handler() -> None:
        return

    await bench.run(handler)
    assert (await entry(bench)).status == "ok"
    # The session has no subject; the run knows one.
    request = RunRequest(
        session_id=bench.session_id, run_id="second", handler="task", subject="ada"
    )
    with collecting() as handlers:
        handlers.add("task", handler)
    await Runner(handlers, bench.log, bench.publisher, bench.settings).execute(request)
    assert (await entry(bench)).subject == "ada"


async def test_an_index_that_cannot_be_written_to_costs_a_run_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    redis = bench.log.store.redis  # type: ignore[attr-defined]
    # It is of another kind now, so the server refuses what is written to it.
    kept = await redis.dump(f"{INDEX}ids")
    await redis.set(f"{INDEX}ids", "in the way")
    try:

        async def handler() -> None:
            await cl.Message("hello").send()

        assert (await bench.run(handler)).status == "ok"
        said = "the list of sessions is behind"
        await asyncio.to_thread(wait_until, lambda: said in caplog.text, "it is said")
    finally:
        await redis.delete(f"{INDEX}ids")
        if kept:
            await redis.restore(f"{INDEX}ids", 0, kept)
