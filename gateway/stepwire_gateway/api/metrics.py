"""What the process has done and is doing, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.metrics import counter, declared
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stepwire_gateway.metrics import Metrics

router = APIRouter(tags=["health"], route_class=GuardedRoute)

PREFIX = "stepwire_gateway_"
OTHER = "other"
"""The route of a request that matches none: its path would make a label of whatever is sent."""

REQUESTS: Final = counter("requests", "Requests answered.", labels=("method", "route", "status"))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format."}},
)
@needs("read", session="all")
async def read_metrics(services: ServicesDep) -> Response:
    """Counters and gauges of this process."""
    registry = CollectorRegistry()
    registry.register(Exposition(services.metrics))
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class Exposition(Collector):
    """All that is declared, in the form of Prometheus's library."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for metric in declared():
            family = _FAMILIES[metric.kind](
                PREFIX + metric.name, metric.about, labels=metric.labels
            )
            for labels, value in sorted(self._metrics.values(metric).items()):
                family.add_metric(labels, float(value))
            yield family


_FAMILIES: Final = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class RequestCount:
    """Counts every answer; must be the outermost middleware, to see those of the others too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER)
                # Any word may stand for a method; those that no route takes are one.
                method = scope["method"] if message["status"] != 405 else OTHER
                self._metrics.add(REQUESTS, method, route, str(message["status"]))
            await send(message)

        await self._app(scope, receive, counted)
