"""The OpenAI Agents SDK: every trace and span of a run is a step.

::

    from stepwire.integrations import openai_agents
    openai_agents.instrument()

Shown are the workflow (type ``run``), agents (``agent``), model calls (``llm``, named after the
model), function tools and MCP (``tool``), handoffs, guardrails and custom spans, nested as the SDK
nests them; the outermost nests under the stepwire step around ``Runner.run``. A step's id is its
span's. Tasks and turns, which the SDK puts between, are left out. Contents follow the SDK's own
switch: with ``RunConfig(trace_include_sensitive_data=False)`` names, usage and errors remain.

The SDK's tracing carries no tokens, so answers appear whole; ``openai.instrument()`` beside this
shows them live, in the same steps. What else the SDK does with traces goes on: by default it
sends them to OpenAI where a key is set (``agents.set_trace_processors`` changes that).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from agents.tracing import (
    TracingProcessor,
    add_trace_processor,
    get_current_span,
    get_current_trace,
)

from stepwire._values.json_form import jsonable
from stepwire.integrations._foreign import cancellation
from stepwire.integrations._guest import Guard, Switch
from stepwire.integrations._open_steps import OpenSteps
from stepwire_core.errors import InvalidId
from stepwire_core.values.ids import check_id, derived_id
from stepwire_core.wire.documents import ErrorInfo

if TYPE_CHECKING:
    from agents.tracing import Span, Trace

_guard = Guard("openai-agents")
_steps: OpenSteps[str] = OpenSteps(_guard, lambda: _current())

_TYPES: Final = {
    "agent": "agent",
    "function": "tool",
    "mcp_tools": "tool",
    "generation": "llm",
    "response": "llm",
    "custom": "undefined",
}
_BETWEEN: Final = {"task", "turn"}


def instrument() -> Callable[[], None]:
    """Show every run inside a session from now on; once, however often it is called.

    Returns what takes it back: :func:`uninstrument`. The SDK has no way to remove a processor: it
    stays, and does nothing.
    """
    return _switch.on()


def uninstrument() -> None:
    """Show no further runs; those that are under way still end."""
    _switch.off()


class StepTracingProcessor(TracingProcessor):
    """Shows traces and spans that start inside a session as steps. Never raises, and blocks only
    while the process's buffer is full."""

    def __init__(self) -> None:
        self._closed = False

    @_guard
    def on_trace_start(self, trace: Trace) -> None:
        if not self._closed:
            self._begin(trace.trace_id, None, name=trace.name, type="run")

    @_guard
    def on_trace_end(self, trace: Trace) -> None:
        shown = _steps.pop(trace.trace_id)
        if shown is not None:
            # A trace tells of no error; what leaves it is that of its agent.
            shown.finish(error=shown.leaving)
            shown.producer.room_sync()

    @_guard
    def on_span_start(self, span: Span[Any]) -> None:
        if self._closed:
            return
        data = span.span_data
        parent = span.parent_id or span.trace_id
        if data.type in _BETWEEN:
            _steps.hide(span.span_id, parent)
            return
        self._begin(
            span.span_id,
            parent,
            name=_name(data),
            type=_TYPES.get(data.type, str(data.type)),
            # A response tells its model only when it is there.
            model=getattr(data, "model", None),
        )

    @_guard
    def on_span_end(self, span: Span[Any]) -> None:
        shown = _steps.pop(span.span_id)
        if shown is None:
            return
        # The SDK fills in a span while it lasts.
        shown.finish(
            name=_name(span.span_data),
            asked=_asked(span.span_data),
            output=_said(span.span_data),
            metadata=_facts(span.span_data),
            error=_error(span.error) or cancellation(shown),
        )
        shown.producer.room_sync()

    def shutdown(self) -> None:
        """Show no further spans; those that are open still end."""
        self._closed = True

    def force_flush(self) -> None:
        """Nothing to do: steps are on their way at once, and a run waits for them at its end."""

    def _begin(self, key: str, parent: str | None, **fields: Any) -> None:
        shown = _steps.begin(key, parent, source="openai-agents", id=_id(key), **fields)
        if shown is not None:
            shown.producer.room_sync()


def _current() -> str | None:
    """The id of the span that is around the running code, else of its trace."""
    span = get_current_span()
    if span is not None:
        return span.span_id
    trace = get_current_trace()
    return None if trace is None else trace.trace_id


def _put() -> Callable[[], None]:
    processor = StepTracingProcessor()
    add_trace_processor(processor)
    return processor.shutdown


_switch = Switch(_put)


def _id(key: str) -> str:
    """The SDK's id, which users may choose, as a step's."""
    try:
        return check_id(key, "span")
    except InvalidId:
        return derived_id("openai-agents", key)


def _name(data: Any) -> str:
    if data.type == "handoff":
        return f"{data.from_agent} → {data.to_agent}"
    if data.type == "mcp_tools":
        return f"tools of {data.server}"
    model = getattr(data, "model", None) or getattr(getattr(data, "response", None), "model", None)
    return str(model or getattr(data, "name", None) or data.type)


def _asked(data: Any) -> Any:
    asked = getattr(data, "input", None)
    instructions = getattr(getattr(data, "response", None), "instructions", None)
    return {"instructions": instructions, "input": asked} if instructions and asked else asked


def _said(data: Any) -> Any:
    if data.type == "response" and data.response is not None:
        return data.response.output_text or data.response.output
    if data.type == "generation":
        return _generated(data.output or [])
    if data.type == "custom":
        return data.data
    if data.type == "guardrail":
        return {"triggered": data.triggered}
    return getattr(data, "output", None) or getattr(data, "result", None)


def _generated(messages: list[dict[str, Any]]) -> Any:
    """Messages that are nothing but text, as that text."""
    # Messages of chat completions; of a stream, one response, whose messages have parts.
    items = messages[0]["output"] if messages and "output" in messages[0] else messages
    texts = [_joined(item.get("content")) for item in items]
    return "\n\n".join(texts) if texts and all(texts) else items


def _joined(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _facts(data: Any) -> dict[str, Any]:
    response = getattr(data, "response", None)
    return {
        "model": getattr(data, "model", None) or getattr(response, "model", None),
        "usage": getattr(data, "usage", None) or _counted(response),
        "response_id": getattr(response, "id", None),
        "tools": getattr(data, "tools", None),
        "handoffs": getattr(data, "handoffs", None),
        "mcp": getattr(data, "mcp_data", None),
    }


def _counted(response: Any) -> Any:
    usage = getattr(response, "usage", None)
    return None if usage is None else jsonable(usage)


def _error(error: Any) -> ErrorInfo | None:
    if not error:
        return None
    details = error.get("data") or {}
    said = details.get("error") if isinstance(details, dict) else details
    message = f"{error['message']}: {said}" if said else error["message"]
    return ErrorInfo(type="SpanError", message=message)
