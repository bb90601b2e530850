"""The workers of a queue: each registers itself and its runs, for others to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from stepwire_core.redis.commands import command
from stepwire_core.wire.unreadable import readable

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store


WorkerState = Literal["ready", "stopping", "blocked", "stalled", "silent"]
"""``stopping``: it takes no more runs. ``blocked``: its event loop has been held up for a whole
lease. ``stalled``: it has room for runs, and Redis has answered none of its requests for a whole
lease. ``silent``: it has missed a renewal, so it is paused, cut off or dead, and vanishes with its
lease."""


class _Document(BaseModel):
    # A field of a newer worker is passed on.
    model_config = ConfigDict(extra="allow")


class RunningRun(_Document):
    """An attempt that a worker executes."""

    session_id: str
    run_id: str
    handler: str
    attempt: int
    since: str


class WorkerDocument(_Document):
    """A worker process, as it was when it last wrote this."""

    id: str
    host: str
    pid: int
    since: str
    version: str
    handlers: list[str]
    running: int
    """Slots taken; fewer than ``runs`` while some of these wait for a person."""
    max_jobs: int
    lease_s: float
    state: str
    """One of :data:`WorkerState`, or a newer version's."""
    runs: list[RunningRun] = []
    left_behind: int = 0
    """Tasks and threads that go on although no caller awaits them, since their code could not be
    stopped. They take no slot."""


def worker_key(queue_name: str, worker_id: str) -> str:
    """Holds a :class:`WorkerDocument`, for the length of a lease from its last renewal."""
    return f"{queue_name}:worker:{worker_id}"


def workers_key(queue_name: str) -> str:
    """A sorted set of the workers' ids, by when they last renewed: an index, no proof of life."""
    return f"{queue_name}:workers"


async def read_workers(store: Store, queue_name: str) -> list[WorkerDocument]:
    """The workers whose lease is not over, by host and pid; without those of a version that this
    one cannot read.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
    """
    [ids] = await store.read(command("ZRANGE", workers_key(queue_name), 0, -1))
    keys = [worker_key(queue_name, worker_id.decode()) for worker_id in ids]
    calls = (command(name, key) for key in keys for name in ("GET", "PTTL"))
    replies = await store.read(*calls)
    workers = []
    for worker_id, content, left_ms in zip(ids, replies[::2], replies[1::2], strict=True):
        if isinstance(content, bytes) and isinstance(left_ms, int):
            worker = readable(WorkerDocument, content, "worker", worker_id.decode())
            if worker is None:
                continue
            # It renews when a third of its lease is over: with less than half left, it did not.
            if left_ms < worker.lease_s * 1000 / 2:
                worker.state = "silent"
            workers.append(worker)
    return sorted(workers, key=lambda worker: (worker.host, worker.pid))
