"""The limits of a session: its contents are counted as they come and go, and refused above them."""

from __future__ import annotations

import pytest

from documents import a_run
from event_log import Log, counted, recounted
from stepwire_core.errors import SessionFull, StepwireError
from stepwire_core.log.event_log import Batch, EventLog
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.storage.redis_store import Files
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.documents import FeedbackDocument, Snapshot
from stepwire_core.wire.events import (
    NewEvent,
    delta_event,
    element_remove_event,
    feedback_event,
    remove_event,
    run_end_event,
    run_start_event,
    step_event,
    user_value_event,
)

pytestmark = pytest.mark.anyio


def limited(log: Log, **limits: int) -> None:
    """Set limits far below what a user may set."""
    log.settings = log.settings.model_copy(update=limits)
    log.log = EventLog(log.store, log.settings)


async def refused(log: Log, *events: NewEvent) -> SessionFull:
    """Send what does not fit; nothing of it may be written."""
    before = await log.snapshot()
    with pytest.raises(SessionFull) as raised:
        await log.put(*events)
    assert await log.snapshot() == before
    return raised.value


async def test_the_counters_say_what_is_there(log: Log) -> None:
    files = Files(log.store, log.settings)
    feedback = FeedbackDocument(step_id="a", value=1, ts="now")
    for events in (
        [run_start_event(a_run(status="running")), log.start("a"), log.start("b", "a")],
        [delta_event("a", "one"), delta_event("a", "two"), delta_event("b", "x", field="input")],
        [delta_event("a", "replaced", replace=True), delta_event("b", "first", replace=True)],
        [step_event("step.update", log.step("a", output="shorter"))],
        [log.element("one", "b"), log.element("one", "b"), log.element("two", None)],
        [user_value_event("name", '"Ada"'), user_value_event("name", '"Grace Hopper"')],
        [user_value_event("gone", "1"), user_value_event("gone", ""), feedback_event(feedback)],
        [delta_event("b", "streaming as it goes"), log.start("c", "b"), remove_event("b")],
        [step_event("step.end", log.step("b", status="ok")), delta_event("b", "late")],
        [log.element("late", "b"), log.start("b"), remove_event("never"), remove_event("never")],
        [element_remove_event("two"), element_remove_event("nope")],
        [step_event("step.end", log.step("a", status="ok")), run_end_event(a_run(status="ok"))],
    ):
        await files.put(log.session_id, "one", b"bytes " * len(events))
        await log.put(*events)
        assert await counted(log.redis, log.session_id) == await recounted(
            log.redis, log.session_id
        ), events


async def test_a_repeated_batch_counts_once(log: Log) -> None:
    batch = log.batch(log.start("a"), delta_event("a", "x"))
    await log.log.append(batch)
    before = await counted(log.redis, log.session_id)
    await log.log.append(batch)
    assert await counted(log.redis, log.session_id) == before


async def test_one_step_too_many_is_refused_until_another_one_goes(log: Log) -> None:
    limited(log, session_max_steps=3)
    await log.put(log.start("a"), log.start("b", "a"))
    full = await refused(log, log.start("c"), log.start("d"))
    assert (full.what, full.limit) == ("steps", 3)
    assert "STEPWIRE_SESSION_MAX_STEPS" in str(full)
    await log.put(log.start("c"))
    await log.put(delta_event("c", "what is there goes on"))
    await refused(log, log.start("d"))
    await log.put(remove_event("b"))
    await log.put(log.start("d"))


@pytest.mark.parametrize("kind", ["text", "step", "update", "element", "value"])
async def test_too_many_bytes_of_any_kind_are_refused(log: Log, kind: str) -> None:
    await log.put(log.start("a"), user_value_event("name", "1"))
    limited(log, session_max_bytes=(await counted(log.redis, log.session_id))[1] + 400)
    big = "x" * 401
    events = {
        "text": [delta_event("a", big)],
        "step": [log.start("b", input=big)],
        "update": [step_event("step.update", log.step("a", output=big))],
        "element": [log.element("one", "a"), log.element("two", "a")],
        "value": [user_value_event("name", big)],
    }[kind]
    if kind == "update":
        # How much larger it makes the step is known when it is stored: the next one is refused.
        await log.put(*events)
    full = await refused(log, *events)
    assert full.what == "bytes"
    assert "STEPWIRE_SESSION_MAX_BYTES" in str(full)


async def test_the_bytes_of_elements_are_kept_within_the_limit(log: Log) -> None:
    await log.put(log.start("a"))
    limited(log, session_max_bytes=(await counted(log.redis, log.session_id))[1] + 2_000)
    files = Files(log.store, log.settings)
    await files.put(log.session_id, "one", b"x" * 1_000)
    with pytest.raises(SessionFull):
        await files.put(log.session_id, "two", b"x" * 1_000)
    await log.put(log.element("one", "a"))
    await log.put(element_remove_event("one"))
    await files.put(log.session_id, "two", b"x" * 1_000)
    assert await files.read(log.session_id, "one", 0, 1) is None


async def test_a_full_session_takes_all_that_ends_or_goes(log: Log) -> None:
    await log.put(run_start_event(a_run(status="running")), log.start("a"), log.start("b"))
    await log.put(log.element("one", "b"), user_value_event("name", "1"))
    limited(log, session_max_steps=1, session_max_bytes=1)
    for event in (
        run_start_event(a_run(status="running")),
        step_event("step.end", log.step("a", output="x" * 10_000, status="ok")),
        element_remove_event("one"),
        user_value_event("name", ""),
        remove_event("b"),
        run_end_event(a_run(status="error")),
    ):
        await log.put(event)
    assert (await log.outputs()) == {"a": "x" * 10_000}
    assert (await log.snapshot()).runs[0].status == "error"


async def test_what_closes_may_end_what_is_there_and_make_nothing(log: Log) -> None:
    await log.put(log.start("a"))
    limited(log, session_max_steps=1, session_max_bytes=1)
    ends = [step_event("step.end", log.step(name, status="ok")) for name in ("a", "b")]
    closing = Batch(log.session_id, ends, run_id="run", attempt=1, closing=True)
    assert (await log.log.append(closing)).stored == 1
    assert await log.outputs() == {"a": ""}


async def test_no_run_is_started_in_a_full_session(log: Log) -> None:
    await log.log.register_run(log.session_id, "known", "work")
    await log.put(log.start("a"))
    for limits in ({"session_max_steps": 1}, {"session_max_bytes": 1}):
        limited(log, **{"session_max_steps": 10, "session_max_bytes": 10_000, **limits})
        with pytest.raises(SessionFull):
            await log.log.register_run(log.session_id, "new", "work")
        await log.log.register_run(log.session_id, "known", "work")


async def test_a_session_from_before_the_counters_is_counted_from_now_on(log: Log) -> None:
    await log.put(log.start("a"), log.start("b"), delta_event("a", "x"))
    keys = SessionKeys.of(log.session_id)
    await log.redis.hdel(keys.meta, "steps", "bytes", "log_bytes", "log_from")  # type: ignore[misc]
    await log.put(remove_event("a"), remove_event("b"))
    assert (await counted(log.redis, log.session_id))[0] == 0
    await log.put(log.start("c"))
    assert (await counted(log.redis, log.session_id))[0] == 1


async def test_the_counters_go_on_in_a_new_epoch(log: Log) -> None:
    await log.put(log.start("a"))
    await log.lose_the_life()
    await log.put(log.start("b"))
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)
    assert (await counted(log.redis, log.session_id))[0] == 2


async def test_the_log_keeps_no_more_bytes_than_it_may(log: Log) -> None:
    """The same large step again and again: the state does not grow, the log would."""
    limited(log, log_max_bytes=100_000)
    await log.put(log.start("a"))
    lengths = []
    for _ in range(60):
        await log.put(step_event("step.update", log.step("a", output="x" * 5_000)))
        entries = await log.redis.xrange(SessionKeys.of(log.session_id).log)
        assert sum(len(fields[b"d"]) for _, fields in entries) < 110_000
        lengths.append(len(entries))
    assert min(lengths[20:]) >= 8
    top = Cursor.parse((await log.snapshot()).cursor)
    assert isinstance(await log.log.read(log.session_id, Cursor(top.epoch, 1)), Snapshot)
    assert not isinstance(
        await log.log.read(log.session_id, Cursor(top.epoch, top.seq - 8)), Snapshot
    )


async def test_a_refusal_is_an_error_of_ours_that_says_what_to_do(log: Log) -> None:
    limited(log, session_max_steps=0)
    full = await refused(log, log.start("a"))
    assert isinstance(full, StepwireError)
    assert log.session_id in str(full)
    assert "new session" in str(full)
