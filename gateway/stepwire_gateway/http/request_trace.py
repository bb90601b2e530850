"""Each request as the others see it: its place in a trace, its span, its line in the log."""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from stepwire_core.values.trace_context import TraceContext, new_span_id, new_trace_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stepwire_core.settings import Settings
    from stepwire_core.tracing.span_export import SpanExport

logger = logging.getLogger("stepwire.access")

_UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics", "/", "/inspector"})
"""Routes that are asked for all the time, and that lead nowhere."""

DETACHED: Final = "stepwire.detached"
"""In the scope: a stream that goes on when the application has returned."""

_requesting: ContextVar[TraceContext | None] = ContextVar("stepwire_request_trace", default=None)


def request_trace() -> TraceContext | None:
    """The span around what this request starts: of the gateway, or of the caller."""
    return _requesting.get()


class Detached(Protocol):
    """A response that outlives the call of the application."""

    def when_over(self, call: Callable[[], object]) -> None:
        """Call this when it is over."""
        ...


class Traced:
    """Takes the caller's ``traceparent``, and tells of the request when it has been answered.

    Must stand outside of what answers. A stream has no span: it lasts for hours, and what it shows
    is in the spans of the runs.
    """

    def __init__(self, app: ASGIApp, settings: Settings, spans: SpanExport | None) -> None:
        self._app = app
        self._spans = spans
        self._logs = settings.access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        outer = TraceContext.parse(_header(scope, b"traceparent"))
        own = outer if self._spans is None else self._own(outer, self._spans)
        started_ns, status, is_stream = time.time_ns(), 0, False

        async def watched(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = any(
                    name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                    for name, value in message["headers"]
                )
            await send(message)

        token = _requesting.set(own)
        try:
            await self._app(scope, receive, watched)
        finally:
            _requesting.reset(token)
            route = getattr(scope.get("route"), "path", None)
            if self._logs:
                log = partial(self._log, scope, route, status, started_ns, own)
                stream: Detached | None = scope.get(DETACHED)
                log() if stream is None else stream.when_over(log)
            is_told = route is not None and route not in _UNTRACED and not is_stream and status
            if self._spans is not None and own is not None and is_told:
                answered = (scope["method"], str(route), status)
                self._spans.request(own, outer, answered, started_ns)

    @staticmethod
    def _own(outer: TraceContext | None, spans: SpanExport) -> TraceContext:
        if outer is not None:
            return TraceContext(outer.trace_id, new_span_id(), outer.sampled)
        trace_id = new_trace_id()
        return TraceContext(trace_id, new_span_id(), spans.samples(trace_id))

    @staticmethod
    def _log(
        scope: Scope, route: str | None, status: int, started_ns: int, own: TraceContext | None
    ) -> None:
        """Without the query, which may hold a token."""
        client = scope.get("client")
        fields: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"],
            "route": route,
            "status": status,
            "duration_ms": round((time.time_ns() - started_ns) / 1e6, 1),
            "client": client[0] if client else None,
        }
        if own is not None:
            fields["trace_id"] = own.trace_id
        logger.info("request", extra=fields)


def _header(scope: Scope, wanted: bytes) -> str | None:
    found = [value for name, value in scope["headers"] if name == wanted]
    # Several are none (Trace Context, section 3.2.1).
    return found[0].decode("latin-1") if len(found) == 1 else None
