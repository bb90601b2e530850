"""The routes that ``useChat`` calls, as ``DefaultChatTransport`` calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urljoin

from fastapi import APIRouter, Path, Query, Request, Response

from stepwire_core.errors import InvalidArgument, SessionNotFound
from stepwire_core.wire.documents import AskDocument
from stepwire_gateway.api.asks import NewAnswer, answer_ask
from stepwire_gateway.api.idempotency import IdempotencyDep
from stepwire_gateway.auth.guard import CallerDep, needs
from stepwire_gateway.faces.aisdk.approvals import ApprovalMapping, answer_approvals
from stepwire_gateway.faces.aisdk.bodies import ChatRequest, UiMessage, file_of
from stepwire_gateway.faces.aisdk.history import messages_of
from stepwire_gateway.faces.aisdk.mapping import UiMessageMapping
from stepwire_gateway.faces.answers import answering
from stepwire_gateway.faces.errors import route_saying
from stepwire_gateway.faces.events import Scope
from stepwire_gateway.faces.face_stream import FaceStream
from stepwire_gateway.faces.starting import (
    Said,
    Started,
    answer_again,
    ensure_session,
    keep_file,
    say,
    session_of,
    stop,
)
from stepwire_gateway.http.bodies import require_bounded
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.services import Services

HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}


def _said(problem: dict[str, Any]) -> tuple[bytes, str]:
    """``useChat`` shows the text of a refusal as its ``error.message``."""
    return problem["detail"].encode(), "text/plain; charset=utf-8"


ROUTE: Final = route_saying(_said)

router = APIRouter(prefix="/aisdk/chat", route_class=ROUTE, include_in_schema=False, tags=["aisdk"])

ChatId = Annotated[str, Path(max_length=1000)]
Approvals = Annotated[bool, Query(description="Tell asks of tools as approvals.")]


@router.post("")
@needs("write", session="body", counts="messages", fetched=True)
async def chat(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    body: ChatRequest,
    approvals: Approvals = False,
) -> Response:
    """Send a message, have the last one answered again, or let a tool run that asks; the answer
    streams."""
    had = body.decided if approvals else None
    if had is not None:
        started = await answer_approvals(request, services, caller, body.id, had)
    else:
        started = await start(request, services, caller, body)
    return await _streamed(request, services, caller, started, approvals=approvals, had=had)


@router.get("/{chat_id}/messages", response_model=None)
@needs("read", session="body", counts="reads")
async def read_messages(
    request: Request, services: ServicesDep, caller: CallerDep, chat_id: ChatId
) -> list[dict[str, Any]]:
    """What has been said, for ``useChat({messages})``; empty before the first message."""
    session_id = session_of(caller, "read", chat_id)
    try:
        snapshot = await services.hub.snapshots.whole(session_id)
    except SessionNotFound:
        return []
    return await messages_of(snapshot, addresses(request))


@router.get("/{chat_id}/stream")
@needs("read", session="body", counts="reads", fetched=True)
async def resume_chat(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    chat_id: ChatId,
    approvals: Approvals = False,
) -> Response:
    """The answer that is under way, from its beginning; 204 if no answer is under way."""
    session_id = session_of(caller, "read", chat_id)
    run = await answering(services, session_id)
    if run is None:
        return Response(status_code=204)
    started = Started(session_id, run.run_id, "", after=None)
    return await _streamed(request, services, caller, started, approvals=approvals)


@router.post("/{chat_id}/stop", status_code=204)
@needs("cancel", session="body")
async def stop_chat(services: ServicesDep, caller: CallerDep, chat_id: ChatId) -> None:
    """Cancel the answer that is under way: ``stop()`` alone only stops reading."""
    session_id = session_of(caller, "cancel", chat_id)
    if (run := await answering(services, session_id)) is not None:
        await stop(services, session_id, run.run_id)


@router.post("/{chat_id}/asks/{ask_id}", response_model=AskDocument)
@needs("write", session="body", counts="messages")
async def answer_chat(
    services: ServicesDep,
    caller: CallerDep,
    idempotency: IdempotencyDep,
    chat_id: ChatId,
    ask_id: str,
    body: NewAnswer,
) -> AskDocument:
    """Answer the question of a ``data-ask`` part; the handler goes on."""
    session_id = session_of(caller, "write", chat_id)
    return await answer_ask(services, idempotency, session_id, ask_id, body)


async def start(request: Request, services: Services, caller: Caller, body: ChatRequest) -> Started:
    """The run that answers what a client has sent."""
    question = body.question
    session_id = session_of(caller, "write", body.id)
    # All of it is checked before anything is made.
    require_bounded(question.text, question.metadata or {}, services.settings)
    files = [file_of(part) for part in question.parts if part.type == "file"]
    if not question.text and not files:
        raise InvalidArgument("a message needs content: a part of the type 'text' or 'file'")
    await ensure_session(request, services, caller, session_id, body.metadata)
    if body.trigger == "regenerate-message":
        said = Said(question.id, question.text)
        return await answer_again(request, services, caller, session_id, said)
    elements = [
        await keep_file(services, session_id, question.id, name, mime, content)
        for name, mime, content in files
    ]
    said = Said(question.id, question.text, dict(question.metadata or {}), elements)
    return await say(request, services, caller, session_id, said)


async def _streamed(
    request: Request,
    services: Services,
    caller: Caller,
    started: Started,
    *,
    approvals: bool,
    had: UiMessage | None = None,
) -> Response:
    """The stream of a run that has been started; without what the client has ``had``."""
    reading = await services.hub.open(started.session_id, started.after)
    run_id, address = started.run_id, addresses(request)
    mapping = (
        ApprovalMapping(run_id, address, had=had)
        if approvals
        else UiMessageMapping(run_id, address)
    )
    return FaceStream(reading, services, caller, mapping, Scope(started.run_id), headers=HEADERS)


def addresses(request: Request) -> Callable[[str], str]:
    """How elements are addressed: to a page of another origin, with ours before the path."""
    if "origin" not in request.headers:
        return lambda url: url
    base = str(request.base_url)
    return lambda url: urljoin(base, url)
