"""Where the spans of a run, or of an emitter, hang in a trace.

A span's id follows from what it shows: the session and the step, or the run and its attempt. So a
process knows the span of a step that another one has begun: a sub-task hangs under the step of its
caller, and the worker that ends the run of a dead one ends its spans, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepwire_core.values.trace_context import (
    TraceContext,
    foreign_span,
    new_trace_id,
    span_id_of,
    trace_id_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepwire_core.wire.run_request import RunRequest


@dataclass(frozen=True, slots=True)
class TracePlace:
    """The trace of a run, or of an emitter, and where in it the steps stand."""

    trace_id: str
    sampled: bool
    outer: TraceContext | None
    """The span around the run: of the request, or of the step that has enqueued it."""
    has_spans: bool
    """Whether this process makes spans of steps; if not, what is inside hangs under ``outer``."""
    root_parent_id: str | None = None
    """What the outermost steps nest under in the session: a message, the step of a caller."""

    @classmethod
    def of_run(cls, request: RunRequest, sample: Callable[[str], bool] | None) -> TracePlace | None:
        """That of a run; None if it is in no trace. ``sample`` decides about a trace that begins
        here; without it this process makes no spans."""
        outer = TraceContext.parse(request.traceparent)
        root = request.parent_id if request.message is None else request.message.id
        if outer is not None:
            return cls(outer.trace_id, outer.sampled, outer, sample is not None, root)
        if sample is None:
            return None
        # All attempts, on whatever worker, are in one trace.
        trace_id = trace_id_of(request.session_id, request.run_id)
        return cls(trace_id, sample(trace_id), None, has_spans=True, root_parent_id=root)

    @classmethod
    def of_emitter(
        cls,
        outer: TraceContext | None,
        sample: Callable[[str], bool] | None,
        root_parent_id: str | None = None,
    ) -> TracePlace | None:
        """That of a ``cl.session`` or ``cl.attach``."""
        if outer is not None:
            return cls(outer.trace_id, outer.sampled, outer, sample is not None, root_parent_id)
        if sample is None:
            return None
        trace_id = new_trace_id()
        return cls(trace_id, sample(trace_id), None, has_spans=True, root_parent_id=root_parent_id)

    def run_span_id(self, session_id: str, run_id: str, attempt: int) -> str:
        return span_id_of(session_id, run_id, attempt)

    def step_span_id(self, session_id: str, step_id: str) -> str | None:
        """None: the step shows a span of another trace, under which nothing can hang here."""
        foreign = foreign_span(step_id)
        if foreign is None:
            return span_id_of(session_id, step_id)
        trace_id, span_id = foreign
        return span_id if trace_id == self.trace_id else None

    def inside(
        self, session_id: str, run_id: str, attempt: int, step_id: str | None
    ) -> TraceContext | None:
        """The span around code that runs in this step, or in the run itself."""
        if not self.has_spans:
            return self.outer
        span_id = None
        if step_id is not None and step_id != self.root_parent_id:
            span_id = self.step_span_id(session_id, step_id)
        if span_id is None and run_id:
            span_id = self.run_span_id(session_id, run_id, attempt)
        if span_id is None:
            return self.outer
        return TraceContext(self.trace_id, span_id, self.sampled)
