"""What the process has done and is doing, for Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, get_args

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.queue.overview import read_overview
from stepwire_core.wire.worker_document import WorkerState
from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.metrics import counter, declared, gauge
from stepwire_gateway.services import ServicesDep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stepwire_gateway.metrics import Metrics
    from stepwire_gateway.services import Services

router = APIRouter(tags=["health"], route_class=GuardedRoute)

PREFIX = "stepwire_gateway_"
OTHER = "other"
"""The route of a request that matches none: its path would make a label of whatever is sent."""

REQUESTS: Final = counter("requests", "Requests answered.", labels=("method", "route", "status"))

QUEUE_ANSWERS: Final = gauge(
    "queue_answers", "1 if the queue's Redis told the numbers of queue and workers."
)
QUEUE_RUNS: Final = gauge(
    "queue_runs", "Runs that wait, run, are held by a limit or deferred.", labels=("state",)
)
QUEUE_WAIT: Final = gauge(
    "queue_wait_seconds", "The longest wait among the hundred runs that are next."
)
SLOTS_WANTED: Final = gauge(
    "queue_slots_wanted", "Slots for all runs that run or wait: for autoscalers."
)
WORKERS: Final = gauge("workers", "Workers of the queue.", labels=("state",))
WORKER_SLOTS: Final = gauge("worker_slots", "The slots of the workers that take runs.")
WORKER_SLOTS_TAKEN: Final = gauge("worker_slots_taken", "Those that are taken.")

QUEUE_S: Final = 2.0
"""A scrape waits this long for the queue's Redis, then goes without its numbers."""


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format."}},
)
@needs("read", session="all")
async def read_metrics(services: ServicesDep) -> Response:
    """Counters and gauges of this process, and of the queue as a whole: every gateway tells the
    same of that, so take the highest and add nothing up."""
    await _read_queue(services)
    registry = CollectorRegistry()
    registry.register(Exposition(services.metrics))
    ProcessCollector(registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _read_queue(services: Services) -> None:
    """The numbers of the queue as they are now; none where they are not known."""
    metrics = services.metrics
    try:
        async with asyncio.timeout(QUEUE_S):
            read = await read_overview(services.queue.store, services.settings)
    except (StoreUnavailable, StoreRefused, TimeoutError):
        metrics.set(QUEUE_ANSWERS, {(): 0})
        for metric in _OF_QUEUE:
            # An old number would look like a queue that stands still.
            metrics.set(metric, {})
        return
    metrics.set(QUEUE_ANSWERS, {(): 1})
    metrics.set(
        QUEUE_RUNS,
        {
            ("waiting",): read.queued,
            ("running",): read.running,
            ("held",): read.held,
            ("deferred",): read.deferred,
        },
    )
    metrics.set(QUEUE_WAIT, {(): read.longest_wait_s or 0.0})
    metrics.set(SLOTS_WANTED, {(): read.slots_wanted})
    known = dict.fromkeys(get_args(WorkerState), 0)
    metrics.set(WORKERS, {(state,): count for state, count in (known | read.workers).items()})
    metrics.set(WORKER_SLOTS, {(): read.slots})
    metrics.set(WORKER_SLOTS_TAKEN, {(): read.slots_taken})


_OF_QUEUE: Final = (
    *(QUEUE_RUNS, QUEUE_WAIT, SLOTS_WANTED, WORKERS, WORKER_SLOTS, WORKER_SLOTS_TAKEN),
)


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
