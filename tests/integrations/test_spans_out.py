"""Steps, runs and requests as spans, received by a collector over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import stepwire as cl
from bench import Bench, open_bench
from otlp import Collector, collecting_spans
from stepwire._handlers.registry import collecting
from stepwire._runs.runner import Runner
from stepwire._scope.context import own_frame
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire._transport.publisher import Publisher
from stepwire.integrations import opentelemetry as incoming
from stepwire_core.log.event_log import open_log
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.settings import Settings
from stepwire_core.tracing.place import TracePlace
from stepwire_core.tracing.span_export import CLOSE_S, SpanExport
from stepwire_core.values.ids import new_id
from stepwire_core.values.trace_context import TraceContext
from stepwire_core.wire.documents import ErrorInfo, StepDocument, Usage
from stepwire_core.wire.run_request import RunRequest
from stepwire_gateway import create_app, running

pytestmark = pytest.mark.anyio

INTERNAL, SERVER, CLIENT = 1, 2, 3
ERROR = 2
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting_spans() as running_collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running_collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield running_collector


@pytest.fixture
def traced(settings: Settings, collector: Collector) -> Settings:
    return settings.model_copy(update={"trace_steps": True})


@pytest.fixture
async def tracing(traced: Settings, session_id: str) -> AsyncIterator[Bench]:
    async with open_bench(traced, session_id) as bench:
        yield bench


async def test_steps_are_spans_that_nest_as_the_steps_do(
    tracing: Bench, collector: Collector
) -> None:
    async def handler() -> None:
        async with cl.Step("research", type="agent"):
            async with cl.Step("ask", type="llm") as ask:
                ask.usage(input_tokens=7, output_tokens=3, model="gpt-9")
                ask.input, ask.output = "What?", "That."
            async with cl.Step("search", type="tool") as search:
                search.input, search.output = {"q": "secret words"}, "found"
            with cl.Step("rank"):
                pass

    run = await tracing.run(handler)
    spans = collector.named(5)
    agent, chat = spans["invoke_agent research"], spans["chat gpt-9"]
    tool, rank, whole = spans["execute_tool search"], spans["rank"], spans["invoke_agent task"]
    assert {span.trace_id for span in spans.values()} == {whole.trace_id}
    assert whole.parent_id == ""
    assert agent.parent_id == whole.span_id
    assert {chat.parent_id, tool.parent_id, rank.parent_id} == {agent.span_id}
    assert (chat.kind, agent.kind, tool.kind) == (CLIENT, INTERNAL, INTERNAL)
    assert chat.start_ns >= agent.start_ns
    assert chat.end_ns <= agent.end_ns
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.request.model"] == "gpt-9"
    assert chat.attributes["gen_ai.usage.input_tokens"] == 7
    assert chat.attributes["gen_ai.usage.output_tokens"] == 3
    assert chat.attributes["gen_ai.conversation.id"] == tracing.session_id
    assert chat.attributes["stepwire.run.id"] == run.run_id
    assert tool.attributes["gen_ai.tool.name"] == "search"
    assert agent.attributes["gen_ai.agent.name"] == "research"
    assert "gen_ai.operation.name" not in rank.attributes
    assert whole.service == "stepwire-worker"


async def test_what_a_run_has_used_is_counted_once_over_all_spans(
    tracing: Bench, collector: Collector
) -> None:
    async def handler() -> None:
        for _ in range(2):
            async with cl.Step("ask", type="llm") as step:
                step.usage(input_tokens=5, output_tokens=1)

    await tracing.run(handler)
    spans = collector.wait_for(3)
    told = [span.attributes.get("gen_ai.usage.input_tokens", 0) for span in spans]
    assert sum(told) == 10
    [whole] = [span for span in spans if span.name == "invoke_agent task"]
    assert whole.attributes["gen_ai.aggregated_usage.input_tokens"] == 10


async def test_what_was_said_stays_here_unless_a_setting_says_otherwise(
    traced: Settings, session_id: str, collector: Collector
) -> None:
    async def handler() -> None:
        async with cl.Step("ask", type="llm") as ask:
            ask.input, ask.output = "my secret", "its answer"
        async with cl.Step("look", type="tool") as look:
            look.input, look.output = "my secret", "its answer"
        with pytest.raises(ValueError, match="secret"), cl.Step("fail"):
            raise ValueError("my secret")

    async with open_bench(traced, session_id) as bench:
        await bench.run(handler)
        assert "secret" not in repr(collector.wait_for(4))
    told = traced.model_copy(update={"trace_content": True})
    collector.spans.clear()
    async with open_bench(told, new_id()) as bench:
        await bench.run(handler)
        spans = collector.named(4)
    [message] = json.loads(spans["chat ask"].attributes["gen_ai.input.messages"])
    assert message == {"role": "user", "parts": [{"type": "text", "content": "my secret"}]}
    assert "its answer" in spans["chat ask"].attributes["gen_ai.output.messages"]
    assert spans["execute_tool look"].attributes["gen_ai.tool.call.arguments"] == "my secret"
    assert spans["fail"].message == "my secret"


async def test_errors_and_cancellations_are_told(tracing: Bench, collector: Collector) -> None:
    async def handler() -> None:
        with pytest.raises(KeyError):
            async with cl.Step("broken"):
                raise KeyError("x")
        task = asyncio.current_task()
        assert task is not None
        with suppress(asyncio.CancelledError):
            async with cl.Step("left"):
                task.cancel()
                await asyncio.sleep(0)
        task.uncancel()
        raise RuntimeError("in the end")

    run = await tracing.run(handler)
    assert run.status == "error"
    # The message that tells the person of the failure is a step, too.
    spans = {span.name: span for span in collector.wait_for(3)}
    assert (spans["broken"].status, spans["broken"].attributes["error.type"]) == (ERROR, "KeyError")
    assert (spans["left"].status, spans["left"].attributes["stepwire.step.status"]) == (
        0,
        "cancelled",
    )
    whole = [span for span in collector.wait_for(4) if span.name == "invoke_agent task"]
    assert [span.attributes["error.type"] for span in whole] == ["RuntimeError"]


async def test_a_run_hangs_under_the_span_that_has_requested_it(
    tracing: Bench, collector: Collector
) -> None:
    seen: list[str | None] = []

    async def handler() -> None:
        async with cl.Step("work"):
            seen.append(cl.current().traceparent)

    await execute(tracing, handler, traceparent=CALLER)
    spans = collector.named(2)
    whole, work = spans["invoke_agent task"], spans["work"]
    assert (whole.trace_id, whole.parent_id) == (TRACE_ID, "b7ad6b7169203331")
    assert (work.trace_id, work.parent_id) == (TRACE_ID, whole.span_id)
    assert seen == [f"00-{TRACE_ID}-{work.span_id}-01"]


async def test_a_trace_that_its_maker_does_not_record_is_not_recorded_here(
    tracing: Bench, collector: Collector
) -> None:
    async def handler() -> None:
        async with cl.Step("work"):
            assert (cl.current().traceparent or "").endswith("-00")

    await execute(tracing, handler, traceparent=CALLER[:-1] + "0")
    await tracing.run(handler_of_nothing)
    assert [span.name for span in collector.wait_for(1)] == ["invoke_agent task"]


async def handler_of_nothing() -> None:
    """Return."""


async def execute(bench: Bench, function: Any, *, traceparent: str) -> RunRequest:
    """One attempt of a run that was requested in a trace."""
    with collecting() as handlers:
        handlers.add("task", function)
    request = RunRequest(
        session_id=bench.session_id, run_id=new_id(), handler="task", traceparent=traceparent
    )
    await Runner(handlers, bench.log, bench.publisher, bench.settings).execute(request)
    return request


async def test_a_sub_task_on_another_worker_hangs_under_the_step_that_awaits_it(
    traced: Settings, session_id: str, collector: Collector
) -> None:
    """Two workers, with publishers and exporters of their own."""
    with collecting() as handlers:

        async def part() -> int:
            async with cl.Step("below"):
                return 3

        async def caller() -> None:
            async with cl.Step("above"):
                assert await cl.enqueue("part") == 3

        handlers.add("part", part)
        handlers.add("caller", caller)

    class Elsewhere:
        """The queue, and the worker that takes what is put into it."""

        def __init__(self, bench: Bench) -> None:
            self.bench, self.tasks = bench, set[asyncio.Task[None]]()

        async def enqueue(self, request: RunRequest, /) -> None:
            sent = RunRequest.model_validate_json(request.model_dump_json())
            bench = self.bench
            runner = Runner(handlers, bench.log, bench.publisher, bench.settings)
            self.tasks.add(asyncio.create_task(runner.execute(sent)))

        async def has(self, run_id: str, /) -> bool:  # noqa: ARG002
            return True

    async with open_bench(traced, session_id) as here, other_worker(traced, here) as there:
        elsewhere = Elsewhere(there)
        runner = Runner(handlers, here.log, here.publisher, traced, sub_tasks=elsewhere)
        request = RunRequest(session_id=session_id, run_id=new_id(), handler="caller")
        await runner.execute(request)
        await asyncio.gather(*elsewhere.tasks)
        spans = collector.named(4)
    assert len({span.trace_id for span in spans.values()}) == 1
    assert spans["below"].parent_id == spans["invoke_agent part"].span_id
    assert spans["invoke_agent part"].parent_id == spans["above"].span_id
    assert spans["above"].parent_id == spans["invoke_agent caller"].span_id


@asynccontextmanager
async def other_worker(settings: Settings, bench: Bench) -> AsyncIterator[Bench]:
    publisher = Publisher(settings)
    try:
        yield Bench(settings, bench.log, publisher, bench.session_id)
    finally:
        await asyncio.to_thread(publisher.close)


async def test_the_spans_of_a_worker_that_died_are_made_by_the_one_that_ends_its_run(
    traced: Settings, session_id: str, collector: Collector
) -> None:
    began = asyncio.Event()

    async def handler() -> None:
        if began.is_set():
            return
        async with cl.Step("open"):
            frame = own_frame()
            assert frame is not None
            await frame.scope.producer.flush()
            began.set()
            await asyncio.Event().wait()

    with collecting() as handlers:
        handlers.add("task", handler)
    request = RunRequest(session_id=session_id, run_id=new_id(), handler="task")
    twice = traced.model_copy(update={"max_attempts": 2})
    async with open_bench(twice, session_id) as dead, other_worker(twice, dead) as heir:
        first = Runner(handlers, dead.log, dead.publisher, twice)
        running_first = asyncio.create_task(first.execute(request))
        await began.wait()
        await Runner(handlers, heir.log, heir.publisher, twice).execute(request)
        running_first.cancel()
        await asyncio.wait([running_first])
        spans = collector.wait_for(3)
    by_attempt = {(span.name, span.attributes["stepwire.attempt"]): span for span in spans}
    lost = by_attempt["open", 1]
    assert (lost.status, lost.attributes["stepwire.step.status"]) == (ERROR, "interrupted")
    assert lost.parent_id == by_attempt["invoke_agent task", 1].span_id
    assert by_attempt["invoke_agent task", 1].attributes["stepwire.will_retry"] is True
    assert by_attempt["invoke_agent task", 2].status == 0
    assert len({span.trace_id for span in spans}) == 1


async def test_a_span_of_users_hangs_under_the_step_around_it(
    tracing: Bench, collector: Collector
) -> None:
    tracer = TracerProvider().get_tracer("users")
    made: dict[str, trace.Span] = {}

    async def handler() -> None:
        made["in the run"] = tracer.start_span("in the run")
        async with cl.Step("work"):
            made["in the step"] = tracer.start_span("in the step")
            with tracer.start_as_current_span("own") as own, cl.Step("deep"):
                made["in the deep"] = tracer.start_span("in the deep")
            made["own"] = own
        made["after"] = tracer.start_span("after")

    await tracing.run(handler)
    spans = collector.named(3)
    expected = {
        "in the run": "invoke_agent task",
        "in the step": "work",
        "in the deep": "deep",
        "own": "work",
        "after": "invoke_agent task",
    }
    for name, parent in expected.items():
        told = made[name].parent  # type: ignore[attr-defined]
        assert told is not None
        assert trace.format_span_id(told.span_id) == spans[parent].span_id, name
        assert trace.format_trace_id(told.trace_id) == spans[parent].trace_id


async def test_a_generator_that_is_left_early_logs_no_error(
    tracing: Bench, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    @cl.step
    async def numbers() -> AsyncIterator[int]:
        for number in range(9):
            yield number

    async def handler() -> None:
        left = numbers()
        await anext(left)
        await asyncio.create_task(left.aclose())  # type: ignore[attr-defined]

    await tracing.run(handler)
    collector.wait_for(2)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_step_that_shows_a_span_is_not_sent_a_second_time(
    tracing: Bench, collector: Collector
) -> None:
    """With the incoming integration on; what is of ours inside that span hangs under it."""
    provider = TracerProvider()
    incoming.instrument(provider)
    tracer = provider.get_tracer("theirs")
    theirs: list[trace.SpanContext] = []

    async def handler() -> None:
        async with cl.Step("ours"):
            chat = {"gen_ai.operation.name": "chat"}
            with tracer.start_as_current_span("chat", attributes=chat) as span:
                theirs.append(span.get_span_context())
                async with cl.Step("inside"):
                    pass

    await tracing.run(handler)
    assert len((await tracing.snapshot()).steps) == 3
    spans = collector.named(3)
    assert set(spans) == {"invoke_agent task", "ours", "inside"}
    assert spans["inside"].parent_id == trace.format_span_id(theirs[0].span_id)
    assert spans["inside"].trace_id == trace.format_trace_id(theirs[0].trace_id)


async def test_a_collector_that_is_away_costs_nothing_but_spans(
    settings: Settings, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the run nor the end of the process waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It accepts, and never answers.
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        traced = settings.model_copy(update={"trace_steps": True})
        async with open_bench(traced, session_id) as bench:

            async def handler() -> None:
                for _ in range(50):
                    async with cl.Step("work"):
                        pass

            assert (await bench.run(handler)).status == "ok"
            spans = bench.publisher.spans
            assert spans is not None
            began = time.monotonic()
            await asyncio.to_thread(spans.close)
            # A bound of ours, and not a measurement: the library's own is half a minute.
            assert time.monotonic() - began < 3 * CLOSE_S


async def test_more_than_may_wait_is_dropped_and_counted(
    traced: Settings, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    from stepwire_core.tracing import span_export

    monkeypatch.setattr(span_export, "MAX_WAITING_BYTES", 10)
    spans = SpanExport(traced, service="test")
    place = TracePlace("a" * 32, sampled=True, outer=None, has_spans=True)
    for _ in range(3):
        spans.step(place, "x" * 20)
    assert spans.dropped == 3
    spans.close()
    assert collector.spans == []


async def test_a_session_block_is_in_the_trace_of_the_code_around_it(
    traced: Settings, collector: Collector
) -> None:
    """As in a route of FastAPI that is instrumented; elsewhere, what was exported leads there."""
    publisher = Publisher(traced)
    tracer = TracerProvider().get_tracer("route")
    session_id = new_id()
    exported = {}
    try:
        with used_as_process_publisher(publisher):
            with tracer.start_as_current_span("GET /") as route:
                async with cl.session(session_id), cl.Step("first"):
                    exported = json.loads(json.dumps(cl.current().export()))
            async with cl.attach(exported), cl.Step("second"):
                pass
            async with cl.session(session_id), cl.Step("alone"):
                pass
        spans = collector.named(3)
    finally:
        await asyncio.to_thread(publisher.close)
    around = route.get_span_context()
    assert spans["first"].parent_id == trace.format_span_id(around.span_id)
    assert spans["second"].parent_id == spans["first"].span_id
    assert {spans[name].trace_id for name in ("first", "second")} == {
        trace.format_trace_id(around.trace_id)
    }
    assert spans["alone"].parent_id == ""
    assert spans["alone"].trace_id != spans["first"].trace_id


@asynccontextmanager
async def a_session(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A gateway in this process, and the path of a session there."""
    app = create_app(settings)
    async with running(app):
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            session = (await http.post("/v1/sessions", json={})).json()["session_id"]
            yield http, f"/v1/sessions/{session}"


async def test_the_request_of_a_gateway_is_the_parent_of_its_run(
    traced: Settings, collector: Collector
) -> None:
    async with a_session(traced) as (http, path), open_queue(traced) as queue:
        told = {"traceparent": CALLER}
        sent = await http.post(
            f"{path}/messages?token=secret", json={"content": "Hi"}, headers=told
        )
        assert sent.status_code == 202
        assert (await http.get("/healthz")).status_code == 200
        request = await queue.request(sent.json()["run_id"])
    spans = collector.named(2)
    span = spans["POST /v1/sessions/{session_id}/messages"]
    assert (span.kind, span.service) == (SERVER, "stepwire-gateway")
    assert (span.trace_id, span.parent_id) == (TRACE_ID, "b7ad6b7169203331")
    assert span.attributes["http.response.status_code"] == 202
    assert request is not None
    parent = TraceContext.parse(request.traceparent)
    assert parent == TraceContext(TRACE_ID, span.span_id, sampled=True)
    assert "secret" not in repr(collector.spans)
    assert spans["POST /v1/sessions"].parent_id == ""


async def test_without_spans_of_its_own_a_gateway_hands_the_callers_on(
    settings: Settings,
) -> None:
    async with a_session(settings) as (http, path), open_queue(settings) as queue:
        runs = [
            (await http.post(f"{path}/runs", json={"task": "t"}, headers=headers)).json()["run_id"]
            for headers in ({"traceparent": CALLER}, {"traceparent": "nonsense"}, {})
        ]
        requests = [await queue.request(run_id) for run_id in runs]
    assert [request and request.traceparent for request in requests] == [CALLER, None, None]


@pytest.mark.parametrize(
    ("header", "is_valid"),
    [
        (CALLER, True),
        (CALLER + "-more", False),
        ("cc" + CALLER[2:] + "-more", True),
        ("ff" + CALLER[2:], False),
        (CALLER.upper(), False),
        (CALLER.replace(TRACE_ID, "0" * 32), False),
        (CALLER.replace("b7ad6b7169203331", "0" * 16), False),
        (CALLER + " " * 400, False),
        ("", False),
    ],
)
async def test_a_traceparent_is_read_as_the_recommendation_says(
    header: str, is_valid: bool
) -> None:
    assert (TraceContext.parse(header) is not None) is is_valid


async def test_a_document_of_any_form_makes_a_span_or_a_line_in_the_log(
    traced: Settings, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    spans = SpanExport(traced, service="test")
    place = TracePlace("a" * 32, sampled=True, outer=None, has_spans=True)
    step = StepDocument(
        id="odd",
        session_id="s",
        run_id=None,
        attempt=0,
        parent_id="odd",
        name="n" * 10_000,
        type="llm",
        status="of a newer version",
        metadata={"model": 7, "provider": ["x"], "finish_reason": {"a": 1}},
        usage=Usage(),
        error=ErrorInfo(type="X", message="y"),
        started_at="2026-01-01T00:00:01.000Z",
        ended_at="2026-01-01T00:00:00.000Z",
        ts="2026-01-01T00:00:00.000Z",
    )
    spans.step(place, "{")
    spans.step(place, step.to_json())
    [span] = collector.wait_for(1)
    spans.close()
    assert span.end_ns >= span.start_ns
    assert len(span.name) == 200
    assert [record.message for record in caplog.records] == ["a span could not be made"]


async def test_the_sampler_of_the_environment_decides_about_traces_that_begin_here(
    traced: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch, session_id: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with open_bench(traced, session_id) as bench:
        await bench.run(handler_of_nothing)
        await execute(bench, handler_of_nothing, traceparent=CALLER)
        assert [span.trace_id for span in collector.wait_for(1)] == [TRACE_ID]
    async with open_log(traced) as log:
        assert len((await log.snapshot(session_id)).runs) == 2


async def test_the_spans_of_pydantic_ai_go_where_ours_go(
    tracing: Bench, collector: Collector, pydantic_agents: None
) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    models = pytest.importorskip("pydantic_ai.models.test")
    agent = pydantic_ai.Agent(models.TestModel(), name="helper")

    async def handler() -> None:
        async with cl.Step("ours"):
            await agent.run("Hello")

    with used_as_process_publisher(tracing.publisher):
        await tracing.run(handler)
        spans = collector.named(4)
    assert spans["invoke_agent helper"].parent_id == spans["ours"].span_id
    assert spans["chat test"].parent_id == spans["invoke_agent helper"].span_id
    assert {span.service for span in spans.values()} == {"stepwire-worker"}


FORKED = """
import os, sys
from stepwire_core.settings import Settings
from stepwire_core.tracing.span_export import SpanExport
from stepwire_core.values.trace_context import TraceContext

spans = SpanExport(Settings(trace_steps=True), service="forked")
child = os.fork()
own = TraceContext("a" * 32, "b" * 16 if child else "c" * 16)
spans.request(own, None, ("GET", "/parent" if child else "/child", 200), 1)
spans.close()
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(status)
os._exit(0)
"""


async def test_a_forked_child_sends_its_spans_too(collector: Collector) -> None:
    """As of a server that loads the application before it forks."""
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", FORKED, env=os.environ | {"STEPWIRE_ENV_FILE": ""}
    )
    assert await done.wait() == 0
    assert set(collector.named(2)) == {"GET /parent", "GET /child"}
