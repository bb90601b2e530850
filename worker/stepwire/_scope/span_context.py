"""OpenTelemetry's own context, kept where our steps are.

So that a span that user code makes, or a header ``traceparent`` that an instrumented client sends,
hangs under the step around it. Only for runs and emitters that are in a trace, and only once the
process has loaded OpenTelemetry: others pay nothing.

It goes back to what it was only where it still is what was put there. A generator may be closed in
another context than the one it ran in; the library's own ``detach`` logs an error then.
"""

from __future__ import annotations

import sys
from typing import Any

from stepwire_core.values.trace_context import TraceContext


def current_span() -> TraceContext | None:
    """The span of OpenTelemetry around the running code, if the process has any."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return TraceContext(
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
        context.trace_flags.sampled,
    )


Entered = tuple[Any, Any]
"""OpenTelemetry's context as it was before, and the span that was put there."""


def enter_span(span: TraceContext | None) -> Entered | None:
    """Let it be the current one; what :func:`leave_span` takes, or None if nothing has changed."""
    trace, context = (
        sys.modules.get("opentelemetry.trace"),
        sys.modules.get("opentelemetry.context"),
    )
    if span is None or trace is None or context is None:
        return None
    before = context.get_current()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if span.sampled else 0)
    own = trace.NonRecordingSpan(
        trace.SpanContext(
            int(span.trace_id, 16), int(span.span_id, 16), is_remote=False, trace_flags=flags
        )
    )
    context.attach(trace.set_span_in_context(own, before))
    return before, own


def leave_span(entered: Entered) -> None:
    """Let that be current which was before, unless something else is by now."""
    before, own = entered
    trace, context = sys.modules["opentelemetry.trace"], sys.modules["opentelemetry.context"]
    if trace.get_current_span() is own:
        context.attach(before)
