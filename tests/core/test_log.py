"""The event log: guarantees 1, 2 and 3 of the README, on a real server and on fakeredis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from documents import a_run
from event_log import Log
from stepwire_core.errors import (
    ElementNotFound,
    IdConflict,
    ProtocolViolation,
    RunEnded,
    RunFenced,
    RunNotFound,
    SessionNotFound,
    StateChanged,
)
from stepwire_core.log.event_log import Batch, LogTail, events_of_message
from stepwire_core.log.script_calls import Expected
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.storage.redis_store import Files
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.choices.settings_form import changed_events, settings_form
from stepwire_core.wire.documents import Snapshot
from stepwire_core.wire.events import (
    NewEvent,
    delta_event,
    element_event,
    element_remove_event,
    remove_event,
    run_end_event,
    run_start_event,
    step_event,
)

pytestmark = pytest.mark.anyio


async def test_ids_are_dense_from_one_within_an_epoch(log: Log) -> None:
    await log.put(log.start("a"))
    await log.put(log.start("b"), delta_event("b", "x"))
    tail = await log.log.read(log.session_id, Cursor((await log.put()).top.epoch, 0))
    assert isinstance(tail, LogTail)
    assert [event.cursor.seq for event in tail.events] == [1, 2, 3]
    assert tail.top == tail.events[-1].cursor


async def test_a_repeated_batch_is_stored_once(log: Log) -> None:
    batch = log.batch(log.start("a"), delta_event("a", "x"))
    first = await log.log.append(batch)
    again = await log.log.append(batch)
    assert (first.stored, again.stored) == (2, 0)
    assert first.top == again.top
    assert await log.outputs() == {"a": "x"}


async def test_of_a_batch_that_overlaps_only_the_new_part_is_stored(log: Log) -> None:
    await log.put(log.start("a"))
    log.written = 0
    appended = await log.put(log.start("a"), delta_event("a", "x"))
    assert appended.stored == 1
    assert await log.outputs() == {"a": "x"}


async def test_a_hole_in_a_producers_sequence_is_refused_and_nothing_is_written(log: Log) -> None:
    await log.put(log.start("a"))
    before = await log.snapshot()
    log.written += 1
    with pytest.raises(ProtocolViolation, match="which has"):
        await log.put(delta_event("a", "lost the one before"))
    assert await log.snapshot() == before


async def test_a_batch_with_an_unknown_operation_writes_nothing(log: Log) -> None:
    before = await log.snapshot()
    bad = NewEvent("?", "step.start", "b", "-", "{}")  # type: ignore[arg-type]
    with pytest.raises(Exception, match="unknown op"):
        await log.put(log.start("a"), bad)
    assert await log.snapshot() == before


async def test_an_append_does_not_bring_a_session_back(log: Log) -> None:
    await log.redis.delete(*await log.redis.keys(f"*{log.session_id}*"))
    with pytest.raises(SessionNotFound, match=log.session_id):
        await log.put(log.start("a"))
    assert await log.keys() == set()


async def test_a_session_is_made_once(log: Log) -> None:
    await log.put(log.start("a"))
    assert await log.log.create(log.session_id, "run") is False
    assert list(await log.outputs()) == ["a"]


async def test_streamed_text_is_in_the_snapshot_before_its_step_has_ended(log: Log) -> None:
    await log.put(
        log.start("a", output="so far: "), delta_event("a", 'hé"l\n'), delta_event("a", "lo")
    )
    assert await log.outputs() == {"a": 'so far: hé"l\nlo'}


async def test_a_delta_can_replace_the_text_of_its_step(log: Log) -> None:
    await log.put(log.start("a", output="base"), delta_event("a", "draft"))
    await log.put(delta_event("a", "final", replace=True), delta_event("a", "!"))
    assert await log.outputs() == {"a": "final!"}


async def test_input_and_output_stream_side_by_side(log: Log) -> None:
    await log.put(log.start("a"), delta_event("a", "q", field="input"), delta_event("a", "r"))
    [step] = (await log.snapshot()).steps
    assert (step.input, step.output) == ("q", "r")


async def test_the_halves_of_a_surrogate_pair_meet_in_the_state(log: Log) -> None:
    first, second = "\ud83d", "\ude00"
    await log.put(log.start("a"), delta_event("a", first), delta_event("a", second))
    assert await log.outputs() == {"a": "😀"}


async def test_the_end_of_a_step_folds_its_streams_in(log: Log) -> None:
    await log.put(log.start("a"), delta_event("a", "x"), delta_event("a", "y", field="input"))
    assert {"out:output:a", "out:input:a"} <= await log.keys()
    await log.put(step_event("step.end", log.step("a", output="x", input="y", status="ok")))
    assert not {key for key in await log.keys() if key.startswith(("out:", "open"))}
    assert await log.outputs() == {"a": "x"}


async def test_text_after_the_end_of_a_step_is_appended_to_it(log: Log) -> None:
    await log.put(log.start("a"), step_event("step.end", log.step("a", output="x", status="ok")))
    await log.put(delta_event("a", " more"))
    assert await log.outputs() == {"a": "x more"}


async def test_text_for_a_removed_step_leaves_nothing_behind(log: Log) -> None:
    await log.put(log.start("a"), remove_event("a"))
    await log.put(delta_event("a", "late"))
    assert await log.keys() == {"log", "meta", "state", "waiting"}
    assert await log.outputs() == {}


async def test_a_removed_step_does_not_come_back_with_its_own_end(log: Log) -> None:
    await log.put(log.start("a"), log.start("b", "a"), remove_event("a"))
    appended = await log.put(
        step_event("step.end", log.step("b", "a", status="ok")),
        step_event("step.end", log.step("a", status="ok")),
        delta_event("b", "late"),
    )
    assert appended.stored == 0
    assert await log.outputs() == {}
    assert (await log.put(log.start("a"))).stored == 1
    assert await log.outputs() == {"a": ""}


async def test_removing_a_step_removes_all_below_it(log: Log) -> None:
    await log.put(
        log.start("a"),
        log.start("b", "a"),
        log.start("c", "b"),
        log.start("d"),
        delta_event("c", "streaming"),
    )
    await log.put(remove_event("a"))
    assert await log.outputs() == {"d": ""}
    assert not {key for key in await log.keys() if key.startswith("out:")}


async def test_removing_steps_whose_parents_form_a_circle_ends(log: Log) -> None:
    await log.put(log.start("a", "b"), log.start("b", "a"), log.start("c", "c"))
    await log.put(remove_event("a"), remove_event("c"))
    assert await log.outputs() == {}


async def test_steps_keep_the_order_of_their_starts(log: Log) -> None:
    names = [f"s{number}" for number in range(200)]
    await log.put(*[log.start(name) for name in names])
    await log.put(step_event("step.end", log.step("s0", status="ok")))
    assert list(await log.outputs()) == names


async def test_a_new_attempt_fences_off_the_earlier_ones(log: Log) -> None:
    assert (await log.log.begin_run(log.session_id, "run", "token-1")).attempt == 1
    await log.put(log.start("a"), attempt=1)
    assert (await log.log.begin_run(log.session_id, "run", "token-2")).attempt == 2
    before = await log.snapshot()
    with pytest.raises(RunFenced) as raised:
        await log.put(log.start("b"), attempt=1)
    assert (raised.value.attempt, raised.value.current) == (1, 2)
    assert await log.snapshot() == before


async def test_beginning_a_run_again_with_the_same_token_is_the_same_attempt(log: Log) -> None:
    assert (await log.log.begin_run(log.session_id, "run", "token")).attempt == 1
    assert (await log.log.begin_run(log.session_id, "run", "token")).attempt == 1
    assert (await log.log.begin_run(log.session_id, "run", "other")).attempt == 2


async def test_nothing_follows_the_last_end_of_a_run(log: Log) -> None:
    await log.put(run_start_event(a_run(status="running")), run_end_event(a_run(status="ok")))
    before = await log.snapshot()
    with pytest.raises(RunEnded):
        await log.put(log.start("late"))
    with pytest.raises(RunEnded):
        await log.log.begin_run(log.session_id, "run", "token")
    assert await log.snapshot() == before
    assert before.runs[0].status == "ok"


async def test_repeating_the_end_of_a_run_is_no_error(log: Log) -> None:
    batch = log.batch(run_end_event(a_run(status="ok")))
    await log.log.append(batch)
    assert (await log.log.append(batch)).stored == 0


async def test_a_run_that_will_be_retried_goes_on(log: Log) -> None:
    await log.put(run_end_event(a_run(status="interrupted", will_retry=True)))
    await log.put(run_start_event(a_run(status="running", attempt=2)), attempt=2)
    assert await log.log.run_ended_at(log.session_id, "run") is None
    appended = await log.put(run_end_event(a_run(status="ok", attempt=2)), attempt=2)
    assert await log.log.run_ended_at(log.session_id, "run") == appended.top


async def test_a_run_that_nobody_has_started_is_unknown(log: Log) -> None:
    with pytest.raises(RunNotFound, match="nope"):
        await log.log.run_ended_at(log.session_id, "nope")


async def test_a_run_id_stands_for_one_piece_of_work(log: Log) -> None:
    await log.log.register_run(log.session_id, "task-run", "work")
    await log.log.register_run(log.session_id, "task-run", "work")
    with pytest.raises(IdConflict):
        await log.log.register_run(log.session_id, "task-run", "other work")
    with pytest.raises(IdConflict):
        await log.log.register_run(log.session_id, "run", "work")


@pytest.mark.parametrize("back", [0, 1, 7, 60])
async def test_a_cursor_in_the_log_gets_exactly_what_follows_it(log: Log, back: int) -> None:
    await log.put(log.start("a"), *[delta_event("a", f"{n} ") for n in range(60)])
    top = (await log.put()).top
    tail = await log.log.read(log.session_id, Cursor(top.epoch, top.seq - back))
    assert isinstance(tail, LogTail)
    assert [event.cursor.seq for event in tail.events] == list(
        range(top.seq - back + 1, top.seq + 1)
    )


async def test_a_trimmed_cursor_gets_a_snapshot_and_the_log_stays_short(log: Log) -> None:
    await log.put(log.start("a"))
    for number in range(50):
        await log.put(*[delta_event("a", f"{number} ") for _ in range(20)])
    top = (await log.put()).top
    assert await log.redis.xlen(SessionKeys.of(log.session_id).log) <= 200
    read = await log.log.read(log.session_id, Cursor(top.epoch, 1))
    assert isinstance(read, Snapshot)
    assert read.cursor == str(top)
    assert read.steps[0].output == "".join(f"{number} " * 20 for number in range(50))


async def test_a_cursor_that_cannot_be_continued_gets_a_snapshot(log: Log) -> None:
    top = (await log.put(log.start("a"))).top
    for cursor in (None, Cursor(top.epoch - 1, 1), Cursor(top.epoch, 2), Cursor(top.epoch + 1, 1)):
        assert isinstance(await log.log.read(log.session_id, cursor), Snapshot), cursor


async def test_a_lost_log_is_replaced_by_the_state(log: Log) -> None:
    top = (await log.put(log.start("a"), log.start("b"))).top
    await log.redis.delete(SessionKeys.of(log.session_id).log)
    read = await log.log.read(log.session_id, Cursor(top.epoch, 1))
    assert isinstance(read, Snapshot)
    after = (await log.put(log.start("c"))).top
    assert after == (top.epoch, 3)
    assert isinstance(await log.log.read(log.session_id, top), LogTail)


async def test_another_server_process_begins_a_new_epoch(log: Log) -> None:
    """An acknowledged tail may be lost at failover; its ids must not come again."""
    old = (await log.put(log.start("a"), log.start("b"))).top
    await log.lose_the_life()
    new = (await log.put(log.start("c"))).top
    assert new.epoch > old.epoch
    assert new.seq == old.seq + 1
    read = await log.log.read(log.session_id, old)
    assert isinstance(read, Snapshot)
    assert [step.id for step in read.steps] == ["a", "b", "c"]


async def test_a_producer_goes_on_after_a_failover_that_lost_its_tail(log: Log) -> None:
    await log.put(log.start("a"))
    keys = SessionKeys.of(log.session_id)
    saved = await cast("Awaitable[dict[bytes, bytes]]", log.redis.hgetall(keys.meta))
    await log.put(log.start("b"), log.start("c"))
    await cast("Awaitable[int]", log.redis.hset(keys.meta, mapping=cast("Any", saved)))
    await log.lose_the_life()
    appended = await log.put(log.start("d"))
    assert appended.stored == 1


async def test_all_keys_of_a_session_expire_at_one_instant(log: Log) -> None:
    await log.put(log.start("a"))
    await log.put(delta_event("a", "x"), delta_event("a", "y", field="input"))
    expiries = {
        key: await log.redis.execute_command("PEXPIRETIME", key)
        for key in await log.redis.keys(f"*{log.session_id}*")
    }
    assert len(expiries) == 8
    assert len(set(expiries.values())) == 1
    [at] = set(expiries.values())
    ttl_ms = log.settings.session_ttl_s * 1000
    left = at - (await log.redis.time())[0] * 1000
    assert ttl_ms <= left + 2000
    assert left <= ttl_ms * 17 / 16 + 2000


async def test_an_element_is_in_the_snapshot_until_it_is_removed(log: Log) -> None:
    await log.put(log.start("a"), log.element("one", "a"), log.element("two", None))
    assert await log.elements() == ["one", "two"]
    assert (await log.log.element(log.session_id, "one")).step_id == "a"
    assert (await log.put(element_remove_event("one"), element_remove_event("one"))).stored == 1
    assert await log.elements() == ["two"]
    with pytest.raises(ElementNotFound, match="one"):
        await log.log.element(log.session_id, "one")
    with pytest.raises(SessionNotFound):
        await log.log.element("nope", "one")


async def test_removing_a_step_removes_the_elements_below_it_and_their_bytes(log: Log) -> None:
    files = Files(log.store, log.settings)
    await log.put(log.start("a"), log.start("b", "a"), log.start("c"))
    for name in ("in-a", "in-b", "in-c"):
        await files.put(log.session_id, name, b"bytes")
        await log.put(log.element(name, name[-1]))
    await log.put(remove_event("a"))
    assert await log.elements() == ["in-c"]
    assert await files.read(log.session_id, "in-b", 0, 5) is None
    assert await log.redis.hlen(SessionKeys.of(log.session_id).files) == 1  # type: ignore[misc]


async def test_an_element_that_comes_after_its_step_was_removed_leaves_nothing(log: Log) -> None:
    await log.put(log.start("a"), remove_event("a"))
    await Files(log.store, log.settings).put(log.session_id, "late", b"bytes")
    assert (await log.put(log.element("late", "a"))).stored == 0
    assert await log.keys() == {"log", "meta", "state", "waiting"}
    assert await log.outputs() == {}
    assert (await log.put(log.start("a"), log.element("again", "a"))).stored == 2


async def test_no_bytes_are_kept_for_a_session_that_is_not_there(log: Log) -> None:
    with pytest.raises(SessionNotFound):
        await Files(log.store, log.settings).put("nope", "one", b"bytes")
    assert await log.redis.keys("*{nope}*") == []


async def test_the_bytes_of_elements_live_on_with_their_session(log: Log) -> None:
    keys = SessionKeys.of(log.session_id)
    await log.put(log.start("a"))
    await Files(log.store, log.settings).put(log.session_id, "one", b"bytes")
    soon = (await log.redis.time())[0] * 1000 + 60_000
    for key in await log.redis.keys(f"*{log.session_id}*"):
        await log.redis.pexpireat(key, soon)
    await log.redis.hset(keys.meta, "expires", str(soon))  # type: ignore[misc]
    await log.put(delta_event("a", "x"))
    found = await log.redis.keys(f"*{log.session_id}*")
    assert keys.files.encode() in found
    expiries = {await log.redis.execute_command("PEXPIRETIME", key) for key in found}
    assert len(expiries) == 1
    assert expiries.pop() > soon


@pytest.mark.parametrize("log", ["standalone", "cluster"], indirect=True)
async def test_what_is_published_is_what_is_stored(log: Log) -> None:
    heard = asyncio.Queue[bytes]()
    link = log.log.store.listen(lambda _, payload: heard.put_nowait(payload), lambda _: None)
    listening = asyncio.create_task(link.run())
    async with asyncio.timeout(30):
        await link.subscribe(SessionKeys.of(log.session_id).channel.encode())
        top = (await log.put(log.start("a"), delta_event("a", "x\ny z"))).top
        message = await heard.get()
    tail = await log.log.read(log.session_id, Cursor(top.epoch, 0))
    assert isinstance(tail, LogTail)
    assert events_of_message(message) == tail.events
    assert json.loads(tail.events[1].data) == {"id": "a", "field": "output", "text": "x\ny z"}
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_runs_that_wait_for_their_turn_expire_with_their_session(log: Log) -> None:
    keys = SessionKeys.of(log.session_id)
    await log.put(log.start("first"))
    for run_id in ("one", "two"):
        batch = Batch(log.session_id, [log.start(run_id)], run_id=run_id, turn="on_message")
        await log.log.append(batch)
    turns = keys.log.removesuffix("log") + "turns"
    assert await cast("Awaitable[list[bytes]]", log.redis.lrange(turns, 0, -1)) == [
        b"on_message one",
        b"on_message two",
    ]
    times = [await log.redis.execute_command("PEXPIRETIME", key) for key in (turns, keys.meta)]
    assert times[0] == times[1]


async def test_whoever_leaves_the_row_lets_nobody_begin_who_has_begun_before(log: Log) -> None:
    await log.put(log.start("first"))
    for run_id in ("one", "two", "three"):
        batch = Batch(log.session_id, [log.start(run_id)], run_id=run_id, turn="on_message")
        await log.log.append(batch)
    assert await log.log.leave_turn(log.session_id, "on_message", "three") == "one"
    await log.log.begin_run(log.session_id, "one", "token", turn="on_message")
    # It may wait for its next attempt, and its backoff is not to be cut short.
    assert await log.log.leave_turn(log.session_id, "on_message", "nobody") is None
    assert await log.log.leave_turn(log.session_id, "on_message", "one") == "two"


async def test_a_batch_that_expects_another_state_stores_nothing(log: Log) -> None:
    session_id = log.session_id
    await log.put(log.start("a"))
    first = settings_form(session_id, [{"id": "a", "type": "textinput"}], {"a": "1"})
    await log.log.append(Batch(session_id, [element_event(first)]))
    form, stored = await log.log.settings_form(session_id)
    assert form.props == first.props
    changed = changed_events(form, {"a": "2\n\u20ac % \0"})
    batch = Batch(session_id, changed, producer="k/one", expects=stored)
    before = (await log.log.append(batch)).top
    # The same call again is known, whatever has become of the form.
    assert (await log.log.append(batch)).stored == 0
    for expected in (stored, Expected("e:none", b"0 - {}")):
        with pytest.raises(StateChanged):
            await log.log.append(Batch(session_id, changed, producer="k/two", expects=expected))
    assert await log.log.tops([session_id]) == [before]
    again, stored = await log.log.settings_form(session_id)
    assert again.props["values"] == {"a": "2\n\u20ac % \0"}
    assert (
        await log.log.append(Batch(session_id, changed, producer="k/two", expects=stored))
    ).stored
