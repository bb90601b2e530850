"""The OpenAI client, real, against a model on loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

pytest.importorskip("openai")

from openai import AsyncOpenAI, AsyncStream, BadRequestError, OpenAI, OpenAIError
from pydantic import BaseModel

import stepwire as cl
from bench import Bench
from integrations.model_server import ModelServer
from stepwire._scope.context import current_frame
from stepwire.integrations import openai as integration
from stepwire_core.wire.documents import StepDocument, Usage

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("openai_calls")]

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
CALLS = [{"id": "call_1", "name": "weather", "arguments": '{"city":"Paris"}'}]


@pytest.fixture
def sync_client(model: ModelServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=model.url, api_key="any", max_retries=0) as client:
        yield client


def ask(text: str = "hello") -> list[Any]:
    return [{"role": "user", "content": text}]


async def only_step(bench: Bench, name: str = "plain") -> StepDocument:
    return (await bench.steps())[name]


def check_plain(step: StepDocument) -> None:
    assert (step.type, step.status, step.output) == ("llm", "ok", "You said: hello")
    assert json.loads(step.input) == ask()
    assert (step.show_input, step.language) == ("json", None)
    assert step.metadata["model"] == "plain"
    assert "complete" not in step.metadata


async def test_a_whole_completion_is_an_llm_step_under_the_step_around_it(
    bench: Bench, client: AsyncOpenAI
) -> None:
    async def handler() -> None:
        async with cl.Step("outer"):
            completion = await client.chat.completions.create(model="plain", messages=ask())
        assert completion.choices[0].message.content == "You said: hello"

    assert (await bench.run(handler)).status == "ok"
    step = await only_step(bench)
    check_plain(step)
    assert cast("Any", step.metadata["usage"])["total_tokens"] == 7
    assert step.usage == Usage(input_tokens=3, output_tokens=4, model="plain")
    assert step.metadata["finish_reason"] == "stop"
    assert (await bench.tree())["plain"] == "outer"


async def test_a_streamed_completion_shows_each_token_before_its_caller_gets_it(
    bench: Bench, client: AsyncOpenAI, model: ModelServer
) -> None:
    model.go_on.clear()

    async def handler() -> None:
        stream = await client.chat.completions.create(
            model="held", messages=ask(), stream=True, stream_options={"include_usage": True}
        )
        assert isinstance(stream, AsyncStream)
        text = ""
        async for chunk in stream:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            if text == "You":
                # The model holds back the rest until this much is stored.
                await current_frame("a test").scope.producer.flush()
                deltas = [data["text"] for type_, data in await bench.events() if "delta" in type_]
                assert deltas == ["You"]
                model.go_on.set()
        assert text == "You said: hello"

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    step = await only_step(bench, "held")
    assert step.output == "You said: hello"
    assert cast("Any", step.metadata["usage"])["total_tokens"] == 7


@pytest.mark.parametrize("stream", [False, True])
async def test_the_synchronous_client_works_in_a_synchronous_handler(
    bench: Bench, sync_client: OpenAI, stream: bool
) -> None:
    def handler() -> None:
        answer: Any = sync_client.chat.completions.create(
            model="plain", messages=ask(), stream=stream
        )
        if stream:
            words = [chunk.choices[0].delta.content or "" for chunk in answer]
            assert "".join(words) == "You said: hello"

    assert (await bench.run(handler)).status == "ok"
    check_plain(await only_step(bench))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_shown_whole_or_streamed(
    bench: Bench, client: AsyncOpenAI, sync_client: OpenAI, stream: bool
) -> None:
    async def handler() -> None:
        async with cl.Step("async"):
            answer: Any = await client.responses.create(
                model="plain", input="hello", instructions="Be kind.", stream=stream
            )
            if stream:
                async for _ in answer:
                    pass

    def sync_handler() -> None:
        answer: Any = sync_client.responses.create(
            model="plain", input="hello", instructions="Be kind.", stream=stream
        )
        if stream:
            for _ in answer:
                pass

    for function in (handler, sync_handler):
        run = await bench.run(function)
        assert (run.status, run.error) == ("ok", None)
    [first, second] = [s for s in (await bench.snapshot()).steps if s.name == "plain"]
    for step in (first, second):
        assert (step.type, step.status, step.output) == ("llm", "ok", "You said: hello")
        assert json.loads(step.input) == {"instructions": "Be kind.", "input": "hello"}
        assert step.metadata["finish_reason"] == "completed"
        assert cast("Any", step.metadata["usage"])["output_tokens"] == 4
    types = await bench.types()
    assert ("step.delta" in types) is stream


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_are_the_output_where_there_is_no_text(
    bench: Bench, client: AsyncOpenAI, stream: bool
) -> None:
    async def handler() -> None:
        chat: Any = await client.chat.completions.create(
            model="caller", messages=ask(), tools=TOOLS, stream=stream
        )
        response: Any = await client.responses.create(
            model="caller",
            input=ask(),
            tools=[cast("Any", {"type": "function", **TOOLS[0]["function"], "strict": False})],
            stream=stream,
        )
        for answer in (chat, response) if stream else ():
            async for _ in answer:
                pass

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    for step in (await bench.snapshot()).steps:
        assert json.loads(step.output) == CALLS
        assert step.metadata["tool_calls"] == CALLS


async def test_parsed_answers_are_shown_as_text(bench: Bench, client: AsyncOpenAI) -> None:
    class City(BaseModel):
        city: str

    question = '{"city":"Paris"}'

    async def handler() -> None:
        chat = await client.chat.completions.parse(
            model="echo", messages=ask(question), response_format=City
        )
        assert chat.choices[0].message.parsed == City(city="Paris")
        response = await client.responses.parse(model="echo", input=question, text_format=City)
        assert response.output_parsed == City(city="Paris")

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    assert [step.output for step in (await bench.snapshot()).steps] == [question] * 2


async def test_the_stream_helpers_are_shown(bench: Bench, client: AsyncOpenAI) -> None:
    async def handler() -> None:
        async with client.chat.completions.stream(model="plain", messages=ask()) as stream:
            async for _ in stream:
                pass
            assert (await stream.get_final_completion()).choices[0].message.content
        async with client.responses.stream(model="plain", input="hello") as events:
            assert (await events.get_final_response()).output_text == "You said: hello"

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = (await bench.snapshot()).steps
    assert [step.output for step in steps] == ["You said: hello"] * 2
    assert [step.input for step in steps][1] == "hello"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_raw_response_stays_one_and_is_shown(
    bench: Bench, client: AsyncOpenAI, stream: bool
) -> None:
    async def handler() -> None:
        raw: Any = await client.chat.completions.with_raw_response.create(
            model="plain", messages=ask(), stream=stream
        )
        assert raw.headers["content-type"].startswith("text/event-stream" if stream else "appl")
        answer = raw.parse()
        if stream:
            async for _ in answer:
                pass
        else:
            assert answer.choices[0].message.content == "You said: hello"

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    check_plain(await only_step(bench))


async def test_a_response_that_its_caller_streams_by_hand_is_left_alone(
    bench: Bench, client: AsyncOpenAI
) -> None:
    async def handler() -> None:
        async with client.chat.completions.with_streaming_response.create(
            model="plain", messages=ask()
        ) as response:
            assert "You said: hello" in await response.text()

    assert (await bench.run(handler)).status == "ok"
    assert await bench.steps() == {}


@pytest.mark.parametrize("sync", [False, True])
async def test_a_stream_that_is_parsed_from_such_a_response_is_shown(
    bench: Bench, client: AsyncOpenAI, sync_client: OpenAI, sync: bool
) -> None:
    async def handler() -> None:
        if sync:
            with sync_client.responses.with_streaming_response.create(
                model="plain", input="hello", stream=True
            ) as response:
                assert response.parse() is response.parse()
                assert [event.type for event in response.parse()]
        else:
            async with client.responses.with_streaming_response.create(
                model="plain", input="hello", stream=True
            ) as async_response:
                stream = await async_response.parse()
                assert isinstance(stream, AsyncStream)
                assert [event.type async for event in stream]

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    step = await only_step(bench)
    assert (step.type, step.status, step.output) == ("llm", "ok", "You said: hello")
    assert "complete" not in step.metadata
    assert (await bench.types()).count("step.end") == 1


async def test_a_stream_that_its_caller_reads_by_hand_is_a_step_that_is_not_complete(
    bench: Bench, client: AsyncOpenAI
) -> None:
    seen: list[StepDocument] = []

    async def handler() -> None:
        async with client.chat.completions.with_streaming_response.create(
            model="plain", messages=ask(), stream=True
        ) as response:
            assert [line async for line in response.iter_lines()]
        seen.append(await ended(bench, "plain"))

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    assert (seen[0].status, seen[0].output) == ("ok", "")
    assert seen[0].metadata["complete"] is False


async def test_a_refused_call_ends_its_step_with_the_error_and_raises_it(
    bench: Bench, client: AsyncOpenAI, sync_client: OpenAI
) -> None:
    async def handler() -> None:
        with pytest.raises(BadRequestError):
            await client.chat.completions.create(model="refuser", messages=ask())
        with pytest.raises(BadRequestError):
            sync_client.responses.create(model="refuser", input="hello", stream=True)

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    for step in (await bench.snapshot()).steps:
        assert step.status == "error"
        assert step.error is not None
        assert step.error.type == "BadRequestError"
        assert "No." in step.error.message


async def test_an_error_in_the_middle_of_a_stream_keeps_what_was_streamed(
    bench: Bench, client: AsyncOpenAI
) -> None:
    async def handler() -> None:
        stream = await client.chat.completions.create(model="breaker", messages=ask(), stream=True)
        with pytest.raises(OpenAIError, match=r"It broke\."):
            async for _ in stream:
                pass

    assert (await bench.run(handler)).status == "ok"
    step = await only_step(bench, "breaker")
    assert (step.status, step.output) == ("error", "You said:")
    assert step.error is not None
    assert step.error.message == "It broke."


async def test_a_cancelled_stream_ends_its_step_as_cancelled(
    bench: Bench, client: AsyncOpenAI, model: ModelServer
) -> None:
    model.go_on.clear()

    async def handler() -> None:
        begun = asyncio.Event()

        async def read() -> None:
            stream = await client.chat.completions.create(model="held", messages=ask(), stream=True)
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (await bench.run(handler)).status == "ok"
    model.go_on.set()
    step = await only_step(bench, "held")
    assert (step.status, step.output) == ("cancelled", "You")


@pytest.mark.parametrize("read", [0, 1])
async def test_a_stream_that_is_dropped_is_not_complete(
    bench: Bench, client: AsyncOpenAI, read: int
) -> None:
    async def handler() -> None:
        stream = await client.chat.completions.create(model="m", messages=ask(), stream=True)
        for _ in range(read):
            await anext(stream)
        response = stream.response
        del stream
        gc.collect()
        assert (await ended(bench, "m")).metadata["complete"] is False
        await response.aclose()

    assert (await bench.run(handler)).status == "ok"
    assert (await only_step(bench, "m")).metadata["complete"] is False


async def test_a_stream_that_is_kept_to_the_end_of_its_run_is_not_complete(
    bench: Bench, client: AsyncOpenAI
) -> None:
    kept = []

    async def handler() -> None:
        kept.append(await client.chat.completions.create(model="m", messages=ask(), stream=True))

    assert (await bench.run(handler)).status == "ok"
    assert (await only_step(bench, "m")).metadata["complete"] is False
    await kept[0].close()


async def ended(bench: Bench, name: str) -> StepDocument:
    """The step, once it has ended; while its run goes on."""
    # Not asyncio.timeout: a cancellation that meets redis-py's check of an idle connection is lost.
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        await current_frame("a test").scope.producer.flush()
        step = (await bench.steps()).get(name)
        if step is not None and step.status != "running":
            return step
    raise TimeoutError(f"{name} has not ended")


@pytest.mark.parametrize("how", ["break", "close", "helper"])
async def test_a_stream_that_is_left_ends_its_step_while_the_run_goes_on(
    bench: Bench, client: AsyncOpenAI, sync_client: OpenAI, how: str
) -> None:
    seen: list[StepDocument] = []

    async def read() -> object:
        if how == "helper":
            with sync_client.chat.completions.stream(model="plain", messages=ask()) as events:
                for event in events:
                    if event.type == "content.delta" and event.delta:
                        break
                return events
        stream = await client.chat.completions.create(model="plain", messages=ask(), stream=True)
        if how == "break":
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        else:
            await anext(stream)
            await anext(stream)
            await stream.close()
        return stream

    async def handler() -> None:
        # The caller still has the stream: what shows is that it was left, not collected.
        stream = await read()
        seen.append(await ended(bench, "plain"))
        if isinstance(stream, AsyncStream):
            await stream.close()

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    assert (seen[0].status, seen[0].output) == ("ok", "You")
    assert seen[0].metadata["complete"] is False


async def test_a_stream_that_is_taken_up_again_is_whole_in_the_end(
    bench: Bench, sync_client: OpenAI
) -> None:
    async def handler() -> None:
        stream = sync_client.chat.completions.create(model="plain", messages=ask(), stream=True)
        for _ in stream:
            break
        await ended(bench, "plain")
        for _ in stream:
            pass

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    check_plain(await only_step(bench))


async def test_a_file_in_a_message_is_shown_by_its_size(bench: Bench, client: AsyncOpenAI) -> None:
    image = "data:image/png;base64," + "A" * 5_000
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": image}},
    ]

    async def handler() -> None:
        messages: list[Any] = [{"role": "user", "content": parts}]
        await client.chat.completions.create(model="plain", messages=messages)

    assert (await bench.run(handler)).status == "ok"
    shown = json.loads((await only_step(bench)).input)[0]["content"]
    assert shown[0]["text"] == "look"
    assert shown[1]["image_url"]["url"].endswith("… (5022 characters)")
    assert len(shown[1]["image_url"]["url"]) < 100


async def test_outside_any_session_a_call_is_as_it_was(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="plain", messages=ask(), stream=True)
    assert type(stream._iterator).__name__ == "async_generator"
    text = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(text) == "You said: hello"


async def test_a_fault_of_ours_is_logged_once_and_breaks_nothing(
    bench: Bench,
    client: AsyncOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Fault(Exception):
        pass

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise Fault

    text: list[str] = []

    async def handler() -> None:
        monkeypatch.setattr("stepwire._tree.node.Node._add", fail)
        monkeypatch.setattr("stepwire._tree.node.Node._end", fail)
        stream = await client.chat.completions.create(model="plain", messages=ask(), stream=True)
        text.extend([chunk.choices[0].delta.content or "" async for chunk in stream])
        monkeypatch.undo()

    assert (await bench.run(handler)).status == "ok"
    assert "".join(text) == "You said: hello"
    said = [record for record in caplog.records if record.name == "stepwire.integrations"]
    assert len(said) == 1


async def test_instrumenting_twice_shows_once_and_is_taken_back_at_once(
    bench: Bench, client: AsyncOpenAI
) -> None:
    undo = integration.instrument()

    async def handler() -> None:
        await client.chat.completions.create(model="plain", messages=ask())

    await bench.run(handler)
    assert len((await bench.snapshot()).steps) == 1
    undo()
    undo()
    assert "request" not in vars(OpenAI)
    assert "request" not in vars(AsyncOpenAI)
    await bench.run(handler)
    assert len((await bench.snapshot()).steps) == 1
