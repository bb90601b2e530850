"""Answers to what handlers ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from stepwire_core import asks
from stepwire_core.documents import AskDocument
from stepwire_core.errors import (
    AskEnded,
    AskNotFound,
    IdConflict,
    InvalidId,
    MessageTooLarge,
    RunEnded,
    RunFenced,
)
from stepwire_core.ids import check_id, new_id
from stepwire_gateway._access import GuardedRoute, needs
from stepwire_gateway._bodies import Body, Id, Object, Text
from stepwire_gateway._elements import uploads
from stepwire_gateway._services import ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_gateway._services import Services

router = APIRouter(prefix="/v1/sessions/{session_id}/asks", tags=["asks"], route_class=GuardedRoute)


class NewAnswer(Body):
    """By the kind of the ask: ``content`` (text), ``action``, or ``files``."""

    content: Text | None = Field(default=None, min_length=1)
    action: Id | None = Field(default=None, description="The id of one of its actions.")
    files: list[Id] | None = Field(
        default=None,
        min_length=1,
        json_schema_extra={"uniqueItems": True},
        description="Ids of elements that were uploaded before.",
    )
    id: Id | None = Field(
        default=None,
        description="Makes the request repeatable; of a text also the id of its message.",
    )
    author: Text = "User"
    metadata: Object = Field(default_factory=dict)


@router.post("/{id}")
@needs("write", counts="messages")
async def answer_ask(
    services: ServicesDep,
    session_id: SessionId,
    ask_id: Annotated[str, Path(alias="id")],
    body: NewAnswer,
) -> AskDocument:
    """Answer what a handler asks; it goes on with the answer. An ask is answered once."""
    ask = await _ask(services, session_id, ask_id)
    if ask.status != "open":
        return _same_answer(ask, body)
    if len(body.content or "") > services.settings.max_message_chars:
        raise MessageTooLarge(len(body.content or ""), services.settings.max_message_chars)
    files = body.files
    answer = asks.Answer(
        id=body.id or new_id(),
        content=body.content,
        action=body.action,
        files=None
        if files is None
        else await uploads(services, session_id, files, for_step=ask.step_id),
        author=body.author,
        metadata=body.metadata,
    )
    ended = asks.ended(ask, answer)
    try:
        appended = await services.log.answer(asks.answer_batch(ask, answer, ended))
    except AskEnded:
        # Somebody was quicker; perhaps this same request, whose answer got lost.
        return _same_answer(await services.log.ask(session_id, ask_id), body)
    except (RunEnded, RunFenced):
        raise AskEnded(session_id, ask_id) from None
    if not appended.stored:
        # Stored by an earlier call of this request; or the id stands for a message.
        known = await services.log.ask(session_id, ask_id)
        if known.answer is None or known.answer.id != answer.id:
            raise IdConflict("answer", answer.id)
        return known
    return ended


async def _ask(services: Services, session_id: str, ask_id: str) -> AskDocument:
    try:
        check_id(ask_id, "ask")
    except InvalidId:
        await services.log.require(session_id)
        raise AskNotFound(session_id, ask_id) from None
    return await services.log.ask(session_id, ask_id)


def _same_answer(ask: AskDocument, body: NewAnswer) -> AskDocument:
    if ask.answer is None or ask.answer.id != body.id:
        raise AskEnded(ask.session_id, ask.id)
    return ask
