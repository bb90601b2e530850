"""What the process has done and is doing, for Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from stepwire_core.wire.unreadable import UNREADABLE
from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stepwire_gateway.http.problems import Refusals
    from stepwire_gateway.hub.hub import Hub

router = APIRouter(tags=["health"], route_class=GuardedRoute)

PREFIX = "stepwire_gateway_"
OTHER = "other"
"""The route of a request that matches none: its path would make a label of whatever is sent."""

Requests = Counter[tuple[str, str, int]]
"""Answers begun, by method, template of the route, and status."""


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format."}},
)
@needs("read", session="all")
async def read_metrics(services: ServicesDep, request: Request) -> Response:
    """Counters and gauges of this process."""
    registry, state = CollectorRegistry(), request.app.state
    registry.register(HubCollector(services.hub, state.requests, state.refusals))
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class HubCollector(Collector):
    """Reads plain numbers when it is asked: counting costs an addition where things happen."""

    def __init__(self, hub: Hub, requests: Requests, refusals: Refusals) -> None:
        self._hub = hub
        self._requests = requests
        self._refusals = refusals

    def collect(self) -> Iterator[Metric]:
        hub, counts = self._hub, self._hub.counts
        for name, text, now in (
            ("streams", "Event streams that are open.", hub.readers),
            ("sessions", "Sessions that somebody reads.", hub.sessions),
            ("draining", "1 while the process is shutting down.", hub.draining),
        ):
            yield GaugeMetricFamily(PREFIX + name, text, float(now))
        for name, text, total in (
            ("frames", "Events handed to clients.", counts.frames),
            ("frame_bytes", "The same in bytes.", counts.bytes),
            ("snapshots", "Snapshots handed to clients.", counts.snapshots),
            ("gaps", "Messages that did not continue a session: its log was read.", counts.gaps),
            (
                "fell_behind",
                "Times that a client was slower than its session: it read the log.",
                counts.fell_behind,
            ),
            ("streams_cut", "Clients that took nothing for the send timeout.", counts.cut),
            ("pubsub_reconnects", "Times that the pub/sub connection was lost.", hub.reconnects),
            ("unreadable", "Messages on channels that were passed over.", hub.unreadable),
        ):
            yield CounterMetricFamily(PREFIX + name, text, float(total))
        requests = CounterMetricFamily(
            PREFIX + "requests", "Requests answered.", labels=("method", "route", "status")
        )
        for (method, route, status), count in sorted(self._requests.items()):
            requests.add_metric((method, route, str(status)), count)
        yield requests
        refusals = CounterMetricFamily(
            PREFIX + "refusals", "Requests refused, by problem.", labels=("code", "setting")
        )
        for labels, count in sorted(self._refusals.items()):
            refusals.add_metric(labels, count)
        yield refusals
        unreadable = CounterMetricFamily(
            PREFIX + "unreadable_documents",
            "Documents left out of what was read, by kind.",
            labels=("kind",),
        )
        for kind, count in sorted(UNREADABLE.counts.items()):
            unreadable.add_metric((kind,), count)
        yield unreadable


class RequestCount:
    """Counts every answer; must be the outermost middleware, to see those of the others too."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER)
                # Any word may stand for a method; those that no route takes are one.
                method = scope["method"] if message["status"] != 405 else OTHER
                self._requests[method, route, message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counted)
