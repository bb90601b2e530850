"""Spans of the real SDK, and of the official instrumentation of the OpenAI client."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, cast

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

import stepwire as cl
from bench import Bench
from integrations.model_server import ModelServer
from stepwire.integrations import opentelemetry as integration
from stepwire_core.values.ids import check_id
from stepwire_core.wire.documents import Usage

pytestmark = pytest.mark.anyio


def gen_ai(operation: str, **more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": operation} | {
        f"gen_ai.{name.replace('__', '.')}": value for name, value in more.items()
    }


async def test_genai_spans_are_steps_that_nest_as_the_spans_do(
    bench: Bench, tracer: Tracer
) -> None:
    async def handler() -> None:
        async with cl.Step("outer"):
            with (
                tracer.start_as_current_span("GET /"),
                tracer.start_as_current_span(
                    "invoke_agent helper", attributes=gen_ai("invoke_agent", agent__name="helper")
                ),
                tracer.start_as_current_span("internal"),
            ):
                with tracer.start_as_current_span("chat gpt", attributes=gen_ai("chat")):
                    pass
                with tracer.start_as_current_span(
                    "execute_tool weather", attributes=gen_ai("execute_tool", tool__name="weather")
                ):
                    pass
                with tracer.start_as_current_span("embeddings e", attributes=gen_ai("embeddings")):
                    pass
                with tracer.start_as_current_span("rerank r", attributes=gen_ai("rerank")):
                    pass

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    assert await bench.tree() == {
        "outer": None,
        "helper": "outer",
        "chat gpt": "helper",
        "weather": "helper",
        "embeddings e": "helper",
        "rerank r": "helper",
    }
    types = [step.type for step in (await bench.snapshot()).steps]
    assert types == ["undefined", "agent", "llm", "tool", "embedding", "rerank"]
    for step in (await bench.snapshot()).steps:
        assert check_id(step.id, "step") == step.id
        assert step.status == "ok"


async def test_the_id_of_a_step_is_that_of_its_span(bench: Bench, tracer: Tracer) -> None:
    ids: list[str] = []

    async def handler() -> None:
        with tracer.start_as_current_span("chat", attributes=gen_ai("chat")) as span:
            context = span.get_span_context()
            ids.append(f"{context.trace_id:032x}.{context.span_id:016x}")

    await bench.run(handler)
    assert [step.id for step in (await bench.snapshot()).steps] == ids


async def test_a_span_that_is_not_shown_ends_nothing(bench: Bench, tracer: Tracer) -> None:
    async def handler() -> None:
        with tracer.start_as_current_span("chat", attributes=gen_ai("chat")) as span:
            with tracer.start_as_current_span("POST /v1/chat"):
                pass
            span.set_attribute("gen_ai.completion", "said later")

    await bench.run(handler)
    [step] = (await bench.snapshot()).steps
    assert step.output == "said later"
    assert (await bench.types())[-2:] == ["step.end", "run.end"]
    assert "step.update" not in await bench.types()


async def test_what_was_said_and_used_is_shown(bench: Bench, tracer: Tracer) -> None:
    asked = [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]
    said = [
        {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}
    ]

    async def handler() -> None:
        with tracer.start_as_current_span("chat gpt", attributes=gen_ai("chat")) as span:
            span.set_attributes(
                gen_ai(
                    "chat",
                    input__messages=json.dumps(asked),
                    output__messages=json.dumps(said),
                    system_instructions='[{"type": "text", "content": "Be kind."}]',
                    response__model="gpt-1",
                    response__finish_reasons=["stop"],
                    usage__input_tokens=3,
                    usage__output_tokens=4,
                )
            )
        with tracer.start_as_current_span("t", attributes=gen_ai("execute_tool")) as span:
            span.set_attributes(
                gen_ai("", tool__call__arguments='{"a": 1}', tool__call__result="not { json")
            )
        with tracer.start_as_current_span("old", attributes=gen_ai("chat")) as span:
            span.add_event("gen_ai.content.prompt", {"gen_ai.prompt": "asked"})
            span.add_event("gen_ai.content.completion", {"gen_ai.completion": "said"})

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    chat, tool, old = (await bench.snapshot()).steps
    assert json.loads(chat.input) == {"instructions": "Be kind.", "input": asked}
    assert chat.output == "hi"
    assert chat.metadata == {
        "model": "gpt-1",
        "finish_reason": ["stop"],
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    assert chat.usage == Usage(input_tokens=3, output_tokens=4, model="gpt-1")
    assert (json.loads(tool.input), tool.output) == ({"a": 1}, "not { json")
    assert (old.input, old.output) == ("asked", "said")


async def test_an_error_of_a_span_is_that_of_its_step(bench: Bench, tracer: Tracer) -> None:
    class Boom(Exception):
        pass

    async def handler() -> None:
        with (
            pytest.raises(Boom),
            tracer.start_as_current_span("recorded", attributes=gen_ai("chat")),
        ):
            raise Boom("loud")
        with tracer.start_as_current_span("told", attributes=gen_ai("chat")) as span:
            span.set_attribute("error.type", "timeout")
            span.set_status(trace.Status(trace.StatusCode.ERROR, "too slow"))

    assert (await bench.run(handler)).status == "ok"
    recorded, told = (await bench.snapshot()).steps
    for step, error in ((recorded, ("Boom", "loud")), (told, ("timeout", "too slow"))):
        assert step.status == "error"
        assert step.error is not None
        assert (step.error.type, step.error.message) == error


async def test_a_span_that_starts_in_a_bare_thread_keeps_its_parent(
    bench: Bench, tracer: Tracer
) -> None:
    async def handler() -> None:
        with tracer.start_as_current_span("parent", attributes=gen_ai("chat")) as parent:
            context = trace.set_span_in_context(parent)

            def work() -> None:
                tracer.start_span("child", context=context, attributes=gen_ai("chat")).end()

            thread = threading.Thread(target=work)
            thread.start()
            await asyncio.to_thread(thread.join)

    await bench.run(handler)
    assert await bench.tree() == {"parent": None, "child": "parent"}


async def test_outside_any_session_nothing_is_kept(tracer: Tracer) -> None:
    with tracer.start_as_current_span("chat", attributes=gen_ai("chat")):
        assert len(integration._steps) == 0


async def test_instrumenting_twice_shows_once_and_is_taken_back(
    bench: Bench, provider: TracerProvider
) -> None:
    undo = integration.instrument(provider)
    tracer = provider.get_tracer("test")

    async def handler() -> None:
        with tracer.start_as_current_span("first", attributes=gen_ai("chat")):
            undo()
        tracer.start_span("second", attributes=gen_ai("chat")).end()
        integration.instrument(provider)
        tracer.start_span("third", attributes=gen_ai("chat")).end()

    await bench.run(handler)
    steps = (await bench.snapshot()).steps
    assert [(step.name, step.status) for step in steps] == [("first", "ok"), ("third", "ok")]


async def test_two_processors_of_one_provider_show_a_span_once(
    bench: Bench, provider: TracerProvider, tracer: Tracer
) -> None:
    provider.add_span_processor(integration.StepSpanProcessor())

    async def handler() -> None:
        with tracer.start_as_current_span("chat", attributes=gen_ai("chat")):
            pass

    await bench.run(handler)
    types = await bench.types()
    assert (types.count("step.start"), types.count("step.end")) == (1, 1)
    assert "step.update" not in types


def test_without_a_provider_it_says_what_to_do() -> None:
    with pytest.raises(cl.InvalidArgument, match="set_tracer_provider"):
        integration.instrument()


async def test_a_fault_of_ours_breaks_nothing(
    bench: Bench, tracer: Tracer, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    class Fault(Exception):
        pass

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise Fault

    async def handler() -> None:
        monkeypatch.setattr("stepwire.integrations.opentelemetry._first", fail)
        for _ in range(2):
            with tracer.start_as_current_span("chat", attributes=gen_ai("chat")):
                pass

    assert (await bench.run(handler)).status == "ok"
    logged = [record for record in caplog.records if record.name == "stepwire.integrations"]
    assert len(logged) == 1


async def test_the_official_instrumentation_of_openai_is_shown(
    bench: Bench,
    provider: TracerProvider,
    model: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.genai.openai")
    from openai import AsyncOpenAI
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)

    async def handler() -> None:
        messages: list[Any] = [{"role": "user", "content": "hello"}]
        async with AsyncOpenAI(base_url=model.url, api_key="any", max_retries=0) as client:
            await client.chat.completions.create(model="plain", messages=messages)
            stream = await client.chat.completions.create(
                model="plain", messages=messages, stream=True
            )
            async for _ in stream:
                pass
            with pytest.raises(Exception, match=r"No\."):
                await client.chat.completions.create(model="refuser", messages=messages)

    try:
        run = await bench.run(handler)
    finally:
        instrumentor.uninstrument()
    assert (run.status, run.error) == ("ok", None)
    whole, streamed, refused = (await bench.snapshot()).steps
    for step in (whole, streamed):
        assert (step.name, step.type, step.output) == ("chat plain", "llm", "You said: hello")
        assert "hello" in step.input
    assert cast("Any", whole.metadata["usage"])["input_tokens"] == 3
    assert refused.error is not None
    assert refused.error.type == "BadRequestError"


async def test_a_span_that_a_cancellation_leaves_is_cancelled(bench: Bench, tracer: Tracer) -> None:
    async def cut_short() -> None:
        async with asyncio.timeout(0.01):
            with tracer.start_as_current_span("chat outer", attributes=gen_ai("chat")):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    # The work of cleaning up is not cancelled itself.
                    cleanup = gen_ai("execute_tool")
                    with tracer.start_as_current_span("execute_tool cleanup", attributes=cleanup):
                        pass
                    raise

    async def handler() -> None:
        with pytest.raises(TimeoutError):
            await cut_short()
        with tracer.start_as_current_span("chat after", attributes=gen_ai("chat")):
            pass

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    assert {name: step.status for name, step in steps.items()} == {
        "chat outer": "cancelled",
        "execute_tool cleanup": "ok",
        "chat after": "ok",
    }


async def test_a_span_of_a_run_that_is_out_of_time_is_interrupted(
    bench: Bench, tracer: Tracer
) -> None:
    bench.settings = bench.settings.model_copy(update={"run_timeout_s": 0.05})

    async def handler() -> None:
        with tracer.start_as_current_span("chat slow", attributes=gen_ai("chat")):
            await asyncio.Event().wait()

    assert (await bench.run(handler)).status == "error"
    assert (await bench.steps())["chat slow"].status == "interrupted"
