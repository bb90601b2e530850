"""Where a user's own steps nest that run inside the steps of a library."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("langgraph")
pytest.importorskip("agents")
pytest.importorskip("pydantic_ai")

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from openai import AsyncOpenAI
from opentelemetry import trace
from opentelemetry.trace import Tracer
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import stepwire as cl
from bench import Bench
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire.integrations import langchain, openai, opentelemetry

pytestmark = pytest.mark.anyio

TOOL = {"gen_ai.operation.name": "execute_tool"}


async def checked(bench: Bench, handler: Any) -> dict[str, str | None]:
    with used_as_process_publisher(bench.publisher):
        run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    return await bench.tree()


# -- OpenTelemetry --------------------------------------------------------------------------------


async def test_of_spans_and_steps_in_each_other_the_innermost_is_the_parent(
    bench: Bench, tracer: Tracer
) -> None:
    async def handler() -> None:
        async with cl.Step("a"):
            with tracer.start_as_current_span("b", attributes=TOOL):
                async with cl.Step("c"):
                    with (
                        tracer.start_as_current_span("not shown"),
                        tracer.start_as_current_span("d", attributes=TOOL),
                    ):
                        async with cl.Step("e"):
                            pass
                    async with cl.Step("after d"):
                        pass
                async with cl.Step("after c"):
                    pass
            async with cl.Step("after b"):
                pass

    assert await checked(bench, handler) == {
        "a": None,
        "b": "a",
        "c": "b",
        "d": "c",
        "e": "d",
        "after d": "c",
        "after c": "b",
        "after b": "a",
    }


async def test_tasks_and_threads_keep_the_span_that_they_started_in(
    bench: Bench, tracer: Tracer
) -> None:
    both = asyncio.Barrier(2)

    async def branch(name: str) -> None:
        with tracer.start_as_current_span(name, attributes=TOOL):
            await both.wait()
            async with cl.Step(f"step in {name}"):
                await both.wait()
            await cl.make_async(blocking)(name)
            async with asyncio.TaskGroup() as group:
                group.create_task(leaf(f"task in {name}"))

    def blocking(name: str) -> None:
        with cl.Step(f"thread in {name}"):
            cl.run_sync(leaf(f"back from {name}"))

    async def leaf(name: str) -> None:
        async with cl.Step(name):
            pass

    async def handler() -> None:
        await asyncio.gather(branch("x"), branch("y"))

    tree = await checked(bench, handler)
    for name in ("x", "y"):
        assert tree[name] is None
        assert tree[f"step in {name}"] == tree[f"task in {name}"] == name
        assert tree[f"thread in {name}"] == name
        assert tree[f"back from {name}"] == f"thread in {name}"


async def test_everything_that_asks_for_a_place_gets_the_same(bench: Bench, tracer: Tracer) -> None:
    found: dict[str, Any] = {}

    async def handler() -> None:
        async with cl.Step("outer"):
            with tracer.start_as_current_span("span", attributes=TOOL):
                found["exported"] = cl.current().export()["parent_id"]
                found["step"] = cl.context.current_step
                found["message"] = await cl.Message("hello").send()
                found["element"] = await cl.Text("note", content="text").send()
                assert cl.context.current_step is not None
                await cl.context.current_step.stream_token("streamed")
                streamed = cl.Message()
                await streamed.stream_token("a token")
                found["streamed"] = await streamed.send()
                async with cl.Step("root", root=True):
                    context = cl.current().export()
                    async with cl.attach(context), cl.Step("attached"):
                        pass
            assert cl.context.current_step is not None
            found["after"] = cl.context.current_step.name

    await checked(bench, handler)
    steps = await bench.steps()
    span = steps["span"]
    assert found["exported"] == found["step"].id == span.id
    assert found["message"].parent_id == found["streamed"].parent_id == span.id
    assert found["element"].for_id == span.id
    assert span.output == "streamed"
    assert steps["root"].parent_id is None
    assert steps["attached"].parent_id == steps["root"].id
    assert found["after"] == "outer"


async def test_another_session_inside_a_span_is_not_drawn_into_it(
    bench: Bench, tracer: Tracer
) -> None:
    async def handler() -> None:
        with tracer.start_as_current_span("span", attributes=TOOL):
            context = cl.current().export() | {"parent_id": None}
            with cl.attach(context):
                with cl.Step("apart"):
                    pass
                with (
                    tracer.start_as_current_span("span apart", attributes=TOOL),
                    cl.Step("inside"),
                ):
                    pass
                with cl.Step("apart again"):
                    pass

    assert await checked(bench, handler) == {
        "span": None,
        "apart": None,
        "span apart": None,
        "inside": "span apart",
        "apart again": None,
    }


async def test_a_span_in_a_context_handed_over_by_hand_keeps_its_named_parent(
    bench: Bench, tracer: Tracer
) -> None:
    async def handler() -> None:
        named = tracer.start_span("named", attributes=TOOL)
        async with cl.Step("beside"):
            context = trace.set_span_in_context(named)
            with tracer.start_as_current_span("child", context=context, attributes=TOOL):
                async with cl.Step("inside"):
                    pass
        named.end()

    assert await checked(bench, handler) == {
        "named": None,
        "beside": None,
        "child": "named",
        "inside": "child",
    }


async def test_a_decorated_generator_keeps_its_place_between_two_items(
    bench: Bench, tracer: Tracer
) -> None:
    @cl.step
    async def words() -> AsyncIterator[str]:
        with tracer.start_as_current_span("span", attributes=TOOL):
            for word in "ab":
                async with cl.Step(f"in {word}"):
                    pass
                yield word

    async def handler() -> None:
        async with cl.Step("consumer"):
            async for word in words():
                async with cl.Step(f"out {word}"):
                    pass

    assert await checked(bench, handler) == {
        "consumer": None,
        "words": "consumer",
        "span": "words",
        "in a": "span",
        "out a": "consumer",
        "in b": "span",
        "out b": "consumer",
    }


async def test_a_run_that_no_library_shows_steps_in_asks_none(
    bench: Bench, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(type(opentelemetry._steps), "inside", lambda *_: asked.append(1))

    async def handler() -> None:
        with tracer.start_as_current_span("not shown"):
            async with cl.Step("step"):
                pass

    assert await checked(bench, handler) == {"step": None}
    assert asked == []


async def test_a_fault_in_asking_a_library_leaves_the_step_in_its_frame(
    bench: Bench, tracer: Tracer, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail() -> Any:
        raise RuntimeError

    async def handler() -> None:
        async with cl.Step("outer"):
            with tracer.start_as_current_span("span", attributes=TOOL):
                monkeypatch.setattr(opentelemetry._steps, "_current", fail)
                for name in ("first", "second"):
                    async with cl.Step(name):
                        pass

    tree = await checked(bench, handler)
    assert tree == {"outer": None, "span": "outer", "first": "outer", "second": "outer"}
    assert len([r for r in caplog.records if r.name == "stepwire.integrations"]) == 1


# -- LangChain and LangGraph ----------------------------------------------------------------------


@tool
async def deep(x: int) -> str:
    """A tool with steps of its own."""
    async with cl.Step("in deep"):
        return str(await RunnableLambda(lambda x: x, name="leaf").ainvoke(x))


@tool
def blocking(x: int) -> str:
    """A synchronous tool: LangChain calls it in a thread."""
    with cl.Step("in blocking"):
        return str(x)


async def test_steps_in_the_tools_and_nodes_of_a_graph_nest_under_them(
    bench: Bench, chains: None
) -> None:
    calls = [
        {"name": "deep", "args": {"x": 1}, "id": "1"},
        {"name": "blocking", "args": {"x": 2}, "id": "2"},
    ]

    async def think(state: MessagesState) -> dict[str, Any]:
        async with cl.Step("in think"):
            await cl.Message("said in think", author="said").send()
            return {"messages": [AIMessage("", tool_calls=calls)]}

    def last(state: MessagesState) -> dict[str, Any]:
        with cl.Step("in last"):
            return {}

    graph = (
        StateGraph(MessagesState)
        .add_node("think", think)
        .add_node("tools", ToolNode([deep, blocking]))
        .add_node("last", last)
        .add_edge(START, "think")
        .add_edge("think", "tools")
        .add_edge("tools", "last")
        .add_edge("last", END)
        .compile(name="graph")
    )

    async def handler() -> None:
        async with cl.Step("outer"):
            await graph.ainvoke({"messages": []})

    assert await checked(bench, handler) == {
        "outer": None,
        "graph": "outer",
        "think": "graph",
        "in think": "think",
        "said": "in think",
        "tools": "graph",
        "deep": "tools",
        "in deep": "deep",
        "leaf": "in deep",
        "blocking": "tools",
        "in blocking": "blocking",
        "last": "graph",
        "in last": "last",
    }


@pytest.mark.parametrize("how", ["ainvoke", "invoke", "astream", "abatch"])
async def test_parallel_branches_of_a_chain_keep_their_steps_apart(
    bench: Bench, chains: None, how: str
) -> None:
    def branch(name: str) -> Any:
        def work(x: int) -> int:
            with cl.Step(f"in {name}"):
                return x

        return RunnableLambda(work, name=name)

    chain: Any = RunnableParallel(a=branch("a"), b=branch("b"))

    async def handler() -> None:
        if how == "invoke":
            chain.invoke(1)
        elif how == "ainvoke":
            await chain.ainvoke(1)
        elif how == "abatch":
            await chain.abatch([1])
        else:
            async for _ in chain.astream(1):
                async with cl.Step("consumer"):
                    pass

    tree = await checked(bench, handler)
    assert (tree["in a"], tree["in b"]) == ("a", "b")
    assert tree.get("consumer") is None


async def test_a_handler_given_by_hand_places_steps_too(bench: Bench) -> None:
    async def handler() -> None:
        for config in (
            {"callbacks": [langchain.StepHandler()]},
            {"callbacks": [langchain.AsyncStepHandler()]},
        ):
            await deep.ainvoke({"x": 1}, config)  # type: ignore[arg-type]

    assert await checked(bench, handler) == {"deep": None, "in deep": "deep", "leaf": "in deep"}


async def test_spans_inside_a_tool_and_tools_inside_a_span_nest_in_each_other(
    bench: Bench, chains: None, tracer: Tracer
) -> None:
    async def work(x: int) -> int:
        with tracer.start_as_current_span("inner span", attributes=TOOL):
            async with cl.Step("step"):
                await RunnableLambda(lambda x: x, name="leaf").ainvoke(x)
                return x

    async def handler() -> None:
        with tracer.start_as_current_span("outer span", attributes=TOOL):
            await RunnableLambda(work, name="chain").ainvoke(1)

    assert await checked(bench, handler) == {
        "outer span": None,
        "chain": "outer span",
        "inner span": "chain",
        "step": "inner span",
        "leaf": "step",
    }


# -- agents ---------------------------------------------------------------------------------------


async def test_steps_in_a_function_tool_of_the_agents_sdk_nest_under_it(
    bench: Bench, agents: None, client: AsyncOpenAI
) -> None:
    @function_tool
    async def weather(city: str) -> str:
        """The weather of a city."""
        async with cl.Step("in weather"):
            inner = Agent(
                name="inner", model=OpenAIChatCompletionsModel(model="plain", openai_client=client)
            )
            result = await Runner.run(inner, city)
            return str(result.final_output)

    chat = OpenAIChatCompletionsModel(model="caller", openai_client=client)
    agent = Agent(name="helper", tools=[weather], model=chat)

    async def handler() -> None:
        async with cl.Step("outer"):
            await Runner.run(agent, "weather?")

    tree = await checked(bench, handler)
    assert tree["weather"] == "helper"
    assert tree["in weather"] == "weather"
    assert tree["inner"] == "in weather"


@pytest.mark.parametrize("sync", [False, True])
async def test_steps_in_a_tool_of_pydantic_ai_nest_under_it(
    bench: Bench, pydantic_agents: None, client: AsyncOpenAI, sync: bool
) -> None:
    provider = OpenAIProvider(openai_client=client)
    helper = PydanticAgent(OpenAIChatModel("caller", provider=provider), name="helper")

    if sync:

        @helper.tool_plain
        def weather(city: str) -> str:
            with cl.Step("in weather"):
                return city
    else:

        @helper.tool_plain(name="weather")
        async def aweather(city: str) -> str:
            async with cl.Step("in weather"):
                return city

    async def handler() -> None:
        async with cl.Step("outer"):
            await helper.run("weather?")

    tree = await checked(bench, handler)
    assert (tree["helper"], tree["weather"], tree["in weather"]) == ("outer", "helper", "weather")


async def test_a_call_of_the_openai_client_in_a_tool_nests_under_the_tool(
    bench: Bench, chains: None, client: AsyncOpenAI
) -> None:
    async def ask(x: str) -> str | None:
        messages: list[Any] = [{"role": "user", "content": x}]
        answer = await client.chat.completions.create(model="plain", messages=messages)
        return answer.choices[0].message.content

    async def handler() -> None:
        await RunnableLambda(ask, name="ask").ainvoke("hello")

    undo = openai.instrument()
    try:
        tree = await checked(bench, handler)
    finally:
        undo()
    assert tree == {"ask": None, "plain": "ask"}


async def test_a_thread_with_a_copied_context_keeps_the_tool_it_came_from(
    bench: Bench, chains: None
) -> None:
    def leaf() -> None:
        with cl.Step("leaf"):
            pass

    def work(x: int) -> int:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(copy_context().run, leaf).result()
        thread = threading.Thread(target=copy_context().run, args=(leaf,))
        thread.start()
        thread.join()
        return x

    async def handler() -> None:
        await RunnableLambda(work, name="work").ainvoke(1)

    await bench.run(handler)
    steps = (await bench.snapshot()).steps
    assert [step.name for step in steps] == ["work", "leaf", "leaf"]
    assert {step.parent_id for step in steps[1:]} == {steps[0].id}
