"""OpenTelemetry: spans of the GenAI conventions are steps, whatever made them.

::

    from stepwire.integrations import opentelemetry
    opentelemetry.instrument()              # the tracer provider that is set, or
    provider.add_span_processor(opentelemetry.StepSpanProcessor())

A span with ``gen_ai.operation.name`` is a step while it lasts; its id is ``<trace id>.<span id>``.
It nests under the step of its parent span, over any spans in between that are not shown, else under
the stepwire step around the code that started it. Types: ``chat``, ``text_completion`` and
``generate_content`` are ``llm``, ``embeddings`` is ``embedding``, ``execute_tool`` is ``tool``,
``retrieval`` stays, agents and workflows are ``agent``; any other operation is a type of its own.

Shown are the span's name (of a tool and an agent, theirs), what was asked and answered, the model,
the usage and the finish reasons. A span of status ERROR is a step with that error. What was said is
there only if the instrumentation writes it into span attributes or span events, which most do on
demand: ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY``. Spans carry no tokens, so
nothing streams but what the OpenAI client's own integration sees beside this. Sampled-out spans are
not seen.

The conventions (https://github.com/open-telemetry/semantic-conventions-genai) are in development;
names of earlier versions are read too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakMethod

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from stepwire.integrations._foreign import cancellation
from stepwire.integrations._guest import Guard, Switch
from stepwire.integrations._open_steps import OpenSteps
from stepwire_core.errors import InvalidArgument
from stepwire_core.tracing.span_facts import OPERATION, OPERATIONS
from stepwire_core.wire.documents import ErrorInfo

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

_guard = Guard("opentelemetry")
_steps: OpenSteps[str] = OpenSteps(
    _guard, lambda: _key(trace.get_current_span().get_span_context())
)
_switches: WeakKeyDictionary[TracerProvider, Switch] = WeakKeyDictionary()

MODEL: Final = "gen_ai.request.model"

_TYPES: Final = {operation: type_ for type_, operation in OPERATIONS.items()} | {
    "text_completion": "llm",
    "generate_content": "llm",
    "create_agent": "agent",
    "invoke_workflow": "agent",
}
_NAMES: Final = {
    "tool": ("gen_ai.tool.name",),
    "agent": ("gen_ai.agent.name", "gen_ai.workflow.name"),
}
# In each, the first that is there. Later names are those of earlier versions, and of Pydantic AI.
_INPUTS: Final = (
    "gen_ai.input.messages",
    "gen_ai.tool.call.arguments",
    "gen_ai.retrieval.query.text",
    "gen_ai.prompt",
    "tool_arguments",
)
_OUTPUTS: Final = (
    "gen_ai.output.messages",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
    "gen_ai.completion",
    "tool_response",
    "final_result",
)
_FACTS: Final = {
    "model": ("gen_ai.response.model", MODEL),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "response_id": ("gen_ai.response.id",),
    "finish_reason": ("gen_ai.response.finish_reasons",),
    "conversation_id": ("gen_ai.conversation.id",),
}
_USAGE: Final = ("gen_ai.usage.", "gen_ai.aggregated_usage.")


def instrument(provider: TracerProvider | None = None) -> Callable[[], None]:
    """Show the spans of a tracer provider, by default the global one; once for each provider.

    Returns what takes it back. The SDK has no way to remove a processor: it stays, and does
    nothing.

    Raises:
        InvalidArgument: no provider of the SDK is set.
    """
    if provider is None:
        current = trace.get_tracer_provider()
        if not isinstance(current, TracerProvider):
            raise InvalidArgument(
                "no tracer provider of opentelemetry-sdk is set: call "
                "opentelemetry.trace.set_tracer_provider first, or pass one"
            )
        provider = current
    # The switch must not hold its own key.
    add = WeakMethod(provider.add_span_processor)

    def put() -> Callable[[], None]:
        processor = StepSpanProcessor()
        if (alive := add()) is not None:
            alive(processor)
        return processor.shutdown

    return _switches.setdefault(provider, Switch(put)).on()


class StepSpanProcessor(SpanProcessor):
    """Shows the GenAI spans that start inside a session as steps. Never raises, and blocks only
    while the process's buffer is full."""

    def __init__(self) -> None:
        self._closed = False

    @_guard
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        if self._closed:
            return
        key, parent = _key(span.context), _key(span.parent)
        facts = span.attributes or {}
        operation = facts.get(OPERATION)
        if operation is None:
            _steps.hide(key, parent)
            return
        type_ = _TYPES.get(str(operation), str(operation))
        scope = span.instrumentation_scope
        shown = _steps.begin(
            key,
            parent,
            source=f"opentelemetry {scope.name if scope else ''}",
            name=str(_first(facts, _NAMES.get(type_, ())) or span.name),
            type=type_,
            # It may be set only later; in the conventions it is in the name.
            model=str(facts.get(MODEL) or span.name.removeprefix(f"{operation} ")),
            id=key,
            asked=_first(facts, _INPUTS),
        )
        if shown is not None:
            shown.producer.room_sync()

    @_guard
    def on_end(self, span: ReadableSpan) -> None:
        shown = _steps.pop(_key(span.context))
        if shown is None:
            return
        attributes = dict(span.attributes or {})
        for event in span.events:
            # Content may come in an event of the same attributes, as it did in earlier versions.
            attributes = dict(event.attributes or {}) | attributes
        shown.finish(
            asked=_asked(attributes),
            output=_said(_first(attributes, _OUTPUTS)),
            metadata=_facts(attributes),
            error=_error(span, attributes) or cancellation(shown),
        )
        shown.producer.room_sync()

    def shutdown(self) -> None:
        """Show no further spans; those that are open still end."""
        self._closed = True

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - theirs
        """True: steps are on their way at once, and a run waits for them at its end."""
        return True


def _key(context: trace.SpanContext | None) -> Any:
    if context is None:
        return None
    return f"{trace.format_trace_id(context.trace_id)}.{trace.format_span_id(context.span_id)}"


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these attributes that is there, parsed if it is a structure in JSON."""
    value = next((attributes[name] for name in names if name in attributes), None)
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _asked(attributes: Mapping[str, Any]) -> Any:
    asked = _first(attributes, _INPUTS)
    instructions = _first(attributes, ("gen_ai.system_instructions",))
    if instructions is None or asked is None:
        return asked
    return {"instructions": _said(instructions), "input": asked}


def _said(value: Any) -> Any:
    """Messages that are nothing but text, as that text."""
    if not isinstance(value, list):
        return value
    parts = [part for item in value if isinstance(item, dict) for part in item.get("parts", [item])]
    texts = [part.get("content") for part in parts if part.get("type") == "text"]
    return "\n\n".join(map(str, texts)) if texts and len(texts) == len(parts) else value


def _facts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: _first(attributes, names) for name, names in _FACTS.items()}
    facts["usage"] = {
        name.removeprefix(prefix): value
        for prefix in _USAGE
        for name, value in attributes.items()
        if name.startswith(prefix)
    }
    return facts


def _error(span: ReadableSpan, attributes: Mapping[str, Any]) -> ErrorInfo | None:
    if span.status.status_code is not StatusCode.ERROR:
        return None
    name = attributes.get("error.type") or attributes.get("exception.type") or "Error"
    message = attributes.get("exception.message") or span.status.description or ""
    return ErrorInfo(type=str(name).rpartition(".")[2], message=str(message))
