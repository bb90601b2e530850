"""What people answer to a handler, and which buttons they click."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Response
from pydantic import Field

from stepwire_core.errors import (
    ActionNotFound,
    AskEnded,
    AskNotFound,
    IdConflict,
    InvalidId,
    RunEnded,
    RunFenced,
    RunNotFound,
)
from stepwire_core.log import answers
from stepwire_core.values.ids import check_id
from stepwire_core.wire.documents import AskDocument, Submission
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.words import action_handler
from stepwire_gateway.api.idempotency import IdempotencyDep
from stepwire_gateway.api.operations import may
from stepwire_gateway.api.runs import ACCEPTED, AcceptedRun, run_path
from stepwire_gateway.api.uploads import MAX_FILES, require_uploads
from stepwire_gateway.auth.guard import CallerDep, GuardedRoute, needs
from stepwire_gateway.http.bodies import Body, Id, Object, OnBehalf, Text, require_bounded
from stepwire_gateway.services import ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_core.wire.documents import StepActionDocument
    from stepwire_gateway.services import Services

router = APIRouter(prefix="/v1/sessions/{session_id}", route_class=GuardedRoute)


class NewSubmission(Body):
    submitted: bool = Field(default=True, description="False: the person has cancelled.")
    props: Object = Field(default_factory=dict, description="What the element says.")


class NewAnswer(Body):
    """By the kind of the ask: ``content`` (text), ``action``, ``files``, or ``submission``
    (element)."""

    content: Text | None = Field(default=None, min_length=1)
    action: Id | None = Field(default=None, description="The id of one of its actions.")
    files: list[Id] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_FILES,
        json_schema_extra={"uniqueItems": True},
        description="Ids of elements that were uploaded before.",
    )
    submission: NewSubmission | None = Field(
        default=None, description="The submission of an element that asks."
    )
    id: Id | None = Field(
        default=None,
        description="Makes the request repeatable; of a text also the id of its message.",
    )
    author: Text = "User"
    metadata: Object = Field(default_factory=dict)


@router.post("/asks/{id}", tags=["asks"], responses=may(409))
@needs("write", counts="messages")
async def answer_ask(
    services: ServicesDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    ask_id: Annotated[str, Path(alias="id")],
    body: NewAnswer,
) -> AskDocument:
    """Answer what a handler asks; it goes on with the answer. An ask is answered once."""
    ask = await _ask(services, session_id, ask_id)
    answer_id = idempotency.id(body.id)
    with idempotency.checked(body.id):
        if ask.status != "open":
            return await _same_answer(services, ask, body, answer_id)
        return await _answered(services, ask, body, answer_id)


async def _answered(
    services: Services, ask: AskDocument, body: NewAnswer, answer_id: str
) -> AskDocument:
    require_bounded(body.content or "", body.metadata, services.settings)
    files = body.files
    answer = answers.Answer(
        id=answer_id,
        content=body.content,
        action=body.action,
        files=None
        if files is None
        else await require_uploads(services, ask.session_id, files, for_step=ask.step_id),
        submission=_submission(body),
        author=body.author,
        metadata=body.metadata,
    )
    ended = answers.ended(ask, answer)
    try:
        appended = await services.log.answer(answers.answer_batch(ask, answer, ended))
    except AskEnded:
        # Another request was quicker, or this same one, whose answer got lost.
        known = await services.log.ask(ask.session_id, ask.id)
        return await _same_answer(services, known, body, answer_id)
    except (RunEnded, RunFenced):
        raise AskEnded(ask.session_id, ask.id) from None
    if not appended.stored:
        # Stored by an earlier call of this request; or the id stands for a message.
        known = await services.log.ask(ask.session_id, ask.id)
        if known.answer is None or known.answer.id != answer_id:
            raise IdConflict("answer", answer_id)
        return await _same_answer(services, known, body, answer_id)
    return ended


async def _ask(services: Services, session_id: str, ask_id: str) -> AskDocument:
    try:
        check_id(ask_id, "ask")
    except InvalidId:
        await services.log.require(session_id)
        raise AskNotFound(session_id, ask_id) from None
    return await services.log.ask(session_id, ask_id)


async def _same_answer(
    services: Services, ask: AskDocument, body: NewAnswer, answer_id: str
) -> AskDocument:
    """The ask that this very answer has ended."""
    given = ask.answer
    if given is None or given.id != answer_id:
        raise AskEnded(ask.session_id, ask.id)
    content = None
    if given.message_id is not None:
        message = await services.log.step(ask.session_id, given.message_id)
        # One that has been removed since tells nothing.
        content = body.content if message is None else message["output"]
    was = (content, given.action_id, given.elements, given.submission)
    if was != (body.content, body.action, body.files or [], _submission(body)):
        raise IdConflict("answer", answer_id)
    return ask


def _submission(body: NewAnswer) -> Submission | None:
    given = body.submission
    return None if given is None else Submission(submitted=given.submitted, props=given.props)


class NewClick(OnBehalf):
    id: Id | None = Field(default=None, description="The run's id; makes the request repeatable.")


@router.post("/actions/{id}", tags=["actions"], status_code=202, responses=ACCEPTED | may(409))
@needs("write", counts="messages")
async def click_action(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    action_id: Annotated[str, Path(alias="id")],
    response: Response,
    body: NewClick,
) -> AcceptedRun:
    """Run the ``@cl.action_callback`` of an action, which a message has as a button."""
    caller = caller.on_behalf(body, session_id)
    run_id, work = idempotency.id(body.id), json.dumps(["action", action_id])
    response.headers["Location"] = services.address(run_path(session_id, run_id))
    try:
        action = await _action(services, session_id, action_id)
    except ActionNotFound:
        if not await _is_known(services, session_id, run_id):
            raise
        # The run that this very request has started may have taken the button away.
        with idempotency.checked(body.id):
            await services.log.register_run(session_id, run_id, work)
        return AcceptedRun(run_id=run_id)
    await services.queue.require_room(services.settings.queue_max)
    with idempotency.checked(body.id):
        await services.log.register_run(session_id, run_id, work)
    await services.queue.enqueue(
        caller.asking(
            RunRequest(
                session_id=session_id,
                run_id=run_id,
                handler=action_handler(action.name),
                arguments=action.model_dump(mode="json"),
                parent_id=action.step_id,
            )
        )
    )
    return AcceptedRun(run_id=run_id)


async def _action(services: Services, session_id: str, action_id: str) -> StepActionDocument:
    try:
        check_id(action_id, "action")
    except InvalidId:
        await services.log.require(session_id)
        raise ActionNotFound(session_id, action_id) from None
    return await services.log.action(session_id, action_id)


async def _is_known(services: Services, session_id: str, run_id: str) -> bool:
    with suppress(RunNotFound):
        await services.log.known_run(session_id, run_id)
        return True
    return False
