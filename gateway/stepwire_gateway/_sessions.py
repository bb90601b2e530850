"""Sessions and what is sent to them: the writing half of the HTTP API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from stepwire_core.documents import (
    EVENT_HANDLERS,
    ON_CHAT_END,
    ON_CHAT_RESUME,
    ON_CHAT_START,
    ON_MESSAGE,
    Snapshot,
)
from stepwire_core.errors import (
    IdConflict,
    InvalidArgument,
    MessageTooLarge,
    RunEnded,
    SessionNotFound,
)
from stepwire_core.ids import attempt_token, derived_id, message_producer, new_id
from stepwire_core.log import Batch
from stepwire_core.messages import attached, message_events, user_message
from stepwire_core.queue import RunRequest
from stepwire_core.runs import cancelled_events
from stepwire_core.submission import submit
from stepwire_core.turns import pass_turn
from stepwire_gateway._access import CallerDep, GuardedRoute, needs
from stepwire_gateway._bodies import Body, Id, Object, OnBehalf, Text
from stepwire_gateway._elements import uploads
from stepwire_gateway._services import RunId, ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_core.documents import StepDocument
    from stepwire_gateway._services import Services
    from stepwire_gateway._snapshots import WrittenSnapshot

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=GuardedRoute)


class NewSession(Body):
    id: Id | None = Field(default=None, description="Taken once; by default a fresh one.")


class CreatedSession(BaseModel):
    session_id: str


class NewMessage(OnBehalf):
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["content"], "properties": {"content": {"minLength": 1}}},
                {"required": ["elements"], "properties": {"elements": {"minItems": 1}}},
            ]
        }
    )

    content: Text = Field(default="", description="May be empty when there are elements.")
    id: Id | None = Field(
        default=None, description="Makes the request repeatable; by default a fresh one."
    )
    author: Text = "User"
    metadata: Object = Field(default_factory=dict)
    elements: list[Id] = Field(
        default_factory=list,
        max_length=100,
        json_schema_extra={"uniqueItems": True},
        description="Ids of files that were uploaded before: the handler gets them.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.content and not self.elements:
            raise ValueError("a message has a content, or elements, or both")
        return self


class AcceptedMessage(BaseModel):
    run_id: str
    message_id: str


class NewRun(OnBehalf):
    task: Text = Field(min_length=1, max_length=128)
    args: Object = Field(default_factory=dict)
    id: Id | None = Field(default=None, description="The run's id; makes the request repeatable.")
    defer_until: AwareDatetime | None = Field(
        default=None, description="Not before then (RFC 3339); the past is now."
    )


class Resumption(Body):
    id: Id | None = Field(default=None, description="The run's id; makes the request repeatable.")


class AcceptedRun(BaseModel):
    run_id: str


@router.post(
    "",
    status_code=201,
    responses={200: {"model": CreatedSession, "description": "It was there already."}},
)
@needs("write", session="body", counts="sessions")
async def create_session(
    services: ServicesDep, caller: CallerDep, response: Response, body: NewSession | None = None
) -> CreatedSession:
    """Create a session and run ``on_chat_start``; 200 if the ``id`` exists already."""
    session_id = (body.id if body else None) or caller.new_session_id()
    caller.require("write", session_id)
    run_id = derived_id(session_id, ON_CHAT_START)
    await services.queue.require_room(services.settings.queue_max)
    # Repeating all of it is harmless: the run is queued once, and runs once.
    created = await services.log.create(session_id, run_id, turn=ON_CHAT_START)
    if not created:
        response.status_code = 200
    await services.queue.enqueue(
        caller.asking(RunRequest(session_id=session_id, run_id=run_id, handler=ON_CHAT_START))
    )
    return CreatedSession(session_id=session_id)


@router.get("/{session_id}", response_model=Snapshot)
@needs("read", counts="reads")
async def read_session(services: ServicesDep, session_id: SessionId) -> Response:
    """The whole state of a session, and the cursor it is true at."""
    snapshot = await services.hub.snapshots.whole(session_id)
    length = {"Content-Length": str(snapshot.json_bytes)}
    return StreamingResponse(_parts(snapshot), headers=length, media_type="application/json")


async def _parts(snapshot: WrittenSnapshot) -> AsyncIterator[bytes]:
    for part in snapshot.parts():
        yield part
        await asyncio.sleep(0)


@router.delete("/{session_id}", status_code=204)
@needs("admin")
async def delete_session(services: ServicesDep, caller: CallerDep, session_id: SessionId) -> None:
    """Delete a session with everything in it, and run ``on_chat_end``.

    Its runs are cancelled, its streams end, and nobody can read it or write to it any more. A
    request that was cut off can be repeated; once all is done the answer is 404.
    """
    deleted = await services.log.delete(session_id)
    run_id = derived_id(session_id, ON_CHAT_END, deleted.epoch)
    request = RunRequest(
        session_id=session_id, run_id=run_id, handler=ON_CHAT_END, user=deleted.user
    )
    await services.queue.enqueue(caller.asking(request))
    await services.dead_letters.forget_session(session_id)
    if services.objects is not None:
        await asyncio.to_thread(services.objects.remove_folder, deleted.object_folder)
    await services.log.forget_deleted(session_id)


@router.post("/{session_id}/resume", status_code=202)
@needs("write", counts="messages")
async def resume_session(
    services: ServicesDep,
    caller: CallerDep,
    session_id: SessionId,
    body: Resumption | None = None,
) -> AcceptedRun:
    """A person comes back to a conversation: run ``on_chat_resume``."""
    run_id = (body.id if body else None) or new_id()
    await services.queue.require_room(services.settings.queue_max)
    await services.log.register_run(session_id, run_id, ON_CHAT_RESUME, turn=ON_CHAT_RESUME)
    await services.queue.enqueue(
        caller.asking(RunRequest(session_id=session_id, run_id=run_id, handler=ON_CHAT_RESUME))
    )
    return AcceptedRun(run_id=run_id)


@router.post("/{session_id}/messages", status_code=202)
@needs("write", counts="messages")
async def post_message(
    services: ServicesDep, caller: CallerDep, session_id: SessionId, body: NewMessage
) -> AcceptedMessage:
    """Put a person's message into the log, for all to see, and run ``on_message``."""
    caller = caller.on_behalf(body, session_id)
    if len(body.content) > services.settings.max_message_chars:
        raise MessageTooLarge(len(body.content), services.settings.max_message_chars)
    await services.queue.require_room(services.settings.queue_max)
    message_id = body.id or new_id()
    run_id = derived_id(session_id, ON_MESSAGE, message_id)
    elements = attached(
        await uploads(services, session_id, body.elements, for_step=message_id), message_id, run_id
    )
    message = user_message(
        session_id,
        message_id,
        body.content,
        run_id=run_id,
        author=body.author,
        metadata=body.metadata,
        element_ids=body.elements,
    )
    events = message_events(message, elements)
    batch = Batch(
        session_id, events, producer=message_producer(message_id), run_id=run_id, turn=ON_MESSAGE
    )
    request = caller.asking(
        RunRequest(
            session_id=session_id,
            run_id=run_id,
            handler=ON_MESSAGE,
            message=message,
            elements=elements,
        )
    )
    appended = await submit(services.log, services.queue, batch, request)
    if not appended.stored:
        await _same_message(services, session_id, message)
        # Whoever sent it first was perhaps cut off before he had queued it.
        await services.queue.enqueue(request)
    return AcceptedMessage(run_id=run_id, message_id=message_id)


@router.post("/{session_id}/runs", status_code=202)
@needs("write", counts="messages")
async def start_run(
    services: ServicesDep, caller: CallerDep, session_id: SessionId, body: NewRun
) -> AcceptedRun:
    """Run a ``@cl.task`` with ``args`` as keyword arguments."""
    caller = caller.on_behalf(body, session_id)
    if body.task in EVENT_HANDLERS:
        # What they are given says what a person did; nobody is to make that up.
        raise InvalidArgument(
            f"task: {body.task!r} is no task, it runs when that happens in a session; name a "
            "function that has @cl.task"
        )
    run_id = body.id or new_id()
    digest = json.dumps([body.task, body.args], sort_keys=True)
    await services.queue.require_room(services.settings.queue_max)
    defer_s = 0.0
    if body.defer_until is not None:
        defer_s = await _defer_s(services, session_id, body.defer_until)
    await services.log.register_run(session_id, run_id, digest)
    await services.queue.enqueue(
        caller.asking(
            RunRequest(
                session_id=session_id, run_id=run_id, handler=body.task, arguments=dict(body.args)
            )
        ),
        defer_s=defer_s,
    )
    return AcceptedRun(run_id=run_id)


@router.post("/{session_id}/runs/{run_id}/cancel", status_code=202)
@needs("cancel")
async def cancel_run(services: ServicesDep, session_id: SessionId, run_id: RunId) -> AcceptedRun:
    """Stop a run: its handler is cancelled, and its open steps end as ``cancelled``.

    One that still waits for a worker is over at once; one that is over stays as it is. What it has
    started with ``cl.enqueue`` is cancelled with it.
    """
    if await services.log.cancel_run(session_id, run_id):
        await _drop(services, session_id, run_id)
    return AcceptedRun(run_id=run_id)


async def _drop(services: Services, session_id: str, run_id: str) -> None:
    """End a run that no worker has. Cut off in between, a worker ends it: the wish is kept."""
    run = await services.log.run(session_id, run_id)
    if run is not None and not run.will_retry:
        # A worker has it, or had it and left something open.
        return
    request = await services.queue.take(run_id, services.settings.lease_s)
    if request is None:
        return
    with suppress(RunEnded, SessionNotFound):
        begun = await services.log.begin_run(session_id, run_id, attempt_token())
        await services.log.append(
            Batch(
                session_id,
                cancelled_events(request, begun.attempt),
                producer=begun.producer,
                run_id=run_id,
                attempt=begun.attempt,
            )
        )
    await services.queue.finish(run_id)
    await pass_turn(services.log, services.queue, session_id, request.handler, run_id)


async def _defer_s(services: Services, session_id: str, until: datetime) -> float:
    """How long to wait. A run that is due when its session has expired could never begin."""
    defer_s = (until - datetime.now(UTC)).total_seconds()
    lives_s = await services.log.lives_s(session_id)
    if defer_s >= lives_s:
        end = datetime.now(UTC) + timedelta(seconds=lives_s)
        raise InvalidArgument(
            f"defer_until: the session lives until {end.isoformat(timespec='seconds')} if nothing "
            "happens in it before (STEPWIRE_SESSION_TTL_S), so the run could never begin: give an "
            "earlier time"
        )
    return max(0.0, defer_s)


async def _same_message(services: Services, session_id: str, message: StepDocument) -> None:
    known = await services.log.step(session_id, message.id)
    if known is not None and (known["output"], known["elements"]) != (
        message.output,
        message.elements,
    ):
        raise IdConflict("message", message.id)
