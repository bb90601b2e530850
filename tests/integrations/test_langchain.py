"""LangChain and LangGraph, real, with their OpenAI client against a model on loopback."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypedDict, cast

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langchain_openai")
pytest.importorskip("langgraph")

from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

import stepwire as cl
from bench import Bench
from integrations.chat import Chat
from integrations.model_server import ModelServer
from stepwire._scope.context import current_frame
from stepwire.integrations import langchain as integration
from stepwire_core.wire.documents import UsageSum

pytestmark = pytest.mark.anyio


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Sun in {city}."


class Shelf(BaseRetriever):
    def _get_relevant_documents(
        self,
        query: str,  # noqa: ARG002
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002
    ) -> list[Document]:
        return [Document("Paris is a city.", metadata={"page": 1})]


def agent(llm: ChatOpenAI) -> Any:
    """A graph of a model that calls tools, until it answers."""
    bound = llm.bind_tools([weather])

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    def act(state: MessagesState) -> str:
        return "tools" if getattr(state["messages"][-1], "tool_calls", None) else END

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([weather]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", act, ["tools", END])
    graph.add_edge("tools", "think")
    return graph.compile(name="agent")


async def test_a_graph_is_a_tree_of_its_nodes_models_and_tools(
    bench: Bench, chat: Chat, chains: None
) -> None:
    async def handler() -> None:
        async with cl.Step("outer"):
            result = await agent(chat("caller")).ainvoke({"messages": [HumanMessage("weather?")]})
        assert result["messages"][-1].content == "The tool said: Sun in Paris."

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = (await bench.snapshot()).steps
    names = {step.id: step.name for step in steps}
    tree = [(step.name, step.type, names.get(step.parent_id or "")) for step in steps]
    assert [entry for entry in tree if entry[0] != "act"] == [
        ("outer", "undefined", None),
        ("agent", "run", "outer"),
        ("think", "run", "agent"),
        ("caller", "llm", "think"),
        ("tools", "run", "agent"),
        ("weather", "tool", "tools"),
        ("think", "run", "agent"),
        ("caller", "llm", "think"),
    ]
    assert {step.status for step in steps} == {"ok"}
    first, second = [step for step in steps if step.type == "llm"]
    calls = [{"id": "call_1", "name": "weather", "arguments": {"city": "Paris"}}]
    assert json.loads(first.input) == [{"role": "user", "content": "weather?"}]
    assert json.loads(first.output) == first.metadata["tool_calls"] == calls
    assert second.output == "The tool said: Sun in Paris."
    assert cast("Any", second.metadata["usage"])["total_tokens"] == 7
    # Two calls, and not once more what the agent tells of both.
    assert (await bench.snapshot()).usage == UsageSum(input_tokens=6, output_tokens=8)
    [used] = [step for step in steps if step.type == "tool"]
    assert (json.loads(used.input), used.output) == ({"city": "Paris"}, "Sun in Paris.")


async def test_a_streaming_model_shows_its_tokens_as_they_come(
    bench: Bench, model: ModelServer, chat: Chat, chains: None
) -> None:
    model.go_on.clear()
    chain: Any = chat("held", stream_usage=True) | RunnableLambda(lambda message: message)

    async def handler() -> None:
        text = ""
        async for chunk in chat("held", stream_usage=True).astream("hello"):
            text += str(chunk.content)
            if text == "You":
                await current_frame("a test").scope.producer.flush()
                deltas = [data["text"] for type_, data in await bench.events() if "delta" in type_]
                assert deltas == ["You"]
                model.go_on.set()
        assert [part async for part in chain.astream("again")]

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    first, _, second = [
        step for step in (await bench.snapshot()).steps if step.name != "RunnableLambda"
    ]
    assert (first.output, first.type) == ("You said: hello", "llm")
    assert cast("Any", first.metadata["usage"])["total_tokens"] == 7
    assert second.output == "You said: again"


async def test_synchronous_chains_nest_in_a_synchronous_handler(
    bench: Bench, chat: Chat, chains: None
) -> None:
    def loud(text: str) -> str:
        return f"{text}!"

    chain: Any = RunnableLambda(loud) | chat()

    def handler() -> None:
        with cl.Step("outer"):
            assert chain.invoke("hello").content == "You said: hello!"
            assert [chunk.content for chunk in chain.stream("hello")]

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    tree = await bench.tree()
    assert tree == {
        "outer": None,
        "RunnableSequence": "outer",
        "loud": "RunnableSequence",
        "plain": "RunnableSequence",
    }
    whole, streamed = [s for s in (await bench.snapshot()).steps if s.name == "RunnableSequence"]
    assert whole.input == streamed.input == "hello"
    assert whole.tags == streamed.tags == []


async def test_retrievers_and_completion_models_are_shown(bench: Bench, chains: None) -> None:
    async def handler() -> None:
        await Shelf().ainvoke("Paris")
        assert await FakeListLLM(responses=["done"]).ainvoke("go") == "done"

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    found, said = (await bench.snapshot()).steps
    assert (found.name, found.type, found.input) == ("Shelf", "retrieval", "Paris")
    assert json.loads(found.output) == [{"text": "Paris is a city.", "metadata": {"page": 1}}]
    assert (said.type, said.input, said.output) == ("llm", "go", "done")


@pytest.mark.parametrize("handler_class", [integration.StepHandler, integration.AsyncStepHandler])
@pytest.mark.parametrize("sync", [False, True])
async def test_a_handler_given_by_hand_is_enough_and_shows_once(
    bench: Bench, chat: Chat, chains: None, handler_class: Any, sync: bool
) -> None:
    async def handler() -> None:
        config: Any = {"callbacks": [handler_class()]}
        if sync:
            chat().invoke("hello", config)
        else:
            await chat().ainvoke("hello", config)
        integration.uninstrument()
        async for _ in chat().astream("hello", config):
            pass

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = (await bench.snapshot()).steps
    assert [step.output for step in steps] == ["You said: hello"] * 2


async def test_an_error_ends_every_run_around_it_and_goes_on(
    bench: Bench, chat: Chat, chains: None
) -> None:
    def boom(_: Any) -> Any:
        raise ValueError("boom")

    chain = chat() | RunnableLambda(boom)

    async def handler() -> None:
        with pytest.raises(ValueError, match="boom"):
            await chain.ainvoke("hello")

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    assert steps["plain"].status == "ok"
    for name in ("RunnableSequence", "boom"):
        assert (steps[name].status, getattr(steps[name].error, "type", "")) == (
            "error",
            "ValueError",
        )


async def test_a_cancelled_run_is_cancelled(bench: Bench, chat: Chat, chains: None) -> None:
    begun = asyncio.Event()

    async def wait(_: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async def handler() -> None:
        task = asyncio.create_task(RunnableLambda(wait).ainvoke("x"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (await bench.run(handler)).status == "ok"
    assert (await bench.steps())["wait"].status == "cancelled"


async def test_an_interrupt_of_a_graph_is_no_error(bench: Bench, chains: None) -> None:
    class State(TypedDict):
        answer: str

    async def ask(state: State) -> State:
        return {"answer": interrupt("sure?")}

    graph = (
        StateGraph(State)
        .add_node("ask", ask)
        .add_edge(START, "ask")
        .compile(checkpointer=InMemorySaver())
    )
    config: Any = {"configurable": {"thread_id": "1"}}

    async def handler() -> None:
        await graph.ainvoke({"answer": ""}, config)
        assert (await graph.ainvoke(Command(resume="yes"), config))["answer"] == "yes"

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    asked = [step for step in (await bench.snapshot()).steps if step.name == "ask"]
    assert [step.status for step in asked] == ["ok", "ok"]
    assert [step.metadata.get("control") for step in asked] == ["GraphInterrupt", None]


async def test_branches_that_run_at_once_nest_apart(bench: Bench, chat: Chat, chains: None) -> None:
    async def branch(name: str) -> None:
        async with cl.Step(name):
            await RunnableLambda(lambda x: x, name=f"{name}.leaf").ainvoke(1)

    async def handler() -> None:
        await asyncio.gather(branch("a"), branch("b"))

    await bench.run(handler)
    assert await bench.tree() == {"a": None, "b": None, "a.leaf": "a", "b.leaf": "b"}


async def test_other_handlers_go_on_beside_ours(bench: Bench, chat: Chat, chains: None) -> None:
    seen: list[str] = []

    class Mine(BaseCallbackHandler):
        def on_llm_start(self, *_: Any, **__: Any) -> None:
            seen.append("start")

        def on_llm_end(self, *_: Any, **__: Any) -> None:
            seen.append("end")

    async def handler() -> None:
        await FakeListLLM(responses=["done"]).ainvoke("go", {"callbacks": [Mine()]})

    await bench.run(handler)
    assert seen == ["start", "end"]
    assert len(await bench.steps()) == 1


async def test_outside_any_session_no_handler_is_there(
    chains: None,
) -> None:
    managers: list[Any] = []

    def look(_: Any, config: Any) -> None:
        managers.append(config["callbacks"])

    await RunnableLambda(look).ainvoke("x")
    assert managers[0].handlers == []


async def test_a_fault_of_ours_breaks_nothing(
    bench: Bench,
    chat: Chat,
    chains: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fault(Exception):
        pass

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise Fault

    said: list[AIMessage] = []

    async def handler() -> None:
        monkeypatch.setattr("stepwire.integrations.langchain.shown_message", fail)
        said.append(await chat().ainvoke("hello"))
        said.append(await chat().ainvoke("hello"))

    assert (await bench.run(handler)).status == "ok"
    assert [message.content for message in said] == ["You said: hello"] * 2
    logged = [record for record in caplog.records if record.name == "stepwire.integrations"]
    assert len(logged) == 1


async def test_taken_back_it_shows_nothing(bench: Bench) -> None:
    undo = integration.instrument()
    assert integration.instrument() == undo

    async def handler() -> None:
        await RunnableLambda(lambda x: x, name="seen").ainvoke(1)
        undo()
        await RunnableLambda(lambda x: x, name="unseen").ainvoke(1)

    await bench.run(handler)
    assert list(await bench.steps()) == ["seen"]


async def test_a_hidden_run_is_left_out_and_ends_nothing(bench: Bench, chains: None) -> None:
    def leaf(x: int) -> int:
        return x + 1

    @tool
    async def hidden(x: int) -> int:
        """Adds."""
        return await RunnableLambda(leaf).ainvoke(x)

    # Tags of a call are handed down; these are the tool's own.
    hidden.tags = ["langsmith:hidden"]

    async def outside(x: int) -> str:
        return f"{await hidden.ainvoke({'x': x})} in the end"

    async def handler() -> None:
        await RunnableLambda(outside).ainvoke(1)

    assert (await bench.run(handler)).status == "ok"
    assert await bench.tree() == {"outside": None, "leaf": "outside"}
    assert (await bench.steps())["outside"].output == "2 in the end"


async def test_a_synchronous_run_inside_an_asynchronous_one_is_shown_once(
    bench: Bench, chains: None
) -> None:
    def leaf(x: int) -> int:
        return x + 1

    def blocking(x: int) -> int:
        return RunnableLambda(leaf).invoke(x)

    async def handler() -> None:
        # LangChain runs the function in a thread, where no loop runs.
        assert await RunnableLambda(blocking).ainvoke(1) == 2

    assert (await bench.run(handler)).status == "ok"
    assert await bench.tree() == {"blocking": None, "leaf": "blocking"}
    assert (await bench.types()).count("step.start") == 2
