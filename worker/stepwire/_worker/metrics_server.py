"""``/metrics`` of a worker, where a setting asks for it.

Served from a thread of its own, so that a worker whose event loop is blocked can say so. Each
worker shows its own numbers, and Prometheus adds them up: sums that came through Redis would fall
when a worker goes, which looks like a counter that begins anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from stepwire_core.errors import SettingsError

if TYPE_CHECKING:
    from stepwire._runs.run_numbers import Histogram, RunNumbers
    from stepwire._transport.publisher import Publisher
    from stepwire._worker.job import Jobs
    from stepwire._worker.lease import LeaseKeeper
    from stepwire._worker.slots import Slots
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.worker")

PREFIX: Final = "stepwire_worker_"

Values = Mapping[Any, Any]
"""Numbers by the values of their labels; of a histogram, a :class:`.Histogram` by its handler."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts of the worker whose numbers are shown."""

    settings: Settings
    runs: RunNumbers
    jobs: Jobs
    slots: Slots
    keeper: LeaseKeeper
    publisher: Publisher
    left_behind: Callable[[], int]
    stopping: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class WorkerMetric:
    """One name of a worker's ``/metrics``."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    read: Callable[[Sources], Values | float]
    labels: tuple[str, ...] = ()


METRICS: Final = (
    WorkerMetric(
        "attempts",
        "counter",
        "Attempts of runs that have ended.",
        lambda its: dict(its.runs.attempts),
        ("handler", "status"),
    ),
    WorkerMetric(
        "blocked",
        "gauge",
        "1 while a handler blocks the event loop for a lease or longer.",
        lambda its: its.keeper.is_blocked,
    ),
    WorkerMetric(
        "buffer_bytes",
        "gauge",
        "Bytes that wait to be stored.",
        lambda its: its.publisher.buffered_bytes,
    ),
    WorkerMetric(
        "buffer_limit_bytes",
        "gauge",
        "Past it handlers wait: `STEPWIRE_BUFFER_BYTES`.",
        lambda its: its.settings.buffer_bytes,
    ),
    WorkerMetric(
        "events_stored",
        "counter",
        "Events that the log has taken.",
        lambda its: its.publisher.stored_events,
    ),
    WorkerMetric(
        "failed_runs",
        "counter",
        "Runs that have failed for good.",
        lambda its: {(handler,): count for handler, count in its.runs.failed.items()},
        ("handler",),
    ),
    WorkerMetric(
        "lease_failures",
        "counter",
        "Times that leases could not be renewed: Redis did not answer.",
        lambda its: its.keeper.failures,
    ),
    WorkerMetric("lease_renewals", "counter", "Leases renewed.", lambda its: its.keeper.renewals),
    WorkerMetric(
        "leases", "gauge", "Runs that it executes now.", lambda its: len(its.jobs.leases())
    ),
    WorkerMetric(
        "leases_lost",
        "counter",
        "Runs that another worker took, since this one was silent.",
        lambda its: its.jobs.lost,
    ),
    WorkerMetric(
        "left_behind",
        "gauge",
        "Tasks and threads of ended runs that could not be stopped.",
        lambda its: its.left_behind(),
    ),
    WorkerMetric(
        "run_seconds",
        "histogram",
        "How long attempts took.",
        lambda its: dict(its.runs.seconds),
        ("handler",),
    ),
    WorkerMetric("slots", "gauge", "Its slots.", lambda its: its.settings.max_jobs),
    WorkerMetric("slots_taken", "gauge", "Slots that are taken.", lambda its: its.slots.taken),
    WorkerMetric(
        "spans_dropped",
        "counter",
        "Spans that were not made, since too much waited.",
        lambda its: 0 if its.publisher.spans is None else its.publisher.spans.dropped,
    ),
    WorkerMetric("stopping", "gauge", "1 while it takes no more runs.", lambda its: its.stopping()),
    WorkerMetric(
        "wait_seconds",
        "histogram",
        "How long runs waited for a worker, from when they were due.",
        lambda its: dict(its.runs.waits),
        ("handler",),
    ),
)


@contextmanager
def metrics_served(sources: Sources) -> Iterator[None]:
    """Serve them while the block runs, if the settings name a port.

    Raises:
        SettingsError: the port is taken, or what serves them is not installed.
    """
    settings = sources.settings
    if settings.metrics_port is None:
        yield
        return
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
    except ModuleNotFoundError as error:
        raise SettingsError(
            "STEPWIRE_METRICS_PORT is set, and the package that shows metrics is not installed: "
            "pip install 'stepwire[metrics]'"
        ) from error
    registry = CollectorRegistry()
    registry.register(_collector(sources))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(
            settings.metrics_port, addr=settings.metrics_host, registry=registry
        )
    except OSError as error:
        raise SettingsError(
            f"a worker's metrics cannot be served at {settings.metrics_host}:"
            f"{settings.metrics_port} ({error.strerror}): name another port in "
            "STEPWIRE_METRICS_PORT (each worker of a machine needs its own), or leave it out"
        ) from error
    logger.info("metrics are served", extra={"port": server.server_port})
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _collector(sources: Sources) -> Any:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
    from prometheus_client.registry import Collector

    families = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }

    class Numbers(Collector):
        def collect(self) -> Iterator[Any]:
            for metric in METRICS:
                family: Any = families[metric.kind](
                    PREFIX + metric.name, metric.about, labels=metric.labels
                )
                values = metric.read(sources)
                if not isinstance(values, Mapping):
                    family.add_metric((), float(values))
                elif metric.kind == "histogram":
                    for handler, histogram in sorted(values.items()):
                        family.add_metric((handler,), _buckets(histogram), histogram.sum)
                else:
                    for labels, value in sorted(values.items()):
                        family.add_metric(labels, float(value))
                yield family

    return Numbers()


def _buckets(histogram: Histogram) -> list[tuple[str, int]]:
    """With their bounds as text, each with all that is below it."""
    found, total = [], 0
    for bound, count in zip((*histogram.bounds, "+Inf"), list(histogram.counts), strict=True):
        total += count
        found.append((str(bound), total))
    return found
