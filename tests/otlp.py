"""A collector on loopback, which takes spans over OTLP/HTTP as any other does."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from http_server import serving


@dataclass
class ReceivedSpan:
    """A span as it came over the wire."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    status: int
    message: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Collector:
    """What has arrived."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.url = ""
        self.refuses = 0
        """The status with which it answers instead of taking anything."""
        self.came = threading.Condition()

    def wait_for(self, count: int) -> list[ReceivedSpan]:
        """So many spans, or more; by the moment of their end."""
        with self.came:
            arrived = self.came.wait_for(lambda: len(self.spans) >= count, timeout=30)
            names = [span.name for span in self.spans]
            assert arrived, f"{len(self.spans)} of {count}: {names}"
            return list(self.spans)

    def named(self, count: int) -> dict[str, ReceivedSpan]:
        """The same by name, which must not come twice."""
        spans = self.wait_for(count)
        names = {span.name: span for span in spans}
        assert len(names) == len(spans), [span.name for span in spans]
        return names

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.came:
            for resource in request.resource_spans:
                service = _attributes(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    self.spans += [_received(service, span) for span in scope.spans]
            self.came.notify_all()


def _received(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code,
        span.status.message,
        _attributes(span.attributes),
    )


def _attributes(attributes: Any) -> dict[str, Any]:
    return {item.key: _value(item.value) for item in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(part) for part in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def collecting_spans() -> Iterator[Collector]:
    """A collector that runs while the block does."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            status = collector.refuses or (200 if self.path == "/v1/traces" else 404)
            if status == 200:
                collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as collector.url:
        yield collector
