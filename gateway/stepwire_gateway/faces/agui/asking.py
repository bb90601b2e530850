"""Answers to asks, as clients of AG-UI give them: to an interrupt, or as a tool's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Request

from stepwire_core.errors import AskNotFound, InvalidArgument
from stepwire_gateway.faces.asking import answer_with, give, made
from stepwire_gateway.faces.starting import stop
from stepwire_gateway.faces.tool_values import value_of

if TYPE_CHECKING:
    from stepwire_core.wire.documents import AskDocument
    from stepwire_gateway.api.asks import NewAnswer
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.faces.agui.bodies import AgUiMessage, ResumeEntry
    from stepwire_gateway.services import Services


async def resume(
    request: Request,
    services: Services,
    caller: Caller,
    session_id: str,
    entries: list[ResumeEntry],
) -> AskDocument:
    """Answer asks; the last one of them. Every answer is looked at before the first is given.

    The same answer again is taken once, with whatever run it comes. ``cancelled`` takes back the
    form of an element; of another ask, for whose handler there is no answer that says so, it
    cancels the run.

    Raises:
        AskNotFound, AskEnded: the question does not exist, or has its answer.
        InvalidArgument: an answer does not fit its question, or none was given.
    """
    asks = [await services.log.ask(session_id, entry.interruptId) for entry in entries]
    answers = [_answer(ask, entry) for ask, entry in zip(asks, entries, strict=True)]
    for ask, answer in zip(asks, answers, strict=True):
        if answer is not None:
            await give(request, services, caller, ask, answer)
        elif ask.run_id is not None:
            caller.require("cancel", session_id)
            await stop(services, session_id, ask.run_id)
    if not asks:
        raise InvalidArgument("resume: has no entries: send one for each interrupt")
    return asks[-1]


async def results(
    request: Request,
    services: Services,
    caller: Caller,
    session_id: str,
    messages: list[AgUiMessage],
) -> AskDocument | None:
    """Answer those asks of which the last messages are the results, as calls of the client's tools;
    the last one of them, None if there is none."""
    found = None
    for message in _last_results(messages):
        try:
            ask = await services.log.ask(session_id, message.toolCallId or "")
        except AskNotFound:
            continue
        found = ask
        submission = {"submitted": True, "props": _props(message.text)}
        answer = made(ask, {"submission": submission})
        await give(request, services, caller, ask, answer)
    return found


def _last_results(messages: list[AgUiMessage]) -> list[AgUiMessage]:
    at = len(messages)
    while at > 0 and messages[at - 1].role == "tool":
        at -= 1
    return messages[at:]


def _props(text: str) -> dict[str, Any]:
    """The result of a tool as an object: what it is, or under ``result``."""
    value = value_of(text)
    return value if isinstance(value, dict) else {"result": value}


def _answer(ask: AskDocument, entry: ResumeEntry) -> NewAnswer | None:
    """None: the person does not answer."""
    if entry.status == "cancelled":
        submission = {"submitted": False, "props": {}}
        return made(ask, {"submission": submission}) if ask.kind == "element" else None
    if entry.status != "resolved":
        raise InvalidArgument(
            f"resume: the status {entry.status!r} is not known: send 'resolved' or 'cancelled'"
        )
    return answer_with(ask, entry.payload)
