"""Sessions and what is sent to them: the writing half of the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Self

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stepwire_core.errors import IdConflict, RunEnded, RunFenced
from stepwire_core.log.event_log import Batch
from stepwire_core.log.submit import submit
from stepwire_core.values.ids import derived_id, message_producer
from stepwire_core.wire.choices.start_page import profile_events
from stepwire_core.wire.documents import Snapshot
from stepwire_core.wire.events import title_event
from stepwire_core.wire.run_entry import Tags
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.session_entry import title_of_message
from stepwire_core.wire.user_messages import attached, message_events, user_message
from stepwire_core.wire.words import ON_CHAT_END, ON_CHAT_RESUME, ON_CHAT_START, ON_MESSAGE
from stepwire_gateway.api.choices.start_page import (
    Languages,
    first_language,
    offered,
    offers_for,
)
from stepwire_gateway.api.idempotency import IdempotencyDep
from stepwire_gateway.api.operations import ETAG, LOCATION, may
from stepwire_gateway.api.runs import (
    ACCEPTED,
    RETRY_OF_IS,
    TAGS_ARE,
    AcceptedRun,
    accepted,
    run_path,
)
from stepwire_gateway.api.uploads import MAX_FILES, require_uploads
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.bodies import Body, Id, Object, OnBehalf, Text, require_bounded
from stepwire_gateway.http.ranges import etag_matches
from stepwire_gateway.services import ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_core.values.cursor import Cursor
    from stepwire_core.wire.documents import StepDocument
    from stepwire_core.wire.events import NewEvent
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
    from stepwire_gateway.services import Services

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=GuardedRoute)


class NewSession(Body):
    id: Id | None = Field(default=None, description="Taken once; by default a fresh one.")
    chat_profile: Text | None = Field(
        default=None,
        min_length=1,
        description="The name of a profile of `GET /v1/start`; by default its default one.",
    )


class CreatedSession(BaseModel):
    session_id: str


class NewMessage(OnBehalf):
    model_config = ConfigDict(
        # A message without words has files. As `anyOf` it would be two types to generated clients.
        json_schema_extra={
            "if": {"properties": {"content": {"maxLength": 0}}},
            "then": {"required": ["elements"], "properties": {"elements": {"minItems": 1}}},
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
        max_length=MAX_FILES,
        json_schema_extra={"uniqueItems": True},
        description="Ids of files that were uploaded before: the handler gets them.",
    )
    tags: Tags = Field(default_factory=list, description=TAGS_ARE)
    retry_of: Id | None = Field(default=None, description=RETRY_OF_IS)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.content and not self.elements:
            raise ValueError("a message needs content, or elements, or both")
        return self


class AcceptedMessage(BaseModel):
    run_id: str
    message_id: str


class Resumption(Body):
    id: Id | None = Field(default=None, description="The run's id; makes the request repeatable.")


@router.post(
    "",
    status_code=201,
    responses={
        **may(404),
        200: {"model": CreatedSession, "description": "It was there already."},
        201: {"headers": LOCATION},
    },
)
@needs("write", session="body", counts="sessions")
async def create_session(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    response: Response,
    languages: Languages = None,
    body: NewSession | None = None,
) -> CreatedSession:
    """Create a session and run ``on_chat_start``; 200 if the ``id`` exists already."""
    session_id = (body.id if body else None) or caller.new_session_id(idempotency.id())
    caller.require("write", session_id)
    events: list[NewEvent] = []
    if body is not None and body.chat_profile is not None:
        offers = await offers_for(services, caller.subject, first_language(languages))
        profile = offered(offers, body.chat_profile)
        events = profile_events(session_id, profile)
    if not await make_session(services, caller, session_id, events):
        response.status_code = 200
    response.headers["Location"] = services.address(f"/v1/sessions/{session_id}")
    return CreatedSession(session_id=session_id)


async def make_session(
    services: Services, caller: Caller, session_id: str, events: Sequence[NewEvent] = ()
) -> bool:
    """Make a session with these first events, and run ``on_chat_start``; False if it was there.

    Raises:
        QueueFull: nothing was stored.
        StoreUnavailable: Redis does not answer; repeating the call is safe.
    """
    run_id = derived_id(session_id, ON_CHAT_START)
    await services.queue.require_room(services.settings.queue_max)
    # Repeating all of it is harmless: the run is queued once, and runs once.
    created = await services.log.create(
        session_id, run_id, turn=ON_CHAT_START, subject=caller.subject, events=events
    )
    await services.queue.enqueue(
        caller.asking(RunRequest(session_id=session_id, run_id=run_id, handler=ON_CHAT_START))
    )
    if created:
        await services.hub.sessions.index.note(session_id, caller.subject)
    return created


@router.get(
    "/{session_id}",
    response_model=Snapshot,
    responses={
        200: {"headers": ETAG},
        304: {"description": "`If-None-Match` names its state.", "headers": ETAG},
    },
)
@needs("read", counts="reads")
async def read_session(
    services: ServicesDep,
    session_id: SessionId,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The whole state of a session, and the cursor it is true at."""
    if if_none_match is not None:
        [top] = await services.log.tops([session_id])
        if top is not None and etag_matches(if_none_match, f'"{top}"'):
            return Response(status_code=304, headers=_validators(top))
    snapshot = await services.hub.snapshots.whole(session_id)
    headers = _validators(snapshot.cursor) | {"Content-Length": str(snapshot.json_bytes)}
    return StreamingResponse(_parts(snapshot), headers=headers, media_type="application/json")


def _validators(cursor: Cursor) -> dict[str, str]:
    return {
        # Weak: another version of the gateway may write the same state in other bytes.
        "ETag": f'W/"{cursor}"',
        # Only for callers with the right to read it, and checked each time.
        "Cache-Control": "private, no-cache",
    }


async def _parts(snapshot: WrittenSnapshot) -> AsyncIterator[bytes]:
    for part in snapshot.parts():
        yield part
        await asyncio.sleep(0)


@router.delete("/{session_id}", status_code=204)
@needs("admin")
async def delete_session(services: ServicesDep, caller: CallerDep, session_id: SessionId) -> None:
    """Delete a session with everything in it, and run ``on_chat_end``.

    Its runs are cancelled, its streams end, and it can no longer be read or written to. A request
    that was cut off can be repeated; once the deletion is complete the answer is 404.
    """
    deleted = await services.log.delete(session_id)
    await services.hub.sessions.index.forget(session_id)
    run_id = derived_id(session_id, ON_CHAT_END, deleted.epoch)
    request = RunRequest(
        session_id=session_id, run_id=run_id, handler=ON_CHAT_END, user=deleted.user
    )
    await services.queue.enqueue(caller.asking(request))
    await services.dead_letters.forget_session(session_id)
    if services.objects is not None:
        await asyncio.to_thread(services.objects.remove_folder, deleted.object_folder)
    await services.log.forget_deleted(session_id)


@router.post("/{session_id}/resume", status_code=202, responses=ACCEPTED | may(409))
@needs("write", counts="messages")
async def resume_session(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    response: Response,
    body: Resumption | None = None,
) -> AcceptedRun:
    """A person comes back to a conversation: run ``on_chat_resume``."""
    given = body.id if body else None
    run_id = idempotency.id(given)
    await services.queue.require_room(services.settings.queue_max)
    with idempotency.checked(given):
        await services.log.register_run(session_id, run_id, ON_CHAT_RESUME, turn=ON_CHAT_RESUME)
    await services.queue.enqueue(
        caller.asking(RunRequest(session_id=session_id, run_id=run_id, handler=ON_CHAT_RESUME))
    )
    return accepted(services, response, session_id, run_id)


@router.post("/{session_id}/messages", status_code=202, responses=ACCEPTED | may(409))
@needs("write", counts="messages")
async def post_message(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    response: Response,
    body: NewMessage,
) -> AcceptedMessage:
    """Put a person's message into the log, for all to see, and run ``on_message``."""
    caller = caller.on_behalf(body, session_id)
    require_bounded(body.content, body.metadata, services.settings)
    if body.retry_of is not None:
        await services.log.known_run(session_id, body.retry_of)
    await services.queue.require_room(services.settings.queue_max)
    message_id = idempotency.id(body.id)
    run_id = derived_id(session_id, ON_MESSAGE, message_id)
    files = await require_uploads(services, session_id, body.elements, for_step=message_id)
    elements = attached(files, message_id, run_id)
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
    if (title := title_of_message(body.content)) is not None:
        events.append(title_event(title, once=True))
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
            tags=body.tags,
            retry_of=body.retry_of,
        )
    )
    with idempotency.checked(body.id):
        try:
            appended = await submit(services.log, services.queue, batch, request)
        except (RunEnded, RunFenced):
            # A failover has lost the message, and its run has begun again, or has ended.
            batch = replace(batch, run_id="", turn="")
            appended = await services.log.append(batch)
        if not appended.stored:
            await _same_message(services, session_id, message)
            # The first request may have ended before it had queued the run.
            await services.queue.enqueue(request)
    await services.hub.sessions.index.note(session_id)
    response.headers["Location"] = services.address(run_path(session_id, run_id))
    return AcceptedMessage(run_id=run_id, message_id=message_id)


async def _same_message(services: Services, session_id: str, message: StepDocument) -> None:
    known = await services.log.step(session_id, message.id)
    sent = message.model_dump(include={"name", "output", "metadata", "elements"})
    if known is not None and any(known[name] != value for name, value in sent.items()):
        raise IdConflict("message", message.id)
