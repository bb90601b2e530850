"""Small pieces of text are gathered in the log's tail: readers notice nothing of it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from event_log import Log, counted, on_a_server, recounted
from stepwire_core.log import reader
from stepwire_core.log.entries import events_of_entry
from stepwire_core.log.event_log import Batch, LogTail
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.documents import Snapshot
from stepwire_core.wire.events import Event, NewEvent, delta_event, remove_event, step_event

pytestmark = [pytest.mark.anyio, pytest.mark.slow, on_a_server]

LARGE = "large " * 100


def seen(event: NewEvent) -> tuple[str, str]:
    """Its type and data, as a reader gets them."""
    if event.type != "step.delta":
        return event.type, event.payload
    more = ',"replace":true' if event.op == "replace_text" else ""
    text = f'"text":"{event.payload}"{more}'
    return event.type, f'{{"id":"{event.id}","field":"{event.parent}",{text}}}'


async def events_after(log: Log, after: Cursor) -> list[Event]:
    """All events after a cursor, which the log must still have."""
    events: list[Event] = []
    while True:
        read = await log.log.read(log.session_id, after)
        assert isinstance(read, LogTail)
        assert (not read.events) == (after == read.top)
        if not read.events:
            return events
        events += read.events
        after = read.events[-1].cursor


async def entries(log: Log) -> int:
    length: int = await log.redis.xlen(SessionKeys.of(log.session_id).log)
    return length


async def put_one_by_one(log: Log, *events: NewEvent) -> Cursor:
    for event in events:
        await log.put(event)
    return (await log.put()).top


async def put_words(log: Log, count: int) -> Cursor:
    return await put_one_by_one(log, log.start("a"), *[delta_event("a", "word ")] * count)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_stored_in_whatever_batches_reads_the_same_from_every_cursor(
    log: Log, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(reader, "READ_BYTES", chance.choice([300, 5_000, 256 * 1024]))
    monkeypatch.setattr(reader, "READ_EVENTS", chance.choice([20, 100, 500]))
    log.log._settings = log.settings.model_copy(update={"log_max_events": 10_000})
    stored: list[tuple[str, str]] = []
    steps = [f"step{number}" for number in range(chance.choice([1, 3, 80]))]
    starts = [log.start(step) for step in steps]
    epoch = (await log.put(*starts)).top.epoch
    stored += map(seen, starts)
    for _ in range(25):
        batch = [
            _any_event(log, chance, chance.choice(steps))
            for _ in range(chance.choice([1, 1, 2, 30]))
        ]
        await log.put(*batch)
        stored += map(seen, batch)
        cursor = Cursor(epoch, chance.randint(0, len(stored)))
        read = await events_after(log, cursor)
        assert [(event.type, event.data) for event in read] == stored[cursor.seq :]
        assert [event.cursor.seq for event in read] == list(range(cursor.seq + 1, len(stored) + 1))
        assert {event.run_id for event in read} <= {"run"}
        assert all(json.loads(event.data) for event in read)


def _any_event(log: Log, chance: random.Random, step: str) -> NewEvent:
    text = chance.choice(["a ", "", "=b", '"\n\\', "\ud83d", "ünï", LARGE])
    match chance.randrange(12):
        case 0:
            return delta_event(step, text, replace=True)
        case 1:
            return step_event("step.update", log.step(step, output=text.replace("\ud83d", "")))
        case 2:
            return delta_event(step, text, field="input")
        case _:
            return delta_event(step, text)


async def test_pieces_that_come_one_by_one_share_entries(log: Log) -> None:
    await put_one_by_one(log, log.start("a"), *[delta_event("a", f"{n} ") for n in range(450)])
    assert await entries(log) == 1 + 4
    assert "tail" in await log.keys()
    await log.put(step_event("step.end", log.step("a", output="whole", status="ok")))
    assert await entries(log) == 1 + 4 + 1 + 1
    assert "tail" not in await log.keys()


async def test_pieces_of_several_runs_keep_their_run(log: Log) -> None:
    await log.put(log.start("a"))
    other = Batch(log.session_id, [delta_event("a", "theirs")], run_id="other", attempt=1)
    unplaced = replace(other, run_id="", attempt=0)
    for _ in range(3):
        await log.put(delta_event("a", "ours"))
        await log.log.append(other)
        await log.log.append(unplaced)
        await log.log.append(unplaced)
    read = await events_after(log, Cursor((await log.put()).top.epoch, 1))
    assert [event.run_id for event in read] == ["run", "other", "", ""] * 3
    keys = await log.redis.hkeys(SessionKeys.of(log.session_id).meta)  # type: ignore[misc]
    assert b"p:" not in keys


async def test_of_a_call_that_overlaps_only_the_new_piece_is_stored(log: Log) -> None:
    await put_one_by_one(log, log.start("a"), delta_event("a", "x"), delta_event("a", "y"))
    log.written -= 1
    assert (await log.put(delta_event("a", "y"), delta_event("a", "z"))).stored == 1
    await log.put(delta_event("a", "!"))
    assert await log.outputs() == {"a": "xyz!"}


async def test_pieces_keep_their_session_alive_and_count_for_it(log: Log) -> None:
    await put_one_by_one(log, log.start("a"), delta_event("a", "x"), delta_event("a", "y"))
    keys = SessionKeys.of(log.session_id)
    names = await log.redis.keys(f"*{log.session_id}*")
    expires: Any = await log.redis.execute_command("PEXPIRETIME", keys.meta)
    soon = expires - log.settings.session_ttl_s * 1000
    await log.redis.hset(keys.meta, "expires", str(soon))  # type: ignore[misc]
    for name in names:
        await log.redis.pexpireat(name, soon)
    await log.put(delta_event("a", "z"))
    for name in names:
        moved_to: Any = await log.redis.execute_command("PEXPIRETIME", name)
        assert moved_to >= expires
    await put_one_by_one(log, *[delta_event("a", "more")] * 10)
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)


async def test_pieces_may_be_of_any_number_of_steps(log: Log) -> None:
    steps = [f"step{number}" for number in range(90)]
    await log.put(*map(log.start, steps))
    top = await put_one_by_one(log, *[delta_event(step, step) for step in steps])
    read = await events_after(log, Cursor(top.epoch, top.seq - 90))
    assert [json.loads(event.data)["id"] for event in read] == steps


@pytest.mark.parametrize("pieces", [5, 150])
async def test_text_after_a_removal_makes_no_event(log: Log, pieces: int) -> None:
    await put_one_by_one(log, log.start("a"), *[delta_event("a", "x")] * pieces, remove_event("a"))
    assert (await log.put(delta_event("a", "late"))).stored == 0
    top = (await log.put(log.start("a"), delta_event("a", "again"))).top
    read = await events_after(log, Cursor(top.epoch, 0))
    assert [event.type for event in read] == [
        "step.start",
        *["step.delta"] * pieces,
        "step.remove",
        "step.start",
        "step.delta",
    ]
    assert await log.outputs() == {"a": "again"}


@pytest.mark.parametrize("pieces", [0, 1, 50])
@pytest.mark.parametrize("ahead", [1, 3, 1000])
async def test_a_reader_ahead_of_the_log_gets_the_state_also_while_text_is_streaming(
    log: Log, pieces: int, ahead: int
) -> None:
    """A server that came back without its newest events must not leave a reader waiting."""
    top = await put_words(log, pieces)
    read = await log.log.read(log.session_id, Cursor(top.epoch, top.seq + ahead))
    assert isinstance(read, Snapshot)
    assert read.cursor == str(top)
    assert read.steps[0].output == "word " * pieces


@pytest.mark.parametrize("behind", [1, 30, 130])
async def test_a_read_hands_over_events_up_to_its_limit_and_none_of_them_twice(
    log: Log, behind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.log._settings = log.settings.model_copy(update={"log_max_events": 10_000})
    top = await put_words(log, 1_999)
    after, parsed, limit = Cursor(top.epoch, behind), 0, reader.READ_EVENTS
    parse = events_of_entry

    def counting(entry: Any) -> list[Event]:
        nonlocal parsed
        events = parse(entry)
        parsed += len(events)
        return events

    monkeypatch.setattr(reader, "events_of_entry", counting)
    reads = 0
    while after != top:
        read = await log.log.read(log.session_id, after)
        assert isinstance(read, LogTail)
        assert 0 < len(read.events) <= limit
        assert read.events[0].cursor.seq == after.seq + 1
        after = read.events[-1].cursor
        reads += 1
    assert reads <= 5
    # The first read may begin within an entry.
    assert 0 <= parsed - (top.seq - behind) < 100


@pytest.mark.parametrize("more", [0, 1, 97, 98, 99, 250])
async def test_a_tail_that_is_lost_is_a_gap_and_no_silence(log: Log, more: int) -> None:
    await put_one_by_one(log, log.start("a"), delta_event("a", "x"), delta_event("a", "x"))
    await log.redis.delete(f"{SessionKeys.of(log.session_id).channel}:tail")
    top = await put_one_by_one(log, *[delta_event("a", "y")] * more)
    for seq in 0, 1, 2:
        events, after = [], Cursor(top.epoch, seq)
        while isinstance(read := await log.log.read(log.session_id, after), LogTail):
            assert read.events
            events += [event.cursor.seq for event in read.events]
            after = read.events[-1].cursor
        assert events == [1][seq:]
    assert await log.outputs() == {"a": "xx" + "y" * more}
    top = (await log.put(log.start("b"), delta_event("a", "z"))).top
    assert len(await events_after(log, Cursor(top.epoch, top.seq - 2))) == 2


async def test_the_log_keeps_as_many_events_as_it_is_told_however_they_are_stored(log: Log) -> None:
    """And not many more: whole nodes of the stream go, of 4 KiB."""
    top = await put_words(log, 2_000)
    assert len(await events_after(log, Cursor(top.epoch, top.seq - 100))) == 100
    assert isinstance(
        await log.log.read(log.session_id, Cursor(top.epoch, top.seq - 1_200)), Snapshot
    )


async def test_pieces_count_for_the_bytes_of_the_log_what_they_take(log: Log) -> None:
    update = {"log_max_events": 10_000, "log_max_bytes": 20_000}
    log.log._settings = log.settings.model_copy(update=update)
    top = await put_words(log, 2_500)
    assert len(await events_after(log, Cursor(top.epoch, top.seq - 1_300))) == 1_300
    await put_words(log, 500)
    assert isinstance(await log.log.read(log.session_id, Cursor(top.epoch, 1)), Snapshot)


async def test_a_new_epoch_begins_without_the_old_tail(log: Log) -> None:
    old = await put_one_by_one(log, log.start("a"), delta_event("a", "x"), delta_event("a", "y"))
    await log.lose_the_life()
    await log.put()
    new = (await log.put(delta_event("a", "z"))).top
    assert isinstance(await log.log.read(log.session_id, old), Snapshot)
    assert len(await events_after(log, Cursor(new.epoch, new.seq - 1))) == 1
    assert isinstance(await log.log.read(log.session_id, Cursor(new.epoch, new.seq - 2)), Snapshot)
    assert await log.outputs() == {"a": "xyz"}
