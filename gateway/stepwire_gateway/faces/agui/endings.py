"""How a run ends for a client of AG-UI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stepwire_core.wire.documents import Document
    from stepwire_gateway.faces.agui.dialect import Dialect

_COUNTS: Final = {"input_tokens": "inputTokens", "output_tokens": "outputTokens"}


@dataclass(frozen=True, slots=True)
class Ending:
    """The last event of a run."""

    type: Literal["RUN_FINISHED", "RUN_ERROR"]
    fields: dict[str, Any]
    suspended: list[str] | None = None
    """The asks for which what is open waits; None: it does not wait, but ends."""


def ending_of(run: Document, dialect: Dialect) -> Ending:
    """That of a run which is over."""
    usage = _usage(run.get("usage"))
    if run["status"] == "ok":
        return Ending("RUN_FINISHED", usage)
    if run["status"] == "cancelled" and dialect.cancelled != "error":
        told = {"type": "cancelled"} if dialect.cancelled == "outcome" else None
        return Ending("RUN_FINISHED", ({} if told is None else {"outcome": told}) | usage)
    error = run.get("error") or {"type": run["status"], "message": f"the run is {run['status']}"}
    code = run["status"] if run["status"] != "error" else error["type"]
    return Ending("RUN_ERROR", {"message": error["message"], "code": code} | usage)


def finished() -> Ending:
    """That of a stream which has told all that is there."""
    return Ending("RUN_FINISHED", {})


def interrupted(
    questions: Sequence[Document],
    calls: Sequence[str],
    said: Mapping[str, str],
    dialect: Dialect,
) -> Ending:
    """That of a run whose handler waits: for answers to ``questions`` (asks, of which ``said`` has
    the texts by their steps), or for the results of ``calls`` of the client's own tools."""
    if questions:
        ids = [ask["id"] for ask in questions]
        interrupts = [_interrupt(ask, said.get(ask["step_id"])) for ask in questions]
        return Ending(
            "RUN_FINISHED", {"outcome": {"type": "interrupt", "interrupts": interrupts}}, ids
        )
    outcome = {"type": "success", "pendingToolCallIds": list(calls)}
    # Older clients find out by themselves, and take no field that they do not know in an outcome.
    fields = {} if dialect.version is None else {"outcome": outcome}
    return Ending("RUN_FINISHED", fields, list(calls))


def _interrupt(ask: Document, text: str | None) -> dict[str, Any]:
    about = {
        name: ask[name]
        for name in ("kind", "step_id", "element_id", "actions", "accept", "max_files", "max_bytes")
        if ask.get(name) not in (None, [])
    }
    return {
        "id": ask["id"],
        "reason": "confirmation" if ask["kind"] == "action" else "input_required",
        **({"message": text} if text else {}),
        "responseSchema": _answer_schema(ask),
        "expiresAt": ask["expires_at"],
        "metadata": {"stepwire": about},
    }


def _answer_schema(ask: Document) -> dict[str, Any]:
    match ask["kind"]:
        case "text":
            name, schema = "content", {"type": "string", "minLength": 1}
        case "action":
            name, schema = "action", {"enum": [action["id"] for action in ask["actions"]]}
        case "file":
            name, schema = "files", {"type": "array", "items": {"type": "string"}, "minItems": 1}
        case _:
            return {"type": "object"}
    return {"type": "object", "properties": {name: schema}, "required": [name]}


def _usage(used: Document | None) -> dict[str, Any]:
    """``TokenUsage``, which has whole numbers alone; costs are in the tree."""
    counts = {told: used[ours] for ours, told in _COUNTS.items() if used[ours]} if used else {}
    if not counts:
        return {}
    return {"usage": [counts | {"totalTokens": sum(counts.values())}]}
