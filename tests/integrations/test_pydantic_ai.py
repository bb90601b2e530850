"""Pydantic AI, real, with its OpenAI model against a model on loopback."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

pytest.importorskip("pydantic_ai")
pytest.importorskip("opentelemetry.sdk")

from openai import AsyncOpenAI
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent, InstrumentationSettings
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import stepwire as cl
from bench import Bench
from stepwire.integrations import pydantic_ai as integration
from stepwire_core.wire.documents import UsageSum

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("pydantic_agents")]


def agent(client: AsyncOpenAI, model: str) -> Agent[None, str]:
    provider = OpenAIProvider(openai_client=client)
    helper = Agent(OpenAIChatModel(model, provider=provider), name="helper")

    @helper.tool_plain
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"Sun in {city}."

    return helper


@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_is_a_tree_of_models_and_tools(
    bench: Bench, client: AsyncOpenAI, stream: bool
) -> None:
    async def handler() -> None:
        async with cl.Step("outer"):
            if stream:
                async with agent(client, "caller").run_stream("weather?") as result:
                    output = await result.get_output()
            else:
                output = (await agent(client, "caller").run("weather?")).output
            assert output == "The tool said: Sun in Paris."

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = (await bench.snapshot()).steps
    names = {step.id: step.name for step in steps}
    assert [(step.name, step.type, names.get(step.parent_id or "")) for step in steps] == [
        ("outer", "undefined", None),
        ("helper", "agent", "outer"),
        ("chat caller", "llm", "helper"),
        ("weather", "tool", "helper"),
        ("chat caller", "llm", "helper"),
    ]
    assert {step.status for step in steps} == {"ok"}
    first, second = [step for step in steps if step.type == "llm"]
    assert "weather?" in first.input
    assert "weather" in first.output
    assert second.output == "The tool said: Sun in Paris."
    assert cast("Any", second.metadata["usage"])["input_tokens"] == 3
    [used] = [step for step in steps if step.type == "tool"]
    assert (json.loads(used.input), used.output) == ({"city": "Paris"}, "Sun in Paris.")
    [whole] = [step for step in steps if step.type == "agent"]
    assert cast("Any", whole.metadata["usage"])["input_tokens"] == 6
    # Two calls, and not once more what the agent tells of both.
    assert (await bench.snapshot()).usage == UsageSum(input_tokens=6, output_tokens=8)


async def test_an_error_ends_the_steps_around_it_and_goes_on(
    bench: Bench, client: AsyncOpenAI
) -> None:
    raised: list[str] = []

    async def handler() -> None:
        with pytest.raises(ModelHTTPError) as error:
            await agent(client, "refuser").run("hello")
        raised.append(error.type.__name__)

    assert (await bench.run(handler)).status == "ok"
    for step in (await bench.snapshot()).steps:
        assert step.status == "error"
        assert step.error is not None
        assert step.error.type == raised[0]


async def test_outside_any_session_and_after_the_undo_nothing_is_shown(
    bench: Bench, client: AsyncOpenAI
) -> None:
    undo = integration.instrument()
    assert (await agent(client, "plain").run("hello")).output == "You said: hello"

    async def handler() -> None:
        await agent(client, "plain").run("hello")

    await bench.run(handler)
    shown = len((await bench.snapshot()).steps)
    undo()
    await bench.run(handler)
    assert len((await bench.snapshot()).steps) == shown == 2
    assert Agent._instrument_default is False


def test_settings_of_the_user_stay_in_force() -> None:
    integration.uninstrument()
    mine: Any = InstrumentationSettings(tracer_provider=TracerProvider())
    Agent.instrument_all(mine)
    try:
        integration.instrument()
        assert Agent._instrument_default is mine
        integration.uninstrument()
        assert Agent._instrument_default is mine
    finally:
        Agent.instrument_all(False)
