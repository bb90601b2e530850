"""The keys of a session: none outlives it, and a lost one is not shown as empty."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, cast

import pytest

from documents import a_run
from event_log import Log, counted, on_a_server, recounted
from stepwire_core.errors import IdConflict, RunEnded, RunFenced, SessionNotFound
from stepwire_core.log.event_log import Batch
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.storage.redis_store import Files
from stepwire_core.values.clock import now
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import emitter_producer, message_producer, new_id, run_producer
from stepwire_core.wire.documents import AskDocument, FeedbackDocument
from stepwire_core.wire.events import (
    NewEvent,
    ask_event,
    delta_event,
    element_remove_event,
    feedback_event,
    remove_event,
    result_event,
    run_end_event,
    run_start_event,
    step_event,
    step_result_event,
    user_value_event,
)
from topologies import FULL

pytestmark = [pytest.mark.anyio, pytest.mark.slow, on_a_server]

STEPS = ("a", "b", "c")


async def keys_of(log: Log) -> list[str]:
    """All keys of the session, as a walk through the whole of Redis finds them."""
    pattern = f"*{log.session_id}*"
    return [key.decode() async for key in log.redis.scan_iter(match=pattern, count=1000)]


async def meta_of(log: Log) -> dict[bytes, bytes]:
    reply = log.redis.hgetall(SessionKeys.of(log.session_id).meta)
    return await cast("Awaitable[dict[bytes, bytes]]", reply)


async def numbers(log: Log) -> list[str]:
    """The producers whose place the log remembers."""
    return [field[2:].decode() for field in await meta_of(log) if field.startswith(b"p:")]


async def assert_nothing_outlives_the_session(log: Log) -> None:
    ends: Any = await log.redis.execute_command("PEXPIRETIME", SessionKeys.of(log.session_id).meta)
    assert ends > 0
    for key in await keys_of(log):
        at: Any = await log.redis.execute_command("PEXPIRETIME", key)
        assert 0 < at <= ends, key


def any_event(log: Log, chance: random.Random) -> NewEvent:
    step = chance.choice(STEPS)
    text = chance.choice(["", "short ", "long " * 60])
    return chance.choice(
        [
            log.start(step, chance.choice([None, *STEPS])),
            step_event("step.end", log.step(step, status="ok")),
            delta_event(step, text),
            delta_event(step, text),
            delta_event(step, text, field="input"),
            delta_event(step, text, replace=True),
            remove_event(step),
            remove_event(step),
            log.element("one", chance.choice([None, step])),
            element_remove_event("one"),
            feedback_event(FeedbackDocument(step_id=step, value=1, ts="now")),
            user_value_event("name", chance.choice(["", '"Ada"'])),
            result_event("part", "{}"),
            step_result_event(chance.choice(["fetch:1", "fetch:2"]), '{"attempt":1}'),
            run_start_event(a_run(status="running")),
            ask_event(an_ask(step)),
        ]
    )


def an_ask(step_id: str) -> AskDocument:
    return AskDocument.model_validate(
        {
            "id": "ask",
            "session_id": "session",
            "step_id": step_id,
            "run_id": None,
            "attempt": 0,
            "kind": "text",
            "expires_at": now(),
            "started_at": now(),
            "ts": now(),
        }
    )


async def any_call(log: Log, chance: random.Random) -> None:
    run_id, session = chance.choice(["one", "two"]), log.session_id
    match chance.randrange(8):
        case 0:
            with suppress(IdConflict):
                await log.log.register_run(session, run_id, "work", turn=chance.choice(["", "h"]))
        case 1:
            await log.log.begin_run(session, run_id, new_id())
        case 2:
            await log.log.cancel_run(session, "run")
        case 3:
            await log.log.leave_turn(session, "h", run_id)
        case 4:
            await Files(log.store, log.settings).put(session, "one", b"bytes")
        case 5:
            start = [log.start(new_id())]
            await log.log.append(Batch(session, start, run_id=new_id(), turn="on_message"))
        case _:
            await log.put(*(any_event(log, chance) for _ in range(chance.choice([1, 1, 1, 5]))))


@pytest.mark.parametrize("seed", range(25 if FULL else 8))
async def test_no_key_of_a_session_outlives_it_whatever_is_done_and_evicted(
    log: Log, seed: int
) -> None:
    chance = random.Random(seed)
    keys = SessionKeys.of(log.session_id)
    for _ in range(60):
        await any_call(log, chance)
        await assert_nothing_outlives_the_session(log)
        if chance.random() < 0.3:
            evicted = chance.choice(await keys_of(log))
            if evicted not in (keys.state, keys.meta):
                await log.redis.delete(evicted)
        # It can be read, whatever of its text was lost.
        await log.snapshot()


@pytest.mark.parametrize("text", ["", "more"])
async def test_text_that_was_evicted_goes_on_and_is_whole_when_its_step_ends(
    log: Log, text: str
) -> None:
    await log.put(log.start("a"), delta_event("a", "lost "))
    await log.redis.delete(f"{SessionKeys.of(log.session_id).channel}:out:output:a")
    await log.put(delta_event("a", text))
    await log.put(delta_event("a", " and more"))
    assert await log.outputs() == {"a": f"{text} and more"}
    await assert_nothing_outlives_the_session(log)
    await log.put(step_event("step.end", log.step("a", status="ok", output="the whole")))
    assert await log.outputs() == {"a": "the whole"}


async def test_a_session_that_expires_after_all_was_removed_leaves_nothing(log: Log) -> None:
    await log.put(log.start("a"))
    await log.put(remove_event("a"))
    await log.put(log.start("ghost"), delta_event("ghost", "x"))
    await assert_nothing_outlives_the_session(log)


LOSS = {
    "a step": lambda log: log.put(log.start("b")),
    "the end of a step": lambda log: log.put(step_event("step.end", log.step("a", status="ok"))),
    "a removal": lambda log: log.put(remove_event("a")),
    "several pieces": lambda log: log.put(delta_event("a", "x"), delta_event("a", "y")),
    "a large text": lambda log: log.put(delta_event("a", "x" * 1000)),
    "a reader": lambda log: log.snapshot(),
    "a reader of another epoch": lambda log: log.log.read(log.session_id, Cursor(1, 1)),
}


@pytest.mark.parametrize("notices", LOSS)
async def test_a_session_that_has_lost_its_state_is_gone_for_all(log: Log, notices: str) -> None:
    await log.put(log.start("a"), delta_event("a", "text"), user_value_event("name", "1"))
    keys = SessionKeys.of(log.session_id)
    pubsub = log.redis.pubsub()
    await pubsub.subscribe(keys.channel)
    assert await pubsub.get_message(timeout=5) is not None
    await log.redis.delete(keys.state)
    with pytest.raises(SessionNotFound):
        await LOSS[notices](log)
    message = await pubsub.get_message(timeout=5, ignore_subscribe_messages=True)
    assert message is not None
    assert message["data"] == b"gone"
    await pubsub.aclose()
    assert await keys_of(log) == []


@pytest.mark.parametrize("lost", [["meta"], ["state"], ["meta", "state"], ["meta", "open"]])
async def test_a_session_that_is_made_again_begins_with_nothing_of_the_lost_one(
    log: Log, lost: list[str]
) -> None:
    old = await log.put(
        log.start("a"),
        delta_event("a", "text"),
        log.element("one", "a"),
        user_value_event("name", "1"),
        ask_event(an_ask("a")),
        result_event("part", "{}"),
        step_result_event("fetch:1", "{}"),
    )
    await Files(log.store, log.settings).put(log.session_id, "one", b"bytes")
    for name in lost:
        await log.redis.delete(f"{SessionKeys.of(log.session_id).channel}:{name}")
    assert await log.log.create(log.session_id, "first") is True
    snapshot = await log.snapshot()
    assert (snapshot.steps, snapshot.elements, snapshot.asks) == ([], [], [])
    assert Cursor.parse(snapshot.cursor).epoch > old.top.epoch
    assert (await log.log.begin_run(log.session_id, "first", "token")).user == {}
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)
    log.written = 0
    await log.put(log.start("a"), log.start("new"))
    assert list(await log.outputs()) == ["a", "new"]
    await assert_nothing_outlives_the_session(log)


async def test_a_session_from_which_all_was_removed_is_not_taken_for_lost(log: Log) -> None:
    await log.put(log.start("a"))
    await log.put(remove_event("a"))
    assert await log.outputs() == {}
    await log.put(log.start("b"))
    assert await log.outputs() == {"b": ""}


@pytest.mark.parametrize("empty", [False, True])
async def test_a_session_from_before_the_mark_goes_on(log: Log, empty: bool) -> None:
    keys = SessionKeys.of(log.session_id)
    await log.put(log.start("a"))
    if empty:
        await log.put(remove_event("a"))
    await log.redis.hdel(keys.meta, "v")  # type: ignore[misc]
    await log.redis.hdel(keys.state, ".")  # type: ignore[misc]
    assert list(await log.outputs()) == ([] if empty else ["a"])
    await log.put(log.start("b"))
    await log.put(remove_event("a"), remove_event("b"))
    assert await log.outputs() == {}
    await assert_nothing_outlives_the_session(log)
    await log.redis.delete(keys.state)
    with pytest.raises(SessionNotFound):
        await log.snapshot()


async def test_a_run_that_is_over_leaves_no_number_and_its_end_can_be_repeated(log: Log) -> None:
    for attempt in (1, 2, 3):
        begun = await log.log.begin_run(log.session_id, "run", f"token-{attempt}")
        log.written = 0
        fields: dict[str, Any] = {"attempt": attempt, "producer": begun.producer}
        await log.put(run_start_event(a_run(status="running", attempt=attempt)), **fields)
        assert await numbers(log) == [begun.producer]
        will_retry = attempt < 3
        end = run_end_event(a_run(status="error", attempt=attempt, will_retry=will_retry))
        batch = log.batch(log.start(f"s{attempt}"), end, **fields)
        assert (await log.log.append(batch)).stored == 2
        assert (await log.log.append(batch)).stored == 0
    assert await numbers(log) == []
    log.written = 3
    with pytest.raises(RunEnded):
        await log.put(log.start("late"), **fields)
    log.written = 3
    with pytest.raises(RunEnded):
        await log.put(log.start("late"), attempt=1, producer=run_producer("run", 1, "token-1"))
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)


async def test_results_of_steps_are_kept_until_their_run_is_over_and_count_until_then(
    log: Log,
) -> None:
    keys, key = SessionKeys.of(log.session_id), SessionKeys.of(log.session_id).durable("run")
    await log.put(run_start_event(a_run(status="running")), step_result_event("a:1", '{"value":1}'))
    await log.put(step_result_event("a:2", "{}"), step_result_event("a:1", '{"value":22}'))
    assert await log.redis.hgetall(key) == {b"a:1": b'{"value":22}', b"a:2": b"{}"}  # type: ignore[misc]
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)
    await log.put(run_end_event(a_run(status="error", will_retry=True)))
    assert await log.redis.hlen(key) == 2  # type: ignore[misc]
    await log.put(run_end_event(a_run(status="ok")))
    assert await log.redis.exists(key, f"{keys.channel}:durable") == 0
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)


async def test_results_of_steps_go_with_their_session(log: Log) -> None:
    await log.put(log.start("a"), step_result_event("a:1", "{}"))
    assert "durable:run" in await log.keys()
    await log.log.delete(log.session_id)
    assert await log.keys() == {"ending"}


async def test_an_outdated_attempt_keeps_no_result_of_a_step(log: Log) -> None:
    await log.log.begin_run(log.session_id, "run", "token-1")
    fields: dict[str, Any] = {"attempt": 1, "producer": run_producer("run", 1, "token-1")}
    await log.put(step_result_event("a:1", "1"), **fields)
    await log.log.begin_run(log.session_id, "run", "token-2")
    with pytest.raises(RunFenced):
        await log.put(step_result_event("a:1", "2"), **fields)
    stored = log.redis.hget(SessionKeys.of(log.session_id).durable("run"), "a:1")
    assert await stored == b"1"  # type: ignore[misc]


async def test_an_attempt_whose_number_is_gone_is_fenced_and_not_at_fault(log: Log) -> None:
    await log.log.begin_run(log.session_id, "run", "token-1")
    fields: dict[str, Any] = {"attempt": 1, "producer": run_producer("run", 1, "token-1")}
    await log.put(log.start("a"), log.start("b"), **fields)
    await log.log.begin_run(log.session_id, "run", "token-2")
    with pytest.raises(RunFenced):
        await log.put(log.start("c"), **fields)


async def test_an_emitter_is_forgotten_and_no_other(log: Log) -> None:
    names = [emitter_producer(), emitter_producer()]
    for name in names:
        await log.log.append(Batch(log.session_id, [log.start(name[2:])], name))
    before = await counted(log.redis, log.session_id)
    forget = Batch(log.session_id, (), names[0], forget=True)
    for _ in range(2):
        assert (await log.log.append(forget)).stored == 0
        assert await numbers(log) == [names[1]]
    assert (await counted(log.redis, log.session_id))[1] < before[1]
    assert await counted(log.redis, log.session_id) == await recounted(log.redis, log.session_id)


async def test_what_is_known_of_runs_messages_and_asks_counts(log: Log) -> None:
    session = log.session_id
    sizes = [(await counted(log.redis, session))[1]]

    async def grown() -> None:
        assert await counted(log.redis, session) == await recounted(log.redis, session)
        sizes.append((await counted(log.redis, session))[1])
        assert sizes[-1] > sizes[-2]

    await log.log.register_run(session, "task", "work")
    await grown()
    await log.log.begin_run(session, "unknown", "token")
    await grown()
    start = log.start("message")
    await log.log.append(Batch(session, [start], message_producer("message"), run_id="chat"))
    await grown()
    assert sizes[-1] - sizes[-2] > len(start.payload) + 300
    await log.put(ask_event(an_ask("message")))
    await grown()


async def test_ids_of_messages_and_runs_cannot_stand_for_each_other(log: Log) -> None:
    await log.log.begin_run(log.session_id, "m.foo", "token")
    of_run = Batch(
        log.session_id,
        [log.start("a"), log.start("b")],
        run_producer("m.foo", 1, "token"),
        run_id="m.foo",
        attempt=1,
    )
    assert (await log.log.append(of_run)).stored == 2
    message = Batch(log.session_id, [log.start("foo.1")], message_producer("foo.1"), run_id="chat")
    assert (await log.log.append(message)).stored == 1
