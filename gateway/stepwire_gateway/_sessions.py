"""Sessions and what is sent to them: the writing half of the HTTP API."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from stepwire_core.clock import now
from stepwire_core.documents import (
    ON_CHAT_START,
    ON_MESSAGE,
    USER_MESSAGE,
    Snapshot,
    StepDocument,
)
from stepwire_core.errors import IdConflict, MessageTooLarge
from stepwire_core.events import step_event
from stepwire_core.ids import ID_PATTERN, derived_id, new_id
from stepwire_core.log import Batch
from stepwire_core.queue import RunRequest
from stepwire_gateway._access import CallerDep, GuardedRoute, needs
from stepwire_gateway._services import RunId, ServicesDep, SessionId

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=GuardedRoute)

Id = Annotated[str, Field(pattern=ID_PATTERN)]


class _Body(BaseModel):
    # A misspelt field that is silently dropped costs somebody an afternoon.
    model_config = ConfigDict(extra="forbid")


class NewSession(_Body):
    id: Id | None = Field(default=None, description="Taken once; by default a fresh one.")


class CreatedSession(BaseModel):
    session_id: str


class NewMessage(_Body):
    content: str = Field(min_length=1)
    id: Id | None = Field(
        default=None, description="Makes the request repeatable; by default a fresh one."
    )
    author: str = "User"
    metadata: dict[str, JsonValue] = Field(default_factory=dict)


class AcceptedMessage(BaseModel):
    run_id: str
    message_id: str


class NewRun(_Body):
    task: str = Field(min_length=1, max_length=128)
    args: dict[str, JsonValue] = Field(default_factory=dict)
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
    # Repeating all of it is harmless: the run is queued once, and runs once.
    created = await services.log.create(session_id, run_id)
    if not created:
        response.status_code = 200
    await services.queue.enqueue(
        RunRequest(session_id=session_id, run_id=run_id, handler=ON_CHAT_START)
    )
    return CreatedSession(session_id=session_id)


@router.get("/{session_id}")
@needs("read")
async def read_session(services: ServicesDep, session_id: SessionId) -> Snapshot:
    """The whole state of a session, and the cursor it is true at."""
    return await services.log.snapshot(session_id)


@router.post("/{session_id}/messages", status_code=202)
@needs("write", counts="messages")
async def post_message(
    services: ServicesDep, session_id: SessionId, body: NewMessage
) -> AcceptedMessage:
    """Put a person's message into the log, for all to see, and run ``on_message``."""
    if len(body.content) > services.settings.max_message_chars:
        raise MessageTooLarge(len(body.content), services.settings.max_message_chars)
    message_id = body.id or new_id()
    run_id = derived_id(session_id, ON_MESSAGE, message_id)
    ts = now()
    started = StepDocument(
        id=message_id,
        session_id=session_id,
        run_id=run_id,
        attempt=0,
        parent_id=None,
        name=body.author,
        type=USER_MESSAGE,
        status="running",
        output=body.content,
        metadata=body.metadata,
        started_at=ts,
        ts=ts,
    )
    message = started.model_copy(update={"status": "ok", "ended_at": ts})
    events = [step_event("step.start", started), step_event("step.end", message)]
    appended = await services.log.append(
        Batch(session_id, events, producer=f"m.{message_id}", run_id=run_id)
    )
    if not appended.stored:
        await _same_message(services, session_id, message)
    await services.queue.enqueue(
        RunRequest(session_id=session_id, run_id=run_id, handler=ON_MESSAGE, message=message)
    )
    return AcceptedMessage(run_id=run_id, message_id=message_id)


@router.post("/{session_id}/runs", status_code=202)
@needs("write", counts="messages")
async def start_run(services: ServicesDep, session_id: SessionId, body: NewRun) -> AcceptedRun:
    """Run a ``@cl.task`` with ``args`` as keyword arguments."""
    run_id = body.id or new_id()
    digest = json.dumps([body.task, body.args], sort_keys=True)
    await services.log.register_run(session_id, run_id, digest)
    await services.queue.enqueue(
        RunRequest(
            session_id=session_id, run_id=run_id, handler=body.task, arguments=dict(body.args)
        )
    )
    return AcceptedRun(run_id=run_id)


@router.post("/{session_id}/runs/{run_id}/cancel", status_code=202)
@needs("cancel")
async def cancel_run(services: ServicesDep, session_id: SessionId, run_id: RunId) -> AcceptedRun:
    """Stop a run: its handler is cancelled, and its open steps end as ``cancelled``.

    A run that waits for a worker is cancelled when one begins it; one that is over stays as it is.
    """
    await services.log.cancel_run(session_id, run_id)
    return AcceptedRun(run_id=run_id)


async def _same_message(services: ServicesDep, session_id: str, message: StepDocument) -> None:
    known = await services.log.step(session_id, message.id)
    if known is not None and known["output"] != message.output:
        raise IdConflict("message", message.id)
