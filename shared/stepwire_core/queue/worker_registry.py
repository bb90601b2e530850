"""The workers of a queue: each registers itself and its runs, for others to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepwire_core.redis.commands import command
from stepwire_core.wire.unreadable import readable
from stepwire_core.wire.worker_document import WorkerDocument

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store


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
