"""Sends spans to a collector, over OTLP: from a thread of its own, and never in anybody's way.

What waits is bounded, in number and in bytes; more is dropped and counted. A collector that is away
costs spans, and nothing else: no call of ours waits for it, and the end of the process waits for at
most :data:`CLOSE_S`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from stepwire_core.errors import SettingsError
from stepwire_core.tracing.span_facts import (
    SpanFacts,
    facts_of_request,
    facts_of_run,
    facts_of_step,
)
from stepwire_core.values.trace_context import TraceContext, foreign_span
from stepwire_core.wire.documents import RunDocument, StepDocument

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

    from stepwire_core.settings import Settings
    from stepwire_core.tracing.place import TracePlace

logger = logging.getLogger("stepwire.tracing")

MAX_WAITING: Final = 20_000
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of the documents that spans are still to be made of."""

CLOSE_S: Final = 3.0
"""So long the end of a process may take for what waits."""

EXPORT_S: Final = 5.0
"""A collector has this long to take a group of spans, unless OTEL_EXPORTER_OTLP_TIMEOUT says it."""

_MISSING: Final = (
    "STEPWIRE_TRACE_STEPS is set, and the package that sends spans is not installed: "
    "pip install 'stepwire[otlp]'"
)


@dataclass(frozen=True, slots=True)
class _Timed:
    facts: SpanFacts
    trace_id: str
    span_id: str
    parent: TraceContext | None
    sampled: bool
    start_ns: int
    end_ns: int


class SpanExport:
    """The spans of one process. Its methods may be called from any thread, and never wait.

    Spans are made of what is stored, when it has ended: nothing is open here. A process that dies
    loses those that it has not sent; the worker that ends its runs makes the spans of what was
    still open.
    """

    def __init__(self, settings: Settings, *, service: str) -> None:
        """``service`` is the name unless OTEL_SERVICE_NAME says another.

        Raises:
            SettingsError: the exporter is not installed, or its settings (OTEL_…) are wrong.
        """
        self._content = settings.trace_content
        self.dropped = 0
        """Spans that were not made, since too much waited."""
        self._pipe = _pipe(service)
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_begin_anew, ref(self)))

    def _begin(self) -> None:
        self._work: deque[tuple[int, Callable[[], _Timed | None]]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="stepwire-spans", daemon=True)
        self._thread.start()

    def begin_anew(self) -> None:
        """In a forked child, as of a server that loads the application first: what waits is the
        parent's, as its thread is, and its lock may be held."""
        if not self._closing:
            self._begin()

    @classmethod
    def of(cls, settings: Settings, *, service: str) -> SpanExport | None:
        """None: the settings ask for no spans."""
        return cls(settings, service=service) if settings.trace_steps else None

    def samples(self, trace_id: str) -> bool:
        """Whether a trace that begins here is recorded (``OTEL_TRACES_SAMPLER``)."""
        return self._pipe.samples(trace_id)

    def step(self, place: TracePlace, document: str) -> None:
        """A step has ended; ``document`` is the JSON that the log has stored."""
        if place.sampled:
            self._put(len(document), lambda: _of_step(place, document, content=self._content))

    def run(self, place: TracePlace, session_id: str, document: str) -> None:
        """An attempt of a run has ended."""
        if place.sampled:
            self._put(
                len(document), lambda: _of_run(place, session_id, document, content=self._content)
            )

    def request(
        self,
        own: TraceContext,
        outer: TraceContext | None,
        answered: tuple[str, str, int],
        start_ns: int,
    ) -> None:
        """A gateway has answered a request: its method, its route, and the status."""
        if own.sampled:
            end_ns, facts = time.time_ns(), facts_of_request(*answered)
            timed = _Timed(facts, own.trace_id, own.span_id, outer, own.sampled, start_ns, end_ns)
            self._put(0, lambda: timed)

    def forward(self, span: ReadableSpan) -> None:
        """A span that another provider of ours has made."""
        self._pipe.processor.on_end(span)

    def close(self) -> None:
        """Send what waits, for :data:`CLOSE_S` at most."""
        until = time.monotonic() + CLOSE_S
        self._closing = True
        self._bell.set()
        self._thread.join(CLOSE_S)
        # The library's own end waits for up to half a minute if the collector is away.
        ending = threading.Thread(target=self._pipe.shutdown, daemon=True)
        ending.start()
        ending.join(max(0.1, until - time.monotonic()))

    def _put(self, size: int, make: Callable[[], _Timed | None]) -> None:
        with self._lock:
            is_full = len(self._work) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES
            if is_full or self._closing:
                self.dropped += 1
                first = self.dropped == 1
            else:
                self._bytes += size
                self._work.append((size, make))
                first = False
        if first and not self._closing:
            logger.warning("spans are dropped: more come than can be made; no more is said of it")
        if not self._bell.is_set():
            self._bell.set()

    def _run(self) -> None:
        while True:
            self._bell.wait()
            self._bell.clear()
            while self._work:
                with self._lock:
                    size, make = self._work.popleft()
                    self._bytes -= size
                try:
                    timed = make()
                    if timed is not None:
                        self._pipe.record(timed)
                except Exception:
                    # The boundary of a span: tracing affects nothing else, whatever is wrong in it.
                    logger.exception("a span could not be made")
            if self._closing:
                return


def _begin_anew(export: ref[SpanExport]) -> None:
    if (alive := export()) is not None:
        alive.begin_anew()


def _of_step(place: TracePlace, document: str, *, content: bool) -> _Timed | None:
    step = StepDocument.model_validate_json(document)
    if foreign_span(step.id) is not None:
        # It is the step of a span, whose own provider sends it to where it belongs.
        return None
    parent = place.inside(step.session_id, step.run_id or "", step.attempt, step.parent_id)
    span_id = place.step_span_id(step.session_id, step.id)
    if span_id is None:
        return None
    start_ns, end_ns = _ns(step.started_at), _ns(step.ended_at or step.ts)
    facts = facts_of_step(step, content=content)
    return _Timed(facts, place.trace_id, span_id, parent, place.sampled, start_ns, end_ns)


def _of_run(place: TracePlace, session_id: str, document: str, *, content: bool) -> _Timed:
    run = RunDocument.model_validate_json(document)
    span_id = place.run_span_id(session_id, run.run_id, run.attempt)
    start_ns, end_ns = _ns(run.started_at), _ns(run.ended_at or run.ts)
    facts = facts_of_run(session_id, run, content=content)
    return _Timed(facts, place.trace_id, span_id, place.outer, place.sampled, start_ns, end_ns)


def _ns(written: str) -> int:
    return int(datetime.fromisoformat(written).timestamp() * 1000) * 1_000_000


class _Pipe:
    """The SDK: resource, sampler, limits and the batches, all by its own variables (OTEL_…)."""

    def __init__(self, service: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.environment_variables import (
            OTEL_EXPORTER_OTLP_TIMEOUT,
            OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
        )
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        names = (OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT)
        told = any(name in os.environ for name in names)
        self.processor = BatchSpanProcessor(OTLPSpanExporter(timeout=None if told else EXPORT_S))
        self._ids = _Ids()
        self._provider = TracerProvider(
            id_generator=self._ids.generator(),
            resource=resource_of(service),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self.processor)
        self._tracer = self._provider.get_tracer("stepwire")

    def samples(self, trace_id: str) -> bool:
        from opentelemetry.sdk.trace.sampling import Decision

        result = self._provider.sampler.should_sample(None, int(trace_id, 16), "")
        return result.decision is Decision.RECORD_AND_SAMPLE

    def record(self, timed: _Timed) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        self._ids.next = (int(timed.trace_id, 16), int(timed.span_id, 16))
        around = Context()
        if timed.parent is not None:
            around = trace.set_span_in_context(_remote(timed.parent), around)
        facts, kind = timed.facts, trace.SpanKind.INTERNAL
        if facts.is_client or facts.is_server:
            kind = trace.SpanKind.CLIENT if facts.is_client else trace.SpanKind.SERVER
        span = self._tracer.start_span(
            facts.name,
            context=around,
            kind=kind,
            attributes=facts.attributes,
            start_time=timed.start_ns,
        )
        if facts.error is not None:
            span.set_status(trace.Status(trace.StatusCode.ERROR, facts.error))
        span.end(end_time=max(timed.start_ns, timed.end_ns))

    def shutdown(self) -> None:
        self._provider.shutdown()


def resource_of(service: str) -> Resource:
    """What all spans of the process have in common, under that name unless OTEL_SERVICE_NAME or
    OTEL_RESOURCE_ATTRIBUTES has another."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    resource = Resource.create()
    if not str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource
    return resource.merge(Resource({SERVICE_NAME: service}))


class _Ids:
    """Hands the SDK the ids that a span has to have; used by one thread."""

    def __init__(self) -> None:
        self.next: tuple[int, int] = (0, 0)

    def generator(self) -> Any:
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        ids = self

        class Given(IdGenerator):
            def generate_trace_id(self) -> int:
                return ids.next[0]

            def generate_span_id(self) -> int:
                return ids.next[1]

        return Given()


def _remote(context: TraceContext) -> Any:
    from opentelemetry import trace

    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if context.sampled else 0)
    return trace.NonRecordingSpan(
        trace.SpanContext(
            int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags
        )
    )


def _pipe(service: str) -> _Pipe:
    try:
        return _Pipe(service)
    except ModuleNotFoundError as error:
        raise SettingsError(_MISSING) from error
    except ValueError as error:
        raise SettingsError(f"a variable OTEL_… has a wrong value: {error}") from error
