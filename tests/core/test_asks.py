"""What the log promises about asks, feedback and the end of a session, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from redis.asyncio import Redis

from documents import a_step
from event_log import client_of
from stepwire_core.errors import AskEnded, AskNotFound, IdConflict, InvalidArgument, SessionNotFound
from stepwire_core.log import answers
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.redis.keys import GONE, SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.clock import after, now
from stepwire_core.values.ids import message_producer, new_id
from stepwire_core.values.media_types import accepts
from stepwire_core.wire.documents import ActionDocument, AskDocument, FeedbackDocument, StepDocument
from stepwire_core.wire.events import (
    ask_end_event,
    ask_event,
    feedback_event,
    remove_event,
    step_event,
    user_value_event,
)
from stepwire_core.wire.user_messages import message_events, user_message
from topologies import SINGLE, Topologies, on_each

pytestmark = pytest.mark.anyio


@pytest.fixture(params=on_each(*SINGLE))
async def log(
    request: pytest.FixtureRequest, topologies: Topologies, settings: Settings, session_id: str
) -> AsyncIterator[EventLog]:
    settings = settings.model_copy(update={"redis_url": topologies.url(request.param)})
    async with open_log(settings) as log:
        await log.create(session_id, "run")
        question = step_event("step.start", step(session_id, "question"))
        await log.append(Batch(session_id, [question]))
        yield log


@pytest.fixture
def redis(log: EventLog) -> Redis:
    return client_of(log.store)


def step(session_id: str, id_: str) -> StepDocument:
    fields = {"type": "assistant_message", "status": "ok", "run_id": "run", "attempt": 1}
    return a_step(session_id, id_, **fields)


def open_ask(session_id: str, id_: str = "ask") -> AskDocument:
    return AskDocument(
        id=id_,
        session_id=session_id,
        run_id="run",
        attempt=1,
        step_id="question",
        kind="text",
        expires_at=after(60),
        started_at=now(),
        ts=now(),
    )


def answer(ask: AskDocument, content: str, id_: str | None = None) -> Batch:
    given = answers.Answer(id=id_ or new_id(), content=content)
    return answers.answer_batch(ask, given, answers.ended(ask, given))


async def test_of_answers_that_race_one_is_stored_and_of_the_others_nothing(
    log: EventLog, session_id: str
) -> None:
    ask = open_ask(session_id)
    await log.append(Batch(session_id, [ask_event(ask)]))
    results = await asyncio.gather(
        *(log.answer(answer(ask, f"answer {number}")) for number in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, AskEnded) for result in results) == 7
    snapshot = await log.snapshot(session_id)
    texts = [step.output for step in snapshot.steps if step.type == "user_message"]
    assert len(texts) == 1
    assert [item.status for item in snapshot.asks] == ["answered"]


async def test_a_repeated_answer_is_stored_once(log: EventLog, session_id: str) -> None:
    ask = open_ask(session_id)
    await log.append(Batch(session_id, [ask_event(ask)]))
    batch = answer(ask, "yes")
    assert (await log.answer(batch)).stored == 3
    assert (await log.answer(batch)).stored == 0


async def test_the_end_of_an_ask_counts_once(log: EventLog, session_id: str) -> None:
    ask = open_ask(session_id)
    await log.append(Batch(session_id, [ask_event(ask)]))
    for status, stored in (("timeout", 1), ("cancelled", 0)):
        ended = ask_end_event(ask.model_copy(update={"status": status}))
        assert (await log.append(Batch(session_id, [ended]))).stored == stored
    assert (await log.ask(session_id, "ask")).status == "timeout"
    with pytest.raises(AskEnded):
        await log.answer(answer(ask, "late"))


async def test_a_removed_step_takes_ask_and_feedback_with_it(
    log: EventLog, session_id: str
) -> None:
    ask = open_ask(session_id)
    feedback = FeedbackDocument(step_id="question", value=1, ts=now())
    await log.append(Batch(session_id, [ask_event(ask), feedback_event(feedback)]))
    await log.append(Batch(session_id, [remove_event("question")]))
    snapshot = await log.snapshot(session_id)
    assert (snapshot.steps, snapshot.asks, snapshot.feedback) == ([], [], [])
    with pytest.raises(AskEnded):
        await log.answer(answer(ask, "late"))
    with pytest.raises(AskNotFound):
        await log.ask(session_id, "ask")
    late = [ask_event(open_ask(session_id, "other")), feedback_event(feedback)]
    assert (await log.append(Batch(session_id, late))).stored == 0


async def test_feedback_replaces_what_was_said_and_can_be_taken_back(
    log: EventLog, session_id: str
) -> None:
    said: list[tuple[Literal[0, 1] | None, list[int]]]
    said = [(1, [1]), (0, [0]), (None, []), (None, [])]
    for value, expected in said:
        feedback = FeedbackDocument(step_id="question", value=value, ts=now())
        await log.append(Batch(session_id, [feedback_event(feedback)]))
        assert [item.value for item in (await log.snapshot(session_id)).feedback] == expected


async def test_a_message_with_the_id_of_a_step_stores_nothing(
    log: EventLog, session_id: str
) -> None:
    before = await log.snapshot(session_id)
    message = user_message(session_id, "question", "mine", run_id=None)
    with pytest.raises(IdConflict):
        await log.append(
            Batch(session_id, message_events(message), producer=message_producer("question"))
        )
    assert await log.snapshot(session_id) == before


async def test_a_deleted_session_is_gone_for_everybody_and_says_so(
    log: EventLog, redis: Redis, session_id: str
) -> None:
    await log.append(Batch(session_id, [user_value_event("name", '"Ada"')]))
    keys = SessionKeys.of(session_id)
    pubsub = redis.pubsub()
    await pubsub.subscribe(keys.channel)
    deleted = await log.delete(session_id)
    assert deleted.user == {"name": "Ada"}
    assert await log.delete(session_id) == deleted
    for call in (
        log.snapshot(session_id),
        log.begin_run(session_id, "run", "token"),
        log.append(Batch(session_id, [remove_event("question")])),
        log.register_run(session_id, "other", "work"),
        log.cancel_run(session_id, "run"),
        log.ask(session_id, "ask"),
        log.require(session_id),
        log.run_ended_at(session_id, "run"),
    ):
        with pytest.raises(SessionNotFound):
            await call
    assert await log.is_cancelled(session_id, "run")
    assert [key async for key in redis.scan_iter(f"*{session_id}*")] == [keys.ending.encode()]
    assert 0 < await redis.pttl(keys.ending) <= 24 * 3600 * 1000
    messages = [await pubsub.get_message(timeout=5) for _ in range(2)]
    assert [m["data"] for m in messages if m] == [1, GONE]
    await pubsub.aclose()
    await log.forget_deleted(session_id)
    assert [key async for key in redis.scan_iter(f"*{session_id}*")] == []
    with pytest.raises(SessionNotFound):
        await log.delete(session_id)


async def test_the_runs_of_a_deleted_session_are_cancelled(
    log: EventLog, redis: Redis, session_id: str
) -> None:
    await log.begin_run(session_id, "run", "token")
    pubsub = redis.pubsub()
    await pubsub.subscribe("stepwire:cancel")
    await log.delete(session_id)
    while (message := await pubsub.get_message(timeout=5)) is not None:
        if message["data"] == f"{session_id} *".encode():
            break
    assert message is not None
    await pubsub.aclose()


@pytest.mark.parametrize(
    ("accept", "mime", "name", "expected"),
    [
        ([], "image/png", "a.png", True),
        (["image/*"], "image/png", "a", True),
        (["image/*"], "text/plain", "a.png", False),
        (["TEXT/plain"], "text/plain; charset=utf-8", "a", True),
        ([".PY"], "text/x-python", "a.py", True),
        ([".py"], "text/x-python", "apy", False),
        (["*/*"], "application/octet-stream", "a", True),
    ],
)
async def test_what_is_asked_for_is_told_from_the_rest(
    accept: list[str], mime: str, name: str, expected: bool
) -> None:
    assert accepts(accept, mime, name) is expected


async def test_an_answer_is_checked_against_its_kind(session_id: str) -> None:
    actions = [ActionDocument(id="a", name="a", label="a")]
    ask = open_ask(session_id).model_copy(update={"kind": "action", "actions": actions})
    assert answers.ended(ask, answers.Answer(id="x", action="a")).answer is not None
    for given in (answers.Answer(id="x", action="b"), answers.Answer(id="x", content="a")):
        with pytest.raises(InvalidArgument):
            answers.ended(ask, given)
