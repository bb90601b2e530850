"""Steps as messages of LangChain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.words import ASSISTANT_MESSAGE, USER_MESSAGE
from stepwire_gateway.faces.tool_values import problem_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL: Final = "tool"
ROLES: Final = {USER_MESSAGE: "human", ASSISTANT_MESSAGE: "ai"}


def call_id(step_id: str) -> str:
    return f"{step_id}-call"


def result_id(step_id: str) -> str:
    return f"{step_id}-result"


def arguments(step: dict[str, Any]) -> dict[str, Any]:
    """The input of a tool as an object."""
    value = value_of(step["input"])
    return value if isinstance(value, dict) else {"input": value}


def outcome(step: dict[str, Any]) -> str:
    """The output of a tool, or the reason for its failure."""
    return str(step["output"]) if step["status"] == "ok" else problem_of(step, "step")


def ended_messages(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A step as messages of a state, which are final; a tool is a call, and its result."""
    id_, role = step["id"], ROLES.get(step["type"])
    if role is not None:
        # Their client takes no pieces any more of a message that a state has.
        if step["ended_at"] is not None and step["output"]:
            yield {"id": id_, "type": role, "content": step["output"]}
        return
    call = {"id": id_, "name": step["name"], "args": arguments(step), "type": "tool_call"}
    yield {"id": call_id(id_), "type": "ai", "content": "", "tool_calls": [call]}
    if step["ended_at"] is not None:
        yield {
            "id": result_id(id_),
            "type": "tool",
            "tool_call_id": id_,
            "content": outcome(step),
            "status": "success" if step["status"] == "ok" else "error",
        }
