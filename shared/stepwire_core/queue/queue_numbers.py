"""How much waits in the queue and for how long, and what its workers have: for ``/metrics``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire_core.queue.run_queue import about_key, held_key
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.redis.commands import command

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store

WAITING_MS: Final = 30 * 24 * 3600 * 1000
LEVEL_MS: Final = 3600 * 1000
"""As ``row.lua`` has them: a score so far in the past is that of a run that waits."""

_NEXT: Final = 100
"""Of so many runs that are next the longest wait is looked for."""


@dataclass(frozen=True, slots=True)
class QueueNumbers:
    """The queue as it is now, and the workers that have registered with it."""

    waiting: int
    """Runs that are due and that no worker has."""
    running: int
    held: int
    """Runs that a limit of their handler or subject holds back."""
    deferred: int
    wait_s: float
    """The longest wait among the next hundred; 0 if none waits."""
    workers: Mapping[str, int]
    """How many there are of each state."""
    slots: int
    slots_taken: int

    @property
    def slots_wanted(self) -> int:
        """So many slots would execute all that runs and waits. Runs that wait for a person, and
        those that a limit holds back, want none."""
        return self.waiting + self.slots_taken


async def read_queue_numbers(store: Store, queue_name: str) -> QueueNumbers:
    """Three round trips, however long the queue is.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
    """
    [clock] = await store.read(command("TIME"))
    now_ms = int(clock[0]) * 1000 + int(clock[1]) / 1000
    waits_ms = f"{now_ms - WAITING_MS:.3f}"
    total, taken, held, later, row = await store.read(
        command("ZCARD", queue_name),
        command("SCARD", f"{queue_name}:taken"),
        command("HLEN", held_key(queue_name)),
        command("ZCOUNT", queue_name, f"({now_ms:.3f}", "+inf"),
        command(
            *("ZRANGEBYSCORE", queue_name, "-inf", waits_ms),
            *("WITHSCORES", "LIMIT", 0, _NEXT),
        ),
    )
    # A run that a worker has stands where its lease ends, and one that is held back where it is
    # looked at again: both are in the future, too.
    deferred = max(0, later - taken - held)
    wait_s = await _longest_wait_s(store, queue_name, now_ms, row)
    workers = await read_workers(store, queue_name)
    return QueueNumbers(
        waiting=max(0, total - taken - held - deferred),
        running=taken,
        held=held,
        deferred=deferred,
        wait_s=wait_s,
        workers=Counter(worker.state for worker in workers),
        slots=sum(worker.max_jobs for worker in workers),
        slots_taken=sum(worker.running for worker in workers),
    )


async def _longest_wait_s(store: Store, queue_name: str, now_ms: float, row: list[bytes]) -> float:
    """Of the runs of this row, ids and scores in turn. A level of priority is an hour of it."""
    if not row:
        return 0.0
    [facts] = await store.read(command("HMGET", about_key(queue_name), *row[::2]))
    waits_s = [0.0]
    for score, fact in zip(row[1::2], facts, strict=True):
        priority = _priority(fact)
        if priority is not None:
            since_ms = float(score) + WAITING_MS + priority * LEVEL_MS
            waits_s.append((now_ms - since_ms) / 1000)
    return max(waits_s)


def _priority(fact: bytes | None) -> int | None:
    """None: a run of an older version, or one that has just gone."""
    first = b"" if fact is None else fact.partition(b" ")[0]
    return int(first) if first.isdigit() else None
