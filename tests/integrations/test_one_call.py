"""One call of a model that two integrations see: one step, that of the outer one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

pytest.importorskip("opentelemetry.instrumentation.genai.openai")
pytest.importorskip("langchain_openai")
pytest.importorskip("agents")
pytest.importorskip("pydantic_ai")

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAIError
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import stepwire as cl
from bench import Bench
from integrations.chat import Chat
from integrations.model_server import ModelServer
from stepwire._scope.context import current_frame
from stepwire.integrations import langchain, opentelemetry
from stepwire_core.wire.documents import StepDocument, UsageSum

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("openai_calls")]


@pytest.fixture
def traced(provider: TracerProvider) -> Iterator[None]:
    """The client's calls are spans too, without contents."""
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield
    instrumentor.uninstrument()


def ask(text: str = "hello") -> list[Any]:
    return [{"role": "user", "content": text}]


async def calls(bench: Bench, handler: Any) -> list[StepDocument]:
    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    return [step for step in (await bench.snapshot()).steps if step.type == "llm"]


async def streamed(bench: Bench) -> str:
    return "".join([data["text"] for type_, data in await bench.events() if type_ == "step.delta"])


# -- LangChain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ainvoke", "invoke", "astream", "stream"])
@pytest.mark.parametrize("by_hand", [None, langchain.StepHandler, langchain.AsyncStepHandler])
async def test_a_model_of_langchain_is_one_step(
    bench: Bench, chat: Chat, how: str, by_hand: Any
) -> None:
    config: Any = {"callbacks": [by_hand()]} if by_hand else {}
    llm = chat(stream_usage=True)

    async def handler() -> None:
        async with cl.Step("outer"):
            if how == "ainvoke":
                await llm.ainvoke("hello", config)
            elif how == "invoke":
                llm.invoke("hello", config)
            elif how == "astream":
                assert [chunk async for chunk in llm.astream("hello", config)]
            else:
                assert list(llm.stream("hello", config))

    if not by_hand:
        langchain.instrument()
    try:
        [step] = await calls(bench, handler)
    finally:
        langchain.uninstrument()
    assert (step.status, step.output) == ("ok", "You said: hello")
    assert json.loads(step.input) == ask()
    assert cast("Any", step.metadata["usage"])["total_tokens"] == 7
    assert (await bench.snapshot()).usage == UsageSum(input_tokens=3, output_tokens=4)
    # What only the client has told.
    assert step.metadata["response_id"] == "chatcmpl-1"
    assert await streamed(bench) == ("You said: hello" if "stream" in how else "")


async def test_models_that_run_at_once_are_one_step_each(
    bench: Bench, chat: Chat, chains: None
) -> None:
    async def node(x: int) -> int:
        await asyncio.gather(*(chat().ainvoke(f"word{number}") for number in range(8)))
        await chat().abatch(["word8", "word9"])
        chat().batch(["word10", "word11"])
        return x

    async def handler() -> None:
        await RunnableLambda(node, name="node").ainvoke(1)

    steps = await calls(bench, handler)
    assert sorted(step.output for step in steps) == sorted(
        f"You said: word{number}" for number in range(12)
    )
    for step in steps:
        said = json.loads(step.input)[0]["content"]
        assert step.output == f"You said: {said}"


async def test_prompts_of_one_call_that_nobody_can_tell_apart_are_shown_by_both(
    bench: Bench, chat: Chat, chains: None
) -> None:
    async def handler() -> None:
        await chat().agenerate([[HumanMessage("one")], [HumanMessage("two")]])

    steps = await calls(bench, handler)
    assert sorted(step.output for step in steps) == ["You said: one"] * 2 + ["You said: two"] * 2


async def test_a_call_between_the_pieces_of_a_stream_is_another_step(
    bench: Bench, chat: Chat, client: AsyncOpenAI, chains: None
) -> None:
    async def handler() -> None:
        async for chunk in chat().astream("hello"):
            if chunk.content == "You":
                await client.chat.completions.create(model="plain", messages=ask("between"))

    first, second = await calls(bench, handler)
    assert (first.output, second.output) == ("You said: hello", "You said: between")
    assert second.parent_id == first.parent_id is None


async def test_a_step_of_the_users_own_in_between_keeps_both(
    bench: Bench, client: AsyncOpenAI, agents: None
) -> None:
    class Mine(OpenAIChatCompletionsModel):
        async def _fetch_response(self, *args: Any, **kwargs: Any) -> Any:
            async with cl.Step("mine"):
                return await super()._fetch_response(*args, **kwargs)

    agent = Agent(name="helper", model=Mine(model="plain", openai_client=client))

    async def handler() -> None:
        await Runner.run(agent, "hello")

    outer, inner = await calls(bench, handler)
    assert (await bench.tree())["mine"] == "plain"
    mine = (await bench.steps())["mine"]
    assert (mine.parent_id, inner.parent_id) == (outer.id, mine.id)


async def test_a_step_in_the_own_code_of_a_model_of_langchain_keeps_both(
    bench: Bench, model: ModelServer, client: AsyncOpenAI, chains: None
) -> None:
    class Mine(ChatOpenAI):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            async with cl.Step("mine"):
                return await super()._agenerate(*args, **kwargs)

    async def handler() -> None:
        llm = Mine(
            model="plain",
            base_url=model.url,
            api_key=SecretStr("any"),
            async_client=client.chat.completions,
        )
        await llm.ainvoke("hello")

    _, inner = await calls(bench, handler)
    assert inner.parent_id == (await bench.steps())["mine"].id


async def test_a_model_that_is_refused_is_one_step_with_the_error(
    bench: Bench, chat: Chat, chains: None
) -> None:
    async def handler() -> None:
        with pytest.raises(Exception, match=r"No\."):
            await chat("refuser").ainvoke("hello")

    [step] = await calls(bench, handler)
    assert step.status == "error"
    assert step.error is not None
    assert step.error.type == "OpenAIInvalidRequestError"
    assert "errors" not in step.metadata


async def test_a_stream_that_breaks_keeps_what_was_streamed_and_its_error(
    bench: Bench, chat: Chat, chains: None
) -> None:
    async def handler() -> None:
        with pytest.raises(Exception, match=r"It broke\."):
            async for _ in chat("breaker").astream("hello"):
                pass

    [step] = await calls(bench, handler)
    assert (step.status, step.output) == ("error", "You said:")
    assert await streamed(bench) == "You said:"


# -- the Agents SDK -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_of_the_agents_sdk_is_one_step_that_streams(
    bench: Bench, client: AsyncOpenAI, agents: None, kind: Any, stream: bool
) -> None:
    agent = Agent(name="helper", model=kind(model="plain", openai_client=client))

    async def handler() -> None:
        if stream:
            result = Runner.run_streamed(agent, "hello")
            async for _ in result.stream_events():
                pass
        else:
            await Runner.run(agent, "hello")

    [step] = await calls(bench, handler)
    assert (step.name, step.status, step.output) == ("plain", "ok", "You said: hello")
    assert "hello" in step.input
    assert step.metadata["response_id"] in ("chatcmpl-1", "resp_1")
    assert step.metadata["usage"] or stream
    assert (await bench.tree())["plain"] == "helper"
    assert await streamed(bench) == ("You said: hello" if stream else "")


async def test_tokens_of_an_agents_model_are_there_before_the_call_is_over(
    bench: Bench, client: AsyncOpenAI, agents: None, model: ModelServer
) -> None:
    model.go_on.clear()
    agent = Agent(
        name="helper", model=OpenAIChatCompletionsModel(model="held", openai_client=client)
    )

    async def handler() -> None:
        result = Runner.run_streamed(agent, "hello")
        async for event in result.stream_events():
            data: Any = getattr(event, "data", None)
            if getattr(data, "type", "") == "response.output_text.delta" and data.delta == "You":
                await current_frame("a test").scope.producer.flush()
                assert await streamed(bench) == "You"
                model.go_on.set()

    [step] = await calls(bench, handler)
    assert step.output == "You said: hello"


async def test_without_the_sdks_tracing_the_client_shows_its_own_step(
    bench: Bench, client: AsyncOpenAI, agents: None
) -> None:
    agent = Agent(
        name="helper", model=OpenAIChatCompletionsModel(model="plain", openai_client=client)
    )

    async def handler() -> None:
        await Runner.run(agent, "hello", run_config=RunConfig(tracing_disabled=True))

    [step] = await calls(bench, handler)
    assert step.output == "You said: hello"


# -- Pydantic AI ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_of_pydantic_ai_is_one_step_that_streams(
    bench: Bench, client: AsyncOpenAI, pydantic_agents: None, stream: bool
) -> None:
    provider = OpenAIProvider(openai_client=client)
    helper = PydanticAgent(OpenAIChatModel("plain", provider=provider), name="helper")

    async def handler() -> None:
        if stream:
            async with helper.run_stream("hello") as result:
                async for _ in result.stream_text(debounce_by=None):
                    pass
        else:
            await helper.run("hello")

    [step] = await calls(bench, handler)
    assert (step.name, step.status, step.output) == ("chat plain", "ok", "You said: hello")
    assert cast("Any", step.metadata["usage"])["input_tokens"] == 3
    assert (await bench.snapshot()).usage == UsageSum(input_tokens=3, output_tokens=4)
    assert (await bench.tree())["chat plain"] == "helper"
    assert await streamed(bench) == ("You said: hello" if stream else "")


async def test_a_model_that_stands_for_two_keeps_the_call_of_each(
    bench: Bench, client: AsyncOpenAI, pydantic_agents: None
) -> None:
    provider = OpenAIProvider(openai_client=client)
    models = [OpenAIChatModel(name, provider=provider) for name in ("refuser", "plain")]
    helper = PydanticAgent(FallbackModel(*models), name="helper")

    async def handler() -> None:
        await helper.run("hello")

    whole, refused, answered = await calls(bench, handler)
    assert refused.parent_id == answered.parent_id == whole.id
    assert (refused.status, answered.status, whole.status) == ("error", "ok", "ok")
    assert whole.output == answered.output == "You said: hello"
    # The outer step tells of the same tokens, which count once.
    assert (await bench.snapshot()).usage == UsageSum(input_tokens=3, output_tokens=4)


# -- OpenTelemetry --------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_call_that_is_a_span_too_is_one_step_with_contents_and_tokens(
    bench: Bench, client: AsyncOpenAI, traced: None, stream: bool, api: str
) -> None:
    async def handler() -> None:
        answer: Any
        if api == "chat":
            answer = await client.chat.completions.create(
                model="plain", messages=ask(), stream=stream
            )
        else:
            answer = await client.responses.create(model="plain", input="hello", stream=stream)
        if stream:
            async for _ in answer:
                pass

    [step] = await calls(bench, handler)
    assert (step.name, step.status, step.output) == ("chat plain", "ok", "You said: hello")
    assert "hello" in step.input
    assert step.metadata["response_id"] in ("chatcmpl-1", "resp_1")
    assert await streamed(bench) == ("You said: hello" if stream else "")


async def test_a_stream_that_is_left_says_so_in_the_one_step(
    bench: Bench, client: AsyncOpenAI, traced: None
) -> None:
    async def handler() -> None:
        stream = await client.chat.completions.create(model="plain", messages=ask(), stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()

    [step] = await calls(bench, handler)
    assert step.output == "You"
    assert step.metadata["complete"] is False
    # That of the input, which the span did not tell; the rest was known when the span ended.
    assert (await bench.types()).count("step.update") == 1


async def test_what_comes_after_the_end_of_the_outer_step_is_shown_in_it(
    bench: Bench, client: AsyncOpenAI
) -> None:
    provider = TracerProvider()
    opentelemetry.instrument(provider)
    tracer = provider.get_tracer("test")

    async def handler() -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "plain"}
        with tracer.start_as_current_span("short", attributes=attributes):
            stream = await client.chat.completions.create(
                model="plain", messages=ask(), stream=True
            )
        async for _ in stream:
            pass

    [step] = await calls(bench, handler)
    assert (step.status, step.output) == ("ok", "You said: hello")
    assert step.metadata["response_id"] == "chatcmpl-1"


async def test_spans_of_two_sources_for_one_call_are_one_step(
    bench: Bench, chat: Chat, chains: None, traced: None
) -> None:
    async def handler() -> None:
        await chat().ainvoke("hello")

    [step] = await calls(bench, handler)
    assert (step.name, step.output) == ("plain", "You said: hello")
    assert step.metadata["provider"] == "openai"
    assert step.metadata["response_id"] == "chatcmpl-1"


@pytest.mark.parametrize("survives", [False, True])
async def test_a_retry_inside_one_span_is_a_step_below_it_and_the_first_error_stays(
    bench: Bench, client: AsyncOpenAI, survives: bool
) -> None:
    provider = TracerProvider()
    opentelemetry.instrument(provider)
    tracer = provider.get_tracer("test")

    async def handler() -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "breaker"}
        with tracer.start_as_current_span("outer", attributes=attributes) as span:
            for model in ("breaker", "plain"):
                stream = await client.chat.completions.create(
                    model=model, messages=ask(), stream=True
                )
                with suppress(OpenAIError):
                    async for _ in stream:
                        pass
            if survives:
                span.set_attribute("gen_ai.completion", "whole answer")

    outer, retry = await calls(bench, handler)
    assert (outer.name, retry.name, retry.parent_id) == ("outer", "plain", outer.id)
    assert retry.output == "You said: hello"
    assert outer.output == ("whole answer" if survives else "You said:")
    [error] = cast("Any", outer.metadata["errors"])
    assert error["message"] == "It broke."
