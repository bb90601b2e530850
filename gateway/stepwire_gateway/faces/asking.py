"""Answers to asks, as clients of faces give them: a value that fits the kind of the ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from stepwire_core.errors import InvalidArgument
from stepwire_core.values.ids import derived_id
from stepwire_gateway.api.asks import NewAnswer, answer_ask
from stepwire_gateway.api.idempotency import Idempotency

if TYPE_CHECKING:
    from fastapi import Request

    from stepwire_core.wire.documents import AskDocument
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.services import Services


def answer_with(ask: AskDocument, value: Any) -> NewAnswer:
    """A value as the answer: a text, the name or id of an action, ids of files, or props; or an
    object with such a field.

    Raises:
        InvalidArgument: it does not answer an ask of this kind.
    """
    match ask.kind:
        case "text":
            return made(ask, {"content": _one_of(value, "content", "text", "value", "answer")})
        case "action":
            chosen = _one_of(value, "action", "id", "name", "value")
            named = {action.name: action.id for action in ask.actions}
            return made(ask, {"action": named.get(chosen, chosen)})
        case "file":
            files = value.get("files") if isinstance(value, dict) else value
            return made(ask, {"files": files})
        case _:
            props = value if isinstance(value, dict) else {"value": value}
            return made(ask, {"submission": {"submitted": True, "props": props}})


def made(ask: AskDocument, answer: dict[str, Any]) -> NewAnswer:
    """An answer that is known again by what it says: clients that try again give it no id.

    Raises:
        InvalidArgument: it does not answer an ask of this kind.
    """
    id_ = derived_id("answer", ask.session_id, ask.id, json.dumps(answer, sort_keys=True))
    try:
        return NewAnswer(id=id_, **answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidArgument(
            f"this does not answer ask {ask.id!r} of kind {ask.kind!r}: {first['msg']}"
        ) from None


async def give(
    request: Request, services: Services, caller: Caller, ask: AskDocument, answer: NewAnswer
) -> None:
    """Store an answer; the same again is taken once.

    Raises:
        AskEnded: the ask has another answer.
    """
    idempotency = Idempotency(request, caller, None)
    await answer_ask(services, idempotency, ask.session_id, ask.id, answer)


def _one_of(value: Any, *names: str) -> Any:
    """A value, or the first of these fields of it."""
    if not isinstance(value, dict):
        return value
    return next((value[name] for name in names if name in value), None)
