"""Ratings that people give to steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field

from stepwire_core.errors import FeedbackDisabled, InvalidId, StepNotFound
from stepwire_core.log.event_log import Batch
from stepwire_core.log.submit import is_one_step, submit
from stepwire_core.values.clock import now
from stepwire_core.values.ids import check_id, request_producer
from stepwire_core.wire.documents import FeedbackDocument
from stepwire_core.wire.events import feedback_event
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.words import ON_FEEDBACK
from stepwire_gateway.api.idempotency import IdempotencyDep
from stepwire_gateway.api.operations import may
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.bodies import Body, Text
from stepwire_gateway.services import ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_gateway.api.idempotency import Idempotency
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.services import Services

router = APIRouter(
    prefix="/v1/sessions/{session_id}/steps/{id}/feedback",
    tags=["feedback"],
    route_class=GuardedRoute,
)

StepIdPath = Annotated[str, Path(alias="id")]


class NewFeedback(Body):
    value: Literal[0, 1] = Field(description="1 good, 0 bad.")
    comment: Text | None = Field(default=None, max_length=10_000)


@router.put("", responses=may(409))
@needs("write", counts="messages")
async def give_feedback(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    step_id: StepIdPath,
    body: NewFeedback,
) -> FeedbackDocument:
    """Rate a step, for all to see, and run ``on_feedback``; replaces the earlier rating."""
    step = await _step(services, session_id, step_id)
    if step.get("disable_feedback", True):
        raise FeedbackDisabled(session_id, step_id)
    feedback = FeedbackDocument(step_id=step_id, value=body.value, comment=body.comment, ts=now())
    await _give(services, caller, idempotency, session_id, feedback)
    return feedback


@router.delete("", status_code=204, responses=may(409))
@needs("write", counts="messages")
async def withdraw_feedback(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    step_id: StepIdPath,
) -> None:
    """Take back the rating of a step, and run ``on_feedback`` with the value None."""
    await _step(services, session_id, step_id)
    feedback = FeedbackDocument(step_id=step_id, value=None, ts=now())
    await _give(services, caller, idempotency, session_id, feedback)


async def _step(services: Services, session_id: str, step_id: str) -> dict[str, object]:
    await services.log.require(session_id)
    try:
        check_id(step_id, "step")
    except InvalidId:
        raise StepNotFound(session_id, step_id) from None
    step = await services.log.step(session_id, step_id)
    if step is None:
        raise StepNotFound(session_id, step_id)
    return step


async def _give(
    services: Services,
    caller: Caller,
    idempotency: Idempotency,
    session_id: str,
    feedback: FeedbackDocument,
) -> None:
    run_id, producer = idempotency.id(), ""
    request = caller.asking(
        RunRequest(
            session_id=session_id,
            run_id=run_id,
            handler=ON_FEEDBACK,
            arguments=feedback.model_dump(mode="json"),
        )
    )
    await services.queue.require_room(services.settings.queue_max)
    if idempotency.key is not None:
        producer = request_producer(run_id)
        said = feedback.model_dump_json(include={"step_id", "value", "comment"})
        with idempotency.checked():
            await services.log.register_run(session_id, run_id, said)
    batch = Batch(session_id, [feedback_event(feedback)], producer=producer)
    appended = await submit(services.log, services.queue, batch, request)
    if appended.stored or idempotency.key is None:
        return
    if not is_one_step(services.log, services.queue):
        # The first request may have ended before it had queued the run.
        await services.queue.enqueue(request)
