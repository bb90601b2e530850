"""Runs over HTTP: start one, see how far it is, cancel it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from stepwire_core.errors import (
    Forbidden,
    InvalidArgument,
    RequestNotKept,
    RunEnded,
    RunNotFound,
    SessionNotFound,
)
from stepwire_core.log.event_log import Batch
from stepwire_core.log.repeat import WITHOUT_ARGUMENTS, past_request, repetition, start_again
from stepwire_core.log.turn_queue import pass_turn
from stepwire_core.values.ids import attempt_token
from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.run_ends import cancelled_events
from stepwire_core.wire.run_entry import Tags
from stepwire_core.wire.run_request import KeptRequest, RunRequest
from stepwire_core.wire.words import PROTOCOL_VERSION, is_event_handler
from stepwire_gateway.api.idempotency import IdempotencyDep
from stepwire_gateway.api.operations import LOCATION, may
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.bodies import Body, Id, Object, OnBehalf, Text
from stepwire_gateway.services import RunId, ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_core.log.repeat import PastRequest
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.services import Services

router = APIRouter(prefix="/v1/sessions/{session_id}/runs", tags=["runs"], route_class=GuardedRoute)

TAGS_ARE: Final = "Words by which `GET /v1/runs` finds the run."

RETRY_OF_IS: Final = "The run, of the same session, that this repeats with other input."

ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {"description": "It is queued; `Location` says how far it is.", "headers": LOCATION}
}


class NewRun(OnBehalf):
    task: Text = Field(min_length=1, max_length=128)
    args: Object = Field(default_factory=dict)
    id: Id | None = Field(default=None, description="The run's id; makes the request repeatable.")
    defer_until: AwareDatetime | None = Field(
        default=None, description="Not before then (RFC 3339); the past is now."
    )
    tags: Tags = Field(default_factory=list, description=TAGS_ARE)
    retry_of: Id | None = Field(default=None, description=RETRY_OF_IS)


class Retry(Body):
    id: Id | None = Field(
        default=None, description="The new run's id; makes the request repeatable."
    )


class AskedFor(BaseModel):
    """The request that started a run."""

    run_id: str
    handler: str
    args: dict[str, JsonValue] | None = Field(
        description="Of a task, or of a click or a rating. null: it has none, or `hidden`."
    )
    hidden: bool = Field(
        description="The arguments are shown to the subject that has sent them, and to callers "
        "with the right `admin`."
    )
    message_id: str | None = Field(description="The message that has started it.")


class AcceptedRun(BaseModel):
    run_id: str


class RunState(BaseModel):
    """A run as far as the session knows it: the document that its events carry, and before the
    first of them what it is known to be."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": True})

    run_id: str
    status: str = Field(
        default="queued",
        json_schema_extra={
            "enum": ["queued", "running", "ok", "error", "cancelled", "interrupted"]
        },
        description="`queued`: no attempt has begun. One that failed and has `will_retry` waits "
        "for the next.",
    )
    handler: str | None = Field(default=None, description="null while it is not known.")
    attempt: int = Field(default=0, description="Counted from 1.")
    message_id: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: ErrorInfo | None = None
    will_retry: bool = False
    parent_run_id: str | None = None
    retry_of: str | None = Field(default=None, exclude_if=lambda run_id: run_id is None)
    ts: str | None = None
    v: int = PROTOCOL_VERSION


def run_path(session_id: str, run_id: str) -> str:
    """The path at which the state of a run is read."""
    return f"/v1/sessions/{session_id}/runs/{run_id}"


def accepted(services: Services, response: Response, session_id: str, run_id: str) -> AcceptedRun:
    """The answer of a request that has queued, or ended, a run; ``Location`` leads to its state."""
    response.headers["Location"] = services.address(run_path(session_id, run_id))
    return AcceptedRun(run_id=run_id)


@router.post("", status_code=202, responses=ACCEPTED | may(409))
@needs("write", counts="messages")
async def start_run(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    response: Response,
    body: NewRun,
) -> AcceptedRun:
    """Run a ``@cl.task`` with ``args`` as keyword arguments."""
    sender = caller.subject
    caller = caller.on_behalf(body, session_id)
    if is_event_handler(body.task):
        # Their arguments say what a person did, so a request must not be able to invent them.
        raise InvalidArgument(
            f"task: {body.task!r} is not a task: it runs when its event happens in a session; "
            "name a function that has @cl.task"
        )
    run_id = idempotency.id(body.id)
    work = [body.task, body.args]
    if body.retry_of is not None:
        await services.log.known_run(session_id, body.retry_of)
        work.append(body.retry_of)
    await services.queue.require_room(services.settings.queue_max)
    defer_s = 0.0
    if body.defer_until is not None:
        defer_s = await _defer_s(services, session_id, body.defer_until)
    with idempotency.checked(body.id):
        await services.log.register_run(
            session_id,
            run_id,
            json.dumps(work, sort_keys=True),
            keep=KeptRequest(
                handler=body.task, arguments=dict(body.args), tags=body.tags, sender=sender
            ),
        )
    await services.queue.enqueue(
        caller.asking(
            RunRequest(
                session_id=session_id,
                run_id=run_id,
                handler=body.task,
                arguments=dict(body.args),
                tags=body.tags,
                due_ms=None if body.defer_until is None else _ms(body.defer_until),
                retry_of=body.retry_of,
            )
        ),
        defer_s=defer_s,
    )
    return accepted(services, response, session_id, run_id)


@router.get("/{run_id}")
@needs("read", counts="reads")
async def read_run(services: ServicesDep, session_id: SessionId, run_id: RunId) -> RunState:
    """How far a run is; ``queued`` while no worker has begun it."""
    run = await services.log.known_run(session_id, run_id)
    if run is not None:
        return RunState.model_validate(run.model_dump())
    request = await services.queue.request(run_id)
    if request is None or request.session_id != session_id:
        # It has left the queue, and the log has nothing of it yet: a worker may begin it just now.
        return RunState(run_id=run_id)
    return RunState(
        run_id=run_id,
        handler=request.handler,
        message_id=request.message.id if request.message else None,
        parent_run_id=request.parent_run_id,
        retry_of=request.retry_of,
    )


@router.get("/{run_id}/request", responses=may(409))
@needs("write", counts="reads")
async def read_request(
    services: ServicesDep, caller: CallerDep, session_id: SessionId, run_id: RunId
) -> AskedFor:
    """The request that started a run that is over: to repeat it, or to start another like it."""
    past = await past_request(services.log, services.dead_letters, session_id, run_id)
    request, shown = past.request, _may_see(caller, past)
    has_args = request.message is None and request.handler not in WITHOUT_ARGUMENTS
    return AskedFor(
        run_id=run_id,
        handler=request.handler,
        args=dict(request.arguments) if has_args and shown else None,
        hidden=has_args and not shown,
        message_id=None if request.message is None else request.message.id,
    )


@router.post("/{run_id}/retry", status_code=202, responses=ACCEPTED | may(409))
@needs("write", counts="messages")
async def retry_run(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    run_id: RunId,
    response: Response,
    body: Retry | None = None,
) -> AcceptedRun:
    """Do the work of a run that is over again, by a new run, whose ``retry_of`` it is.

    The same message, or the same arguments: to change them, start a run or send a message with
    ``retry_of``. A run that has failed is taken off the list of the failed ones.
    """
    given = body.id if body else None
    new_id = idempotency.id(given)
    try:
        past = await past_request(services.log, services.dead_letters, session_id, run_id)
    except RequestNotKept:
        # The dead letter, from which a first request of this id has taken it, went with that one.
        if not await _is_known(services, session_id, new_id):
            raise
        return accepted(services, response, session_id, new_id)
    if not _may_see(caller, past):
        # It would do something with what the caller is not to know.
        raise Forbidden(
            "the arguments of this run are those of another sender: only that one, and callers with"
            " the right 'admin', may repeat it"
        )
    await services.queue.require_room(services.settings.queue_max)
    request = caller.asking(repetition(past.request, new_id))
    with idempotency.checked(given):
        await start_again(request, services.log, services.queue, keep=past.kept)
    await services.dead_letters.forget(run_id)
    return accepted(services, response, session_id, new_id)


async def _is_known(services: Services, session_id: str, run_id: str) -> bool:
    try:
        await services.log.known_run(session_id, run_id)
    except RunNotFound:
        return False
    return True


def _may_see(caller: Caller, past: PastRequest) -> bool:
    return past.is_open or caller.may_know(past.sender)


@router.post("/{run_id}/cancel", status_code=202, responses=ACCEPTED)
@needs("cancel")
async def cancel_run(
    services: ServicesDep, session_id: SessionId, run_id: RunId, response: Response
) -> AcceptedRun:
    """Stop a run: its handler is cancelled, and its open steps end as ``cancelled``.

    One that still waits for a worker is over at once; one that is over stays as it is. What it has
    started with ``cl.enqueue`` is cancelled with it.
    """
    if await services.log.cancel_run(session_id, run_id):
        await _drop(services, session_id, run_id)
    return accepted(services, response, session_id, run_id)


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


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


async def _defer_s(services: Services, session_id: str, until: datetime) -> float:
    """How long to wait. A run that is due when its session has expired could never begin."""
    defer_s = (until - datetime.now(UTC)).total_seconds()
    expires_in_s = await services.log.expires_in_s(session_id)
    if defer_s >= expires_in_s:
        end = datetime.now(UTC) + timedelta(seconds=expires_in_s)
        raise InvalidArgument(
            f"defer_until: the session lives until {end.isoformat(timespec='seconds')} if nothing "
            "happens in it before (STEPWIRE_SESSION_TTL_S), so the run could never begin: give an "
            "earlier time"
        )
    return max(0.0, defer_s)
