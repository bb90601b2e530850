"""The meaning of a request to run an agent: a message, an answer, or neither, and then the run that
is under way is followed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stepwire_core.errors import InvalidArgument
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import derived_id
from stepwire_core.wire.words import ON_CHAT_START, ON_MESSAGE
from stepwire_gateway.faces.agui import asking
from stepwire_gateway.faces.agui.bodies import METADATA, file_of
from stepwire_gateway.faces.answers import answering
from stepwire_gateway.faces.starting import (
    Said,
    Started,
    answer_again,
    as_id,
    ensure_session,
    keep_file,
    say,
    session_of,
)

if TYPE_CHECKING:
    from fastapi import Request

    from stepwire_core.wire.documents import AskDocument
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.faces.agui.bodies import AgUiMessage, RunAgentInput
    from stepwire_gateway.services import Services


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that is followed for a client."""

    session_id: str
    run_id: str
    after: Cursor | None
    """Nothing of the run comes before it; None: it may have begun."""
    also: list[str] = field(default_factory=list)
    """Other runs that are shown with it."""
    settled: frozenset[str] = frozenset()
    """Asks that the client has dealt with, which may be open a moment longer."""


async def turn(request: Request, services: Services, caller: Caller, body: RunAgentInput) -> Turn:
    """Do as the request says; the same request again, with the same ``runId``, does nothing new.

    Raises:
        InvalidArgument: nothing is asked for, and nothing is under way.
    """
    session_id = session_of(caller, "write", body.threadId)
    if body.resume is not None:
        ask = await asking.resume(request, services, caller, session_id, body.resume)
        return await _going_on(services, session_id, body, ask)
    last = body.messages[-1] if body.messages else None
    if last is not None and last.role == "tool":
        answered = await asking.results(request, services, caller, session_id, body.messages)
        if answered is not None:
            return await _going_on(services, session_id, body, answered)
    if last is not None and last.role == "user":
        return await _asked(request, services, caller, session_id, body, last)
    if (run := await answering(services, session_id)) is not None:
        return Turn(session_id, run.run_id, None)
    raise InvalidArgument(
        "messages: the last one must be the person's (role 'user'), or the result of a tool that "
        "the agent has called, while nothing is under way"
    )


async def _going_on(
    services: Services, session_id: str, body: RunAgentInput, ask: AskDocument
) -> Turn:
    """After an answer: the run that has asked, or the one that answers the client's last message,
    which may have waited for it."""
    asked, settled = ask.run_id or "", frozenset(e.interruptId for e in body.resume or ())
    said = [message.id for message in body.messages if message.role == "user"]
    if said:
        step = await services.log.step(session_id, as_id(said[-1], "message"))
        if step is not None and step["run_id"] not in (None, asked):
            run = await services.log.known_run(session_id, step["run_id"])
            if run is None or run.ended_at is None or run.will_retry:
                return Turn(session_id, step["run_id"], None, [asked], settled)
    return Turn(session_id, asked, None, settled=settled)


async def _asked(
    request: Request,
    services: Services,
    caller: Caller,
    session_id: str,
    body: RunAgentInput,
    message: AgUiMessage,
) -> Turn:
    """The run that answers a message: its first, or another one if it has been answered."""
    if not message.text and not message.media:
        raise InvalidArgument("messages: the last one is empty: a message needs a text or files")
    files = [(part, file_of(part)) for part in message.media]
    message_id = as_id(message.id, "message")
    [top] = await services.log.tops([session_id])
    if top is not None:
        known = await services.log.step(session_id, message_id)
        if known is not None and known["output"] == message.text:
            return await _again(request, services, caller, session_id, body, known)
    await ensure_session(request, services, caller, session_id, body.props)
    [now] = await services.log.tops([session_id])
    elements, linked = [], []
    for part, file in files:
        if file is not None:
            elements.append(await keep_file(services, session_id, message.id, *file))
        elif (own := _own_element(services, session_id, part)) is not None:
            elements.append(own)
        else:
            linked.append(part)
    aside = body.aside(services.settings.max_metadata_chars)
    metadata: dict[str, Any] = {METADATA: aside | ({"files": linked} if linked else {})}
    if top is None:
        metadata[METADATA]["first"] = True
    said = Said(message.id, message.text, metadata, elements)
    began = Cursor(now.epoch, 0) if top is None and now is not None else None
    started = await say(request, services, caller, session_id, said)
    return _first(started, began) if top is None else _next(started)


def _next(started: Started) -> Turn:
    return Turn(started.session_id, started.run_id, started.after)


def _first(started: Started, after: Cursor | None) -> Turn:
    """What ``on_chat_start`` says stands before the first answer."""
    chat_start = derived_id(started.session_id, ON_CHAT_START)
    return Turn(started.session_id, started.run_id, after, [chat_start])


async def _again(
    request: Request,
    services: Services,
    caller: Caller,
    session_id: str,
    body: RunAgentInput,
    known: dict[str, Any],
) -> Turn:
    """A message that was sent before: by this very request, or it is to be answered again."""
    sent = known["metadata"].get(METADATA)
    sent = sent if isinstance(sent, dict) else {}
    run_id = derived_id(session_id, ON_MESSAGE, known["id"])
    run = await services.log.known_run(session_id, run_id)
    is_over = run is not None and run.ended_at is not None and not run.will_retry
    if is_over and sent.get("runId") != body.runId:
        repeated = Said(known["id"], known["output"])
        started = await answer_again(request, services, caller, session_id, repeated)
        return _next(started)
    started = Started(session_id, run_id, known["id"], after=None)
    return _first(started, None) if sent.get("first") else _next(started)


def _own_element(services: Services, session_id: str, part: dict[str, Any]) -> str | None:
    """The id of a file that was uploaded to this session before, by its address."""
    source = part.get("source")
    url = source.get("value") if isinstance(source, dict) else part.get("url")
    begin = services.address(f"/v1/sessions/{session_id}/elements/")
    path = urlsplit(str(url)).path
    return path.removeprefix(begin) if path.startswith(begin) else None
