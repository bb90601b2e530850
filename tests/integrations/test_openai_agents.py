"""The OpenAI Agents SDK, real, against a model on loopback."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

pytest.importorskip("agents")

from agents import (
    Agent,
    GuardrailFunctionOutput,
    MaxTurnsExceeded,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    custom_span,
    function_tool,
    handoff,
    input_guardrail,
    trace,
)
from openai import AsyncOpenAI, BadRequestError

import stepwire as cl
from bench import Bench
from stepwire.integrations import openai_agents as integration
from stepwire_core.wire.documents import UsageSum

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("agents")]


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Sun in {city}."


@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_run_is_a_tree_of_agents_models_and_tools(
    bench: Bench, client: AsyncOpenAI, kind: Any, stream: bool
) -> None:
    agent = Agent(
        name="helper",
        instructions="Be kind.",
        tools=[weather],
        model=kind(model="caller", openai_client=client),
        model_settings=ModelSettings(include_usage=True),
    )

    async def handler() -> None:
        async with cl.Step("outer"):
            if stream:
                result: Any = Runner.run_streamed(agent, "weather?")
                async for _ in result.stream_events():
                    pass
            else:
                result = await Runner.run(agent, "weather?")
            assert result.final_output == "The tool said: Sun in Paris."

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = (await bench.snapshot()).steps
    names = {step.id: step.name for step in steps}
    assert [(step.name, step.type, names.get(step.parent_id or "")) for step in steps] == [
        ("outer", "undefined", None),
        ("Agent workflow", "run", "outer"),
        ("helper", "agent", "Agent workflow"),
        ("caller", "llm", "helper"),
        ("weather", "tool", "helper"),
        ("caller", "llm", "helper"),
    ]
    assert {step.status for step in steps} == {"ok"}
    first, second = [step for step in steps if step.type == "llm"]
    assert "weather?" in first.input
    assert '"weather"' in first.output
    assert second.output == "The tool said: Sun in Paris."
    assert cast("Any", second.metadata["usage"])["input_tokens"] == 3
    # Two calls, and not once more what the agent tells of both.
    assert (await bench.snapshot()).usage == UsageSum(input_tokens=6, output_tokens=8)
    [used] = [step for step in steps if step.type == "tool"]
    assert (json.loads(used.input), used.output) == ({"city": "Paris"}, "Sun in Paris.")


async def test_handoffs_guardrails_and_custom_spans_are_shown(
    bench: Bench, client: AsyncOpenAI
) -> None:
    @input_guardrail
    async def careful(context: Any, agent: Any, input: Any) -> GuardrailFunctionOutput:
        with custom_span("look", {"found": 0}):
            return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    chat = OpenAIChatCompletionsModel(model="caller", openai_client=client)
    second = Agent[None](
        name="second", model=OpenAIChatCompletionsModel(model="plain", openai_client=client)
    )
    first = Agent[None](
        name="first", model=chat, handoffs=[handoff(second)], input_guardrails=[careful]
    )

    async def handler() -> None:
        with trace("my workflow", trace_id="no valid id!"):
            await Runner.run(first, "go")

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    tree = await bench.tree()
    types = {name: step.type for name, step in (await bench.steps()).items()}
    assert types["my workflow"] == "run"
    assert (tree["first → second"], types["first → second"]) == ("first", "handoff")
    assert (tree["second"], types["second"]) == ("my workflow", "agent")
    assert (tree["look"], types["careful"]) == ("careful", "guardrail")
    steps = await bench.steps()
    assert json.loads(steps["careful"].output) == {"triggered": False}
    assert json.loads(steps["look"].output) == {"found": 0}


async def test_a_refused_call_is_an_error_of_its_step(bench: Bench, client: AsyncOpenAI) -> None:
    model = OpenAIResponsesModel(model="refuser", openai_client=client)

    async def handler() -> None:
        with pytest.raises(BadRequestError):
            await Runner.run(Agent(name="helper", model=model), "go")

    assert (await bench.run(handler)).status == "ok"
    [step] = [step for step in (await bench.snapshot()).steps if step.type == "llm"]
    assert step.status == "error"
    assert step.error is not None
    assert "No." in step.error.message


async def test_contents_that_the_sdk_holds_back_are_not_shown(
    bench: Bench, client: AsyncOpenAI
) -> None:
    model = OpenAIChatCompletionsModel(model="caller", openai_client=client)
    agent = Agent(name="helper", tools=[weather], model=model)

    async def handler() -> None:
        config = RunConfig(trace_include_sensitive_data=False)
        await Runner.run(agent, "weather?", run_config=config)

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = (await bench.snapshot()).steps
    assert "weather" in {step.name for step in steps}
    assert not any("Paris" in step.input + step.output for step in steps)
    assert not any("weather?" in step.input for step in steps)


async def test_outside_any_session_and_after_the_undo_nothing_is_shown(
    bench: Bench, client: AsyncOpenAI
) -> None:
    undo = integration.instrument()
    model = OpenAIChatCompletionsModel(model="plain", openai_client=client)
    agent = Agent(name="helper", model=model)
    result = await Runner.run(agent, "hello")
    assert result.final_output == "You said: hello"

    async def handler() -> None:
        await Runner.run(agent, "hello")

    await bench.run(handler)
    shown = len((await bench.snapshot()).steps)
    undo()
    await bench.run(handler)
    assert len((await bench.snapshot()).steps) == shown == 3


async def test_a_fault_of_ours_breaks_nothing(
    bench: Bench, client: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    class Fault(Exception):
        pass

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise Fault

    agent = Agent(
        name="helper", model=OpenAIChatCompletionsModel(model="plain", openai_client=client)
    )

    async def handler() -> None:
        monkeypatch.setattr("stepwire.integrations.openai_agents._name", fail)
        assert (await Runner.run(agent, "hello")).final_output == "You said: hello"

    assert (await bench.run(handler)).status == "ok"
    logged = [record for record in caplog.records if record.name == "stepwire.integrations"]
    assert len(logged) == 1


async def test_a_workflow_that_a_cancellation_or_an_error_leaves_says_so(bench: Bench) -> None:
    async def cut_short() -> None:
        async with asyncio.timeout(0.01):
            with trace("cancelled workflow"), custom_span("cancelled span"):
                await asyncio.Event().wait()

    async def handler() -> None:
        with pytest.raises(TimeoutError):
            await cut_short()
        with pytest.raises(ValueError, match="inside"), trace("failed workflow"):
            raise ValueError("inside")
        with trace("good workflow"), custom_span("good span"):
            pass

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    assert {name: step.status for name, step in steps.items()} == {
        "cancelled workflow": "cancelled",
        "cancelled span": "cancelled",
        "failed workflow": "error",
        "good workflow": "ok",
        "good span": "ok",
    }


async def test_the_workflow_of_an_agent_that_failed_is_an_error(
    bench: Bench, client: AsyncOpenAI
) -> None:
    agent = Agent(
        name="helper", model=OpenAIChatCompletionsModel(model="caller", openai_client=client)
    )

    async def handler() -> None:
        with pytest.raises(MaxTurnsExceeded):
            await Runner.run(agent, "weather?", max_turns=0)

    assert (await bench.run(handler)).status == "ok"
    workflow = (await bench.steps())["Agent workflow"]
    assert workflow.status == "error"
    assert workflow.error is not None
    assert workflow.error.type == "MaxTurnsExceeded"
