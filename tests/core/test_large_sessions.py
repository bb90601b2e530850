"""The work of a call grows with its subject, not with the session: counted in commands."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from event_log import Log, counted, on_a_server, recounted
from stepwire_core.log.event_log import EventLog, LogTail
from stepwire_core.redis.commands import Call
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.standalone import StandaloneStore
from stepwire_core.wire.events import NewEvent, element_remove_event, remove_event, step_event

pytestmark = [pytest.mark.anyio, pytest.mark.slow, on_a_server]

MOST_COMMANDS = 6_000
"""Of one call; each takes the server about half a microsecond."""


async def commands(redis: Redis) -> dict[str, int]:
    """How often each command has been called, those in scripts included."""
    stats = await redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


class Counting(StandaloneStore):
    """A store that notes the commands which each call has made the server execute."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, "counting")
        self.calls: list[dict[str, int]] = []

    async def call(self, call: Call, *, within_s: float | None = None) -> Any:
        before = await commands(self.redis)
        reply = await super().call(call, within_s=within_s)
        after = await commands(self.redis)
        names = after.keys() - {"info", "evalsha"}
        self.calls.append({name: after[name] - before.get(name, 0) for name in names})
        return reply


async def fill(log: Log, events: Sequence[NewEvent]) -> None:
    for start in range(0, len(events), 500):
        await log.put(*events[start : start + 500])


async def remove(log: Log, step_id: str) -> list[dict[str, int]]:
    counting = Counting(log.redis)
    await EventLog(counting, log.settings).append(log.batch(remove_event(step_id)))
    log.written += 1
    return counting.calls


async def test_removing_a_step_looks_at_nothing_but_what_is_below_it(log: Log) -> None:
    await fill(log, [log.start(f"s{number}") for number in range(2_000)])
    await log.put(log.start("below", "s7"), log.element("file", "below"))
    [call] = await remove(log, "s7")
    assert sum(call.values()) < 60
    assert call.get("hgetall", 0) == 0
    left = {step.id for step in (await log.snapshot()).steps}
    assert left == {f"s{number}" for number in range(2_000)} - {"s7"}
    assert await log.elements() == []


def flat(number: int) -> str:
    return "root"


def chain(number: int) -> str:
    return f"s{number - 1}" if number else "root"


def bushy(number: int) -> str:
    return f"s{number // 40}" if number >= 40 else "root"


@pytest.mark.parametrize("parent", [flat, chain, bushy])
async def test_what_is_much_is_removed_in_calls_that_are_short(log: Log, parent: Any) -> None:
    await log.put(log.start("root"), log.start("other"))
    await fill(log, [log.start(f"s{number}", parent(number)) for number in range(3_000)])
    top = (await log.put(log.start("last", "other"))).top
    calls = await remove(log, "root")
    assert all(sum(call.values()) < MOST_COMMANDS for call in calls)
    assert len(calls) != 1
    assert {step.id for step in (await log.snapshot()).steps} == {"other", "last"}
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)
    assert not await log.redis.hexists(SessionKeys.of(log.session_id).meta, "pruning")  # type: ignore[misc]
    read = await log.log.read(log.session_id, top)
    if isinstance(read, LogTail) and read.events:
        assert {event.type for event in read.events} == {"step.remove"}


async def test_events_before_and_after_a_long_removal_are_stored_once(log: Log) -> None:
    await log.put(log.start("root"))
    await fill(log, [log.start(f"s{number}", "root") for number in range(1_500)])
    appended = await log.put(
        log.start("before"), remove_event("root"), log.start("after", "before")
    )
    snapshot = await log.snapshot()
    assert [step.id for step in snapshot.steps] == ["before", "after"]
    assert snapshot.cursor == str(appended.top)
    repeated = await log.put(log.start("next"))
    assert repeated.stored == 1


async def test_steps_whose_parents_point_in_a_circle_can_be_removed(log: Log) -> None:
    await fill(log, [log.start(f"s{number}", chain(number)) for number in range(1_200)])
    await log.put(step_event("step.update", log.step("s0", "s1199")))
    await log.put(remove_event("s5"))
    assert (await log.snapshot()).steps == []


async def test_a_step_with_very_many_elements_can_be_removed(log: Log) -> None:
    await log.put(log.start("root"))
    await fill(log, [log.element(f"e{number}", "root") for number in range(1_500)])
    await log.put(remove_event("root"))
    assert await log.elements() == []
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)


async def test_a_session_without_an_index_gets_one_when_a_step_is_removed(log: Log) -> None:
    await log.put(log.start("a"), log.start("b", "a"), log.start("c", "b"), log.start("d"))
    keys = SessionKeys.of(log.session_id)
    # As an older version has left it.
    await log.redis.hdel(keys.state, "k:a", "k:b")  # type: ignore[misc]
    await log.redis.hdel(keys.meta, "kids")  # type: ignore[misc]
    await log.put(log.start("e", "c"))
    await log.put(remove_event("b"))
    assert {step.id for step in (await log.snapshot()).steps} == {"a", "d"}
    await log.put(log.start("f", "d"), log.element("file", "f"))
    await log.put(remove_event("d"))
    assert {step.id for step in (await log.snapshot()).steps} == {"a"}
    assert await log.elements() == []


async def index_of(log: Log) -> dict[str, list[str]]:
    """What belongs to a step, by the index."""
    state: Any = await log.redis.hgetall(SessionKeys.of(log.session_id).state)  # type: ignore[misc]
    index: defaultdict[str, list[str]] = defaultdict(list)
    for field, value in state.items():
        name = field.decode()
        if name.startswith("k:"):
            index[name[2:].partition(" ")[0]] += value.decode().split(" ")[2:-1]
    return {parent: sorted(fields) for parent, fields in index.items() if fields}


async def looked_up(log: Log) -> dict[str, list[str]]:
    """The same, by looking at everything."""
    state: Any = await log.redis.hgetall(SessionKeys.of(log.session_id).state)  # type: ignore[misc]
    below: defaultdict[str, list[str]] = defaultdict(list)
    for field, value in state.items():
        parent = value.decode().split(" ")[1]
        if not field.startswith(b"k:") and parent != "-":
            below[parent].append(field.decode())
    return {parent: sorted(fields) for parent, fields in below.items()}


@pytest.mark.parametrize("seed", range(3))
async def test_the_index_has_what_the_state_has_whatever_comes_and_goes(
    log: Log, seed: int
) -> None:
    draw = random.Random(seed)
    ids = [f"a-step-with-a-long-name-{number}" for number in range(400)]
    for _ in range(60):
        events: list[NewEvent] = []
        for _ in range(40):
            one, other = draw.choice(ids), draw.choice([None, *ids[:2] * 3, draw.choice(ids)])
            match draw.randrange(8):
                case 0 if draw.random() < 0.3:
                    events.append(remove_event(one))
                case 1:
                    events.append(log.element(f"e-{one}", other))
                case 2:
                    events.append(element_remove_event(f"e-{one}"))
                case _:
                    events.append(log.start(one, other))
        await log.put(*events)
    assert await index_of(log) == await looked_up(log)
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)
    for number in draw.sample(ids, 200):
        await log.put(remove_event(number))
    assert await index_of(log) == await looked_up(log)
