"""The queue of runs: arq's own, with JSON instead of pickle and a list that wakes a worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import QueueFull
from stepwire_core.queue.arq_format import (
    JOB_TTL_MS,
    in_progress_key_prefix,
    job_key_prefix,
    retry_key_prefix,
    serialize_job,
    stored_job,
)
from stepwire_core.queue.scripts import ACK, CLAIM_BY_ID, ENQUEUE, PROMOTE
from stepwire_core.redis.commands import Argument, command
from stepwire_core.redis.scripts import script_args
from stepwire_core.redis.store import Store, probe
from stepwire_core.values.addresses import DEFAULT_QUEUE
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.unreadable import UNREADABLE

if TYPE_CHECKING:
    from stepwire_core.settings import Settings

RUN_FUNCTION: Final = "stepwire.run"
"""The one function that our workers register with arq."""

COUNT_EVERY_S: Final = 1.0
"""How often a gateway looks how long the queue is."""


def wake_key(queue_name: str) -> str:
    """The list on which idle workers block."""
    return f"{queue_name}:wake"


def held_key(queue_name: str) -> str:
    """The hash of the runs that a limit holds back."""
    return f"{queue_name}:held"


def taken_key(queue_name: str) -> str:
    """The set of the runs that workers have."""
    return f"{queue_name}:taken"


def about_key(queue_name: str) -> str:
    """The hash of what a claim has to know of a job: priority, digest of the subject, handler."""
    return f"{queue_name}:about"


@dataclass(frozen=True, slots=True)
class JobKeys:
    """The keys of one job. Those of the queue that has the default name are called as arq calls
    them; every other queue has its own, so that a run of the same id may be in each of them."""

    job: str
    """The job as arq writes it."""
    taken: str
    """Which worker has it; gone with the lease."""
    tried: str
    """How often it was taken."""

    @classmethod
    def of(cls, queue_name: str, run_id: str) -> JobKeys:
        prefixes = (job_key_prefix, in_progress_key_prefix, retry_key_prefix)
        begin = "arq:" if queue_name == DEFAULT_QUEUE else f"{queue_name}:"
        return cls(*(begin + prefix.removeprefix("arq:") + run_id for prefix in prefixes))


def queue_keys(queue_name: str) -> list[str]:
    """The keys that each of them takes."""
    return [queue_name, wake_key(queue_name)]


def subject_fact(subject: str | None) -> str:
    """A subject, which may have any characters, among the facts beside a job."""
    return "-" if subject is None else sha1(subject.encode(), usedforsecurity=False).hexdigest()


def enqueue_args(request: RunRequest, defer_s: float = 0.0) -> list[Argument]:
    """The ARGV of ``enqueue.lua``."""
    job = serialize_job(RUN_FUNCTION, request.model_dump())
    defer_ms = int(defer_s * 1000)
    # Beside the job, which may be large: what decides when it is taken.
    about = f"{request.priority} {subject_fact(request.subject)} {request.handler}"
    return script_args(
        "queue/enqueue",
        id=request.run_id,
        job=job,
        defer_ms=defer_ms,
        ttl_ms=defer_ms + JOB_TTL_MS,
        facts=about,
    )


class RunQueue:
    """Puts runs into the queue. A run is queued once, however often it is enqueued.

    What it writes is what ``ArqRedis.enqueue_job`` writes, in one round trip instead of three, with
    the wake in the same step.
    """

    def __init__(self, store: Store, queue_name: str) -> None:
        self.store: Final = store
        """Where the queue is."""
        self.name: Final = queue_name
        self._counted_at = float("-inf")
        self._count = 0
        self.keys: Final = queue_keys(queue_name)
        """The keys that its scripts take."""
        self._token = new_id()

    async def enqueue(self, request: RunRequest, *, defer_s: float = 0.0) -> None:
        """Queue a run, due now or later, and wake an idle worker.

        Raises:
            StoreUnavailable: the queue's Redis does not answer; enqueueing again is safe.
        """
        await self.store.call(ENQUEUE.on(self.keys, enqueue_args(request, defer_s)))

    async def make_due(self, run_id: str) -> None:
        """Make a waiting run due now, if it is queued, and wake an idle worker."""
        await self.store.call(PROMOTE.on(self.keys, script_args("queue/promote", id=run_id)))

    async def require_room(self, limit: int) -> None:
        """Return when there is room for another run, as far as was known a second ago.

        Raises:
            QueueFull: as many runs wait as may.
            StoreUnavailable: the queue's Redis does not answer.
        """
        if time.monotonic() - self._counted_at > COUNT_EVERY_S:
            [self._count] = await self.store.read(command("ZCARD", self.name))
            self._counted_at = time.monotonic()
        if self._count >= limit:
            raise QueueFull(self._count, limit)

    async def has(self, run_id: str) -> bool:
        """Whether the run is queued, or a worker has it."""
        keys = JobKeys.of(self.name, run_id)
        found = await self.store.read(command("EXISTS", keys.job), command("EXISTS", keys.taken))
        return any(found)

    async def request(self, run_id: str) -> RunRequest | None:
        """The request of a run that is in the queue; None if it is not there, or cannot be read.

        Raises:
            StoreUnavailable: the queue's Redis does not answer.
        """
        [job] = await self.store.read(command("GET", JobKeys.of(self.name, run_id).job))
        return None if job is None else _request(run_id, job)

    async def take(self, run_id: str, lease_s: float) -> RunRequest | None:
        """A run that no worker has, taken for the length of a lease; else None."""
        lease_ms = int(lease_s * 1000)
        args = script_args("queue/claim_by_id", id=run_id, token=self._token, lease_ms=lease_ms)
        job = await self.store.call(CLAIM_BY_ID.on(self.keys, args))
        return None if job is None else _request(run_id, job)

    async def finish(self, run_id: str) -> None:
        """Take a run that was taken off the queue: it is over."""
        args = script_args("queue/ack", id=run_id, token=self._token, due="over")
        await self.store.call(ACK.on(self.keys, args))

    async def ping(self) -> None:
        """Return when the queue's Redis answers and takes writes."""
        await probe(self.store, f"{self.name}:probe")


def _request(run_id: str, job: bytes) -> RunRequest | None:
    try:
        [request] = stored_job(job).arguments
        return RunRequest.model_validate(request)
    except ValueError as error:
        # The worker that gets it, when a lease on it is over, says so in its session.
        UNREADABLE.note("job", run_id, error)
        return None


@asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[RunQueue]:
    """The queue that the settings name, with connections of its own."""
    # Here, so that a process loads redis-py when it connects, and not by `import stepwire`.
    from stepwire_core.redis.topologies.opening import open_store

    async with open_store(settings.effective_queue_url) as store:
        yield RunQueue(store, settings.queue_name)
