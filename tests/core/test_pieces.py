"""A large state is read in pieces while it changes: the result is what it was at one instant."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from event_log import Log, on_a_server
from stepwire_core.log import pieces
from stepwire_core.redis.commands import Call
from stepwire_core.values.clock import now
from stepwire_core.wire.documents import AskDocument, FeedbackDocument
from stepwire_core.wire.events import (
    NewEvent,
    ask_event,
    delta_event,
    element_remove_event,
    feedback_event,
    remove_event,
    step_event,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow, on_a_server]

STEPS = 700
"""More than one call reads."""


async def fill(log: Log) -> None:
    for start in range(0, STEPS, 100):
        await log.put(*(log.start(f"s{number}") for number in range(start, start + 100)))
    await log.put(*(log.element(f"e{number}", f"s{number}") for number in range(50)))


def an_ask(log: Log, ask_id: str, step_id: str) -> AskDocument:
    return AskDocument(
        id=ask_id,
        session_id=log.session_id,
        run_id="run",
        attempt=1,
        step_id=step_id,
        kind="text",
        expires_at=now(),
        started_at=now(),
        ts=now(),
    )


def change(log: Log, draw: random.Random, number: int) -> list[NewEvent]:
    step = f"s{draw.randrange(STEPS)}"
    match draw.randrange(8):
        case 0:
            return [log.start(f"new{number}", step), delta_event(f"new{number}", "begun")]
        case 1:
            return [step_event("step.end", log.step(step, output="over", status="ok"))]
        case 2:
            return [step_event("step.update", log.step(step, f"s{draw.randrange(STEPS)}"))]
        case 3:
            return [delta_event(step, f"{number} "), delta_event(step, "and on ")]
        case 4:
            return [element_remove_event(f"e{draw.randrange(50)}")]
        case 5:
            return [log.element(f"e{draw.randrange(60)}", step)]
        case 6:
            value: Literal[0, 1] | None = draw.choice([1, 0, None])
            return [feedback_event(FeedbackDocument(step_id=step, value=value, ts=now()))]
        case _:
            return [ask_event(an_ask(log, f"a{number}", step))]


def between(
    log: Log, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[object]]
) -> list[int]:
    """Do something after each piece; how many there were."""
    read, count = log.store.read, [0]

    async def reading(*calls: Call) -> list[Any]:
        replies = await read(*calls)
        if calls[0].words[0] == "HSCAN":
            count[0] += 1
            await work()
        return replies

    monkeypatch.setattr(log.store, "read", reading)
    return count


async def in_one_call(log: Log) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "TRIES", 0)
        return await log.snapshot()


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_read_in_pieces_is_what_one_call_reads(
    log: Log, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    await fill(log)
    draw = random.Random(seed)
    number = 0

    async def write() -> None:
        nonlocal number
        for _ in range(4):
            number += 1
            await log.put(*change(log, draw, number))

    monkeypatch.setattr(pieces, "_PIECE_FIELDS", 60)
    calls = between(log, monkeypatch, write)
    snapshot = await log.snapshot()
    assert calls[0] > 3
    assert snapshot == await in_one_call(log)


async def test_a_removal_meanwhile_begins_the_reading_anew(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(log)
    await log.put(log.start("child", "s3"), log.start("grandchild", "child"))
    removed = False

    async def remove() -> None:
        nonlocal removed
        if not removed:
            removed = True
            await log.put(remove_event("s3"))

    between(log, monkeypatch, remove)
    snapshot = await log.snapshot()
    assert not {"s3", "child", "grandchild"} & {step.id for step in snapshot.steps}
    assert snapshot == await in_one_call(log)


async def test_a_log_that_does_not_reach_back_to_the_first_piece_is_no_obstacle(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(log)

    async def write() -> None:
        for number in range(3):
            await log.put(*(log.start(f"w{number}-{each}") for each in range(100)))

    between(log, monkeypatch, write)
    snapshot = await log.snapshot()
    assert len(snapshot.steps) == STEPS + 300
    assert snapshot == await in_one_call(log)


async def test_a_large_state_is_never_read_in_one_call(log: Log) -> None:
    await fill(log)
    before = (await log.redis.info("commandstats")).get("cmdstat_hgetall", {"calls": 0})
    await log.snapshot()
    after = (await log.redis.info("commandstats")).get("cmdstat_hgetall", {"calls": 0})
    assert before["calls"] == after["calls"]
