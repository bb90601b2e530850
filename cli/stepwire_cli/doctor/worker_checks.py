"""The workers and the queue: whether there are any, of one version, and in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from stepwire_cli.doctor.finding import Finding, error, ok, warning
from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.queue.listing import read_queue
from stepwire_core.queue.overview import read_overview
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.wire.words import OPTIONAL_HANDLERS

if TYPE_CHECKING:
    from stepwire_core.queue.listing import QueuedRun
    from stepwire_core.queue.overview import QueueOverview
    from stepwire_core.settings import Settings
    from stepwire_core.wire.worker_document import WorkerDocument

_LOOKED_AT: Final = 200
_LONG_WAIT_S: Final = 60.0

_STATES: Final = {
    "blocked": "its handlers must not hold up the event loop: await, or cl.make_async",
    "stalled": "look at the network between it and the queue's Redis",
    "silent": "it is paused, cut off or dead; its runs go to others when its lease is over",
}


async def look_at_workers(settings: Settings) -> list[Finding]:
    """Findings about workers; none if the queue's Redis is away, which its checks report."""
    try:
        async with open_queue(settings) as queue:
            workers = await read_workers(queue.store, settings.queue_name)
            numbers = await read_overview(queue.store, settings)
            runs = await read_queue(queue.store, settings.queue_name, _LOOKED_AT)
    except (StoreUnavailable, StoreRefused):
        return []
    return [*_workers(workers, settings), *_versions(workers), *_queue(workers, numbers, runs)]


def _workers(workers: Sequence[WorkerDocument], settings: Settings) -> Iterator[Finding]:
    if not workers:
        yield error(
            "workers",
            "registered",
            f"none has registered with the queue {settings.queue_name!r}",
            "start one (stepwire worker app.py) with the same STEPWIRE_QUEUE_URL and "
            "STEPWIRE_QUEUE_NAME as the gateways",
        )
        return
    slots = sum(worker.max_jobs for worker in workers)
    yield ok("workers", "registered", f"{len(workers)}, with {slots} slots")
    for worker in workers:
        where = f"{worker.host}, process {worker.pid}"
        if (todo := _STATES.get(worker.state)) is not None:
            yield warning("workers", "state", f"{where} is {worker.state}", todo)
        if worker.left_behind:
            yield warning(
                "workers",
                "left behind",
                f"{where}: code of {worker.left_behind} ended runs could not be stopped",
                "give the calls that its handlers make time limits",
            )


def _versions(workers: Sequence[WorkerDocument]) -> Iterator[Finding]:
    versions = sorted({worker.version for worker in workers} | {version("stepwire")})
    if len(versions) > 1:
        yield warning(
            "workers",
            "versions",
            f"this machine and the workers have {', '.join(versions)}",
            "this is expected during an upgrade; otherwise bring all to one version",
        )
    elif workers:
        yield ok("workers", "versions", versions[0])


def _queue(
    workers: Sequence[WorkerDocument], numbers: QueueOverview, runs: Sequence[QueuedRun]
) -> Iterator[Finding]:
    known = {handler for worker in workers for handler in worker.handlers}
    missing = sorted(
        {run.handler for run in runs if run.state == "queued"} - known - OPTIONAL_HANDLERS
    )
    if workers and missing:
        yield warning(
            "queue",
            "handlers",
            f"runs wait for handlers that no worker has: {', '.join(missing)}",
            "start workers with the module that defines them: others end these runs as errors",
        )
    said = f"{numbers.queued} wait, {numbers.running} run, {numbers.deferred} are deferred"
    wait_s = numbers.longest_wait_s or 0.0
    if wait_s > _LONG_WAIT_S:
        yield warning(
            "queue",
            "wait",
            f"{said}; one has waited for {wait_s:.0f} s",
            "start more workers, or give them more slots (STEPWIRE_MAX_JOBS)",
        )
    else:
        yield ok("queue", "wait", said)
