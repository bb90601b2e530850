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
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent, InstrumentationSettings

from stepwire.integrations import opentelemetry
from stepwire.integrations._guest import Switch


def instrument() -> Callable[[], None]:
    """Show every agent's runs inside a session from now on; once, however often it is called.

    Where a tracer provider of the SDK is set (Logfire sets one), the spans come from it, and go on
    to wherever they went; else from a provider of our own, which exports nothing. Settings of an
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
    provider = current if isinstance(current, TracerProvider) else TracerProvider()
    hide = opentelemetry.instrument(provider)
    # It cannot be read back by a public way.
    before = Agent._instrument_default  # noqa: SLF001
    if not before:
        Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))

    def undo() -> None:
        Agent.instrument_all(before)
        hide()

    return undo


_switch = Switch(_put)
