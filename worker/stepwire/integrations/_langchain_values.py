"""LangChain's values, as users see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult

_ROLES: Final = {"human": "user", "ai": "assistant"}


def run_name(serialized: Any, run: dict[str, Any], default: str) -> str:
    path = (serialized or {}).get("id") or [default]
    return str(run.get("name") or (serialized or {}).get("name") or path[-1])


def model_name(serialized: Any, run: dict[str, Any]) -> str:
    params, metadata = run.get("invocation_params") or {}, run.get("metadata") or {}
    model = params.get("model") or params.get("model_name") or metadata.get("ls_model_name")
    return str(model or run_name(serialized, run, "llm"))


def shown(value: Any) -> Any:
    """Messages inside a value in the form that people know; a tool's message as its content."""
    if _is_message(value):
        return value.content if value.type == "tool" else shown_message(value)
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown_message(item) if _is_message(item) else item for item in value]
    return value


def shown_message(message: Any) -> dict[str, Any]:
    entry = {"role": _ROLES.get(message.type, message.type), "content": message.content}
    return entry | ({"tool_calls": calls} if (calls := _calls(message)) else {})


def _is_message(value: Any) -> bool:
    return hasattr(value, "content") and hasattr(value, "type")


def _calls(message: Any) -> list[dict[str, Any]]:
    return [
        {"id": call["id"], "name": call["name"], "arguments": call["args"]}
        for call in getattr(message, "tool_calls", None) or ()
    ]


def token_text(token: Any) -> str:
    """A token: text, or a list of content blocks."""
    if isinstance(token, str):
        return token
    return "".join(part if isinstance(part, str) else part.get("text") or "" for part in token)


def model_answer(response: LLMResult) -> tuple[Any, dict[str, Any]]:
    """The answer of a model, and the facts about it."""
    generations = [generation for batch in response.generations for generation in batch]
    text = "\n\n".join(generation.text for generation in generations)
    message = getattr(generations[0], "message", None) if generations else None
    if message is None:
        return text, dict(response.llm_output or {})
    about = message.response_metadata
    calls = _calls(message)
    return text or calls, {
        "model": about.get("model_name"),
        "finish_reason": about.get("finish_reason"),
        "usage": getattr(message, "usage_metadata", None),
        "tool_calls": calls,
    }
