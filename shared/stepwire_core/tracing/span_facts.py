"""What a span says of a step or of a run: its name, its kind, its attributes.

By the GenAI conventions (https://github.com/open-telemetry/semantic-conventions-genai) where they
have a word for it. Usage is told by the calls of models alone: what a run has used is the sum of
theirs, and has another name, so that a backend which adds up all spans counts nothing twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stepwire_core.wire.documents import RunDocument, StepDocument

AttributeValue = str | bool | int | float | list[str]

OPERATION: Final = "gen_ai.operation.name"

OPERATIONS: Final = {
    "llm": "chat",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "embedding": "embeddings",
    "retrieval": "retrieval",
}
"""The operations of the conventions, by the types of steps."""

_OF_MODELS: Final = frozenset({"llm", "embedding", "rerank"})

MAX_CONTENT_CHARS: Final = 16_384
"""Of one input or output; what is cut off has a mark."""

MAX_NAME_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class SpanFacts:
    """A span, apart from where it hangs and how long it took."""

    name: str
    is_client: bool = False
    """Whether it is a call of something elsewhere."""
    is_server: bool = False
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    error: str | None = None
    """What went wrong; None: it is not an error."""


def facts_of_step(step: StepDocument, *, content: bool) -> SpanFacts:
    """Without ``content`` nothing that was asked or answered is in it, also no text of an error."""
    operation = OPERATIONS.get(step.type)
    told: dict[str, Any] = {
        OPERATION: operation,
        "gen_ai.conversation.id": step.session_id,
        "stepwire.session.id": step.session_id,
        "stepwire.run.id": step.run_id,
        "stepwire.step.id": step.id,
        "stepwire.step.type": step.type,
        "stepwire.step.status": step.status,
        "stepwire.attempt": step.attempt or None,
        "stepwire.from_attempt": step.from_attempt,
        "stepwire.tags": list(step.tags),
    }
    name = step.name
    if step.type in _OF_MODELS:
        model = _model(step)
        told |= _of_model(step, model)
        name = model or step.name
    elif operation == "execute_tool":
        told["gen_ai.tool.name"] = step.name
    elif operation == "invoke_agent":
        told["gen_ai.agent.name"] = step.name
    if content:
        told |= _content(step, operation)
    error = _error(step.status, step.error, told, content=content)
    return SpanFacts(
        _name(operation, name), step.type in _OF_MODELS, attributes=_given(told), error=error
    )


def facts_of_run(session_id: str, run: RunDocument, *, content: bool) -> SpanFacts:
    """One attempt of a run: the invocation of an agent."""
    told: dict[str, Any] = {
        OPERATION: "invoke_agent",
        "gen_ai.agent.name": run.handler,
        "gen_ai.conversation.id": session_id,
        "stepwire.session.id": session_id,
        "stepwire.run.id": run.run_id,
        "stepwire.run.status": run.status,
        "stepwire.attempt": run.attempt,
        "stepwire.will_retry": run.will_retry,
    }
    if run.usage is not None:
        told["gen_ai.aggregated_usage.input_tokens"] = run.usage.input_tokens
        told["gen_ai.aggregated_usage.output_tokens"] = run.usage.output_tokens
        told["stepwire.aggregated_cost"] = run.usage.cost or None
    error = _error(run.status, run.error, told, content=content)
    return SpanFacts(_name("invoke_agent", run.handler), attributes=_given(told), error=error)


def facts_of_request(method: str, route: str, status: int) -> SpanFacts:
    """A request that a gateway has answered: its route, never its address or its query."""
    return SpanFacts(
        f"{method} {route}",
        is_server=True,
        attributes={
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        },
        # Of a server's span: the client's faults are none of its own.
        error=str(status) if status >= 500 else None,
    )


def _name(operation: str | None, name: str) -> str:
    return (f"{operation} {name}" if operation else name)[:MAX_NAME_CHARS]


def _model(step: StepDocument) -> str | None:
    model = step.usage.model if step.usage is not None else None
    told = model or step.metadata.get("model")
    return told if isinstance(told, str) else None


def _of_model(step: StepDocument, model: str | None) -> dict[str, Any]:
    facts = step.metadata
    finish = facts.get("finish_reason")
    usage = step.usage
    return {
        "gen_ai.provider.name": _text(facts.get("provider")),
        "gen_ai.request.model": model,
        "gen_ai.response.id": _text(facts.get("response_id")),
        "gen_ai.response.finish_reasons": finish if _is_texts(finish) else _listed(finish),
        "gen_ai.usage.input_tokens": None if usage is None else usage.input_tokens,
        "gen_ai.usage.output_tokens": None if usage is None else usage.output_tokens,
        "stepwire.cost": None if usage is None else usage.cost,
    }


def _content(step: StepDocument, operation: str | None) -> dict[str, Any]:
    asked, said = _cut(step.input), _cut(step.output)
    if operation == "execute_tool":
        return {"gen_ai.tool.call.arguments": asked, "gen_ai.tool.call.result": said}
    if operation in ("chat", "invoke_agent"):
        return {
            "gen_ai.input.messages": _message("user", asked),
            "gen_ai.output.messages": _message("assistant", said),
        }
    return {"stepwire.step.input": asked, "stepwire.step.output": said}


def _message(role: str, text: str) -> str:
    if not text:
        return ""
    parts = [{"type": "text", "content": text}]
    return json.dumps([{"role": role, "parts": parts}], ensure_ascii=False)


def _cut(text: str) -> str:
    if len(text) <= MAX_CONTENT_CHARS:
        return text
    return f"{text[:MAX_CONTENT_CHARS]}… [{len(text)} characters]"


def _error(status: str, error: Any, told: dict[str, Any], *, content: bool) -> str | None:
    if status not in ("error", "interrupted"):
        return None
    told["error.type"] = status if error is None else error.type
    # The text of an exception may repeat what a person has written.
    return _cut(error.message) if content and error is not None else str(told["error.type"])


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _listed(value: object) -> list[str] | None:
    return [value] if isinstance(value, str) else None


def _given(told: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {name: value for name, value in told.items() if value not in (None, "", [])}
