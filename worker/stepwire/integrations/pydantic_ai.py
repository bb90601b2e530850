"""Pydantic AI: runs of agents, their model requests and tools are steps.

::

    from stepwire.integrations import pydantic_ai
    pydantic_ai.instrument()

The package instruments itself with OpenTelemetry; this switches that on for all agents and hands
the spans to :mod:`stepwire.integrations.opentelemetry`, whose rules hold: agents (type ``agent``),
model requests (``llm``) and tools (``tool``) with what was asked and answered, nested as they run.
Answers appear whole; ``openai.instrument()`` beside this shows the tokens of OpenAI's models live,
in the same steps.
"""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from pydantic_ai import Agent, InstrumentationSettings

from stepwire._transport.process_publisher import process_spans
from stepwire.integrations import opentelemetry
from stepwire.integrations._guest import Switch
from stepwire_core.tracing.span_export import resource_of


def instrument() -> Callable[[], None]:
    """Show every agent's runs inside a session from now on; once, however often it is called.

    Where a tracer provider of the SDK is set (Logfire sets one), the spans come from it, and go on
    to wherever they went; else from a provider of our own, whose spans go where
    those of the steps go (``STEPWIRE_TRACE_STEPS``). Settings of an
    earlier ``Agent.instrument_all`` stay in force. An agent with settings of its own keeps them: if
    they name another tracer provider, add a :class:`~.opentelemetry.StepSpanProcessor` to that.

    Returns what takes it back: :func:`uninstrument`.
    """
    return _switch.on()


def uninstrument() -> None:
    """Leave the agents as they were; runs that are under way still end."""
    _switch.off()


def _put() -> Callable[[], None]:
    current = trace.get_tracer_provider()
    provider = current if isinstance(current, TracerProvider) else _own_provider()
    hide = opentelemetry.instrument(provider)
    # It cannot be read back by a public way.
    before = Agent._instrument_default  # noqa: SLF001
    if not before:
        Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))

    def undo() -> None:
        Agent.instrument_all(before)
        hide()

    return undo


def _own_provider() -> TracerProvider:
    """One whose spans go where those of our steps go, if they go anywhere."""
    provider = TracerProvider(resource=resource_of("stepwire-worker"))
    provider.add_span_processor(_Forwarding())
    return provider


class _Forwarding(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        if (spans := process_spans()) is not None:
            spans.forward(span)


_switch = Switch(_put)
