"""How full the queue is, and with what: counts for those who run the workers."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field

from stepwire_core.queue.dead_letters import dead_letter_keys
from stepwire_core.queue.run_queue import about_key, held_key, taken_key
from stepwire_core.queue.scripts import LEVEL_MS, WAITING_MS
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.redis.commands import command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings

LOOKED_AT: Final = 1_000
"""Runs that wait of which the handlers are counted, the next ones first."""


class HandlerCounts(BaseModel):
    """The runs of one handler."""

    handler: str
    running: int = 0
    waiting: int = Field(
        default=0, description="Due ones: of the first 1,000, and those that its limit holds back."
    )
    max_running: int | None = Field(
        default=None, description="The most that all workers together execute; null: no limit."
    )


class QueueOverview(BaseModel):
    """What the queue holds."""

    running: int = Field(description="Runs that workers have taken.")
    queued: int = Field(description="Runs that are due and wait for a slot.")
    held: int = Field(description="Runs that a limit of their handler or subject holds back.")
    deferred: int = Field(description="Runs that wait for their time, their turn, or a retry.")
    failed: int = Field(description="Runs that have failed for good, and can be retried.")
    workers: dict[str, int] = Field(description="How many workers there are of each state.")
    slots: int = Field(description="What the workers that take runs can execute at a time.")
    slots_taken: int = Field(description="What all workers execute.")
    longest_wait_s: float | None = Field(
        description="Of the first 1,000 that are queued, how long the oldest waits; null: none."
    )
    handlers: list[HandlerCounts]
    is_complete: bool = Field(
        description="Whether at most 1,000 are queued, so that all were looked at."
    )

    @property
    def slots_wanted(self) -> int:
        """So many slots would execute all that runs and waits. Runs that wait for a person, and
        those that a limit holds back, want none."""
        return self.queued + self.slots_taken


async def read_overview(store: Store, settings: Settings) -> QueueOverview:
    """Counts of a queue, in two round trips and with bounded work.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
    """
    queue, now_ms = settings.queue_name, time.time() * 1000
    dead, _ = dead_letter_keys(queue)
    row_end = f"{now_ms - WAITING_MS / 2:.0f}"
    since_ms = int(now_ms - settings.dead_letters_ttl_s * 1000)
    workers = await read_workers(store, queue)
    total, queued, row, taken, failed, held = await store.read(
        command("ZCARD", queue),
        command("ZCOUNT", queue, "-inf", row_end),
        command("ZRANGEBYSCORE", queue, "-inf", row_end, "WITHSCORES", "LIMIT", 0, LOOKED_AT),
        command("SCARD", taken_key(queue)),
        command("ZCOUNT", dead, since_ms, "+inf"),
        command("HLEN", held_key(queue)),
    )
    limits = {name: most for worker in workers for name, most in worker.max_running.items()}
    calls = [command("ZCARD", f"{held_key(queue)}:h:{name}") for name in limits]
    if ids := row[::2]:
        calls.append(command("HMGET", about_key(queue), *ids))
    replies = await store.read(*calls) if calls else []
    facts = [_facts(text) for text in replies[len(limits)]] if ids else []
    waits = [
        now_ms - (float(score) + WAITING_MS + priority * LEVEL_MS)
        for score, (priority, _) in zip(row[1::2], facts, strict=True)
    ]
    waiting = Counter(handler for _, handler in facts)
    for name, behind_limit in zip(limits, replies, strict=False):
        waiting[name] += behind_limit
    running = Counter(run.handler for worker in workers for run in worker.runs)
    return QueueOverview(
        running=taken,
        queued=queued,
        held=held,
        deferred=max(0, total - queued - taken - held),
        failed=failed,
        workers=Counter(worker.state for worker in workers),
        slots=sum(worker.max_jobs for worker in workers if worker.state == "ready"),
        slots_taken=sum(worker.running for worker in workers),
        longest_wait_s=round(max(0.0, max(waits)) / 1000, 3) if waits else None,
        handlers=list(_counted(running, waiting, limits)),
        is_complete=queued <= LOOKED_AT,
    )


def _counted(
    running: Counter[str], waiting: Counter[str], limits: dict[str, int]
) -> Iterable[HandlerCounts]:
    for handler in sorted({*running, *waiting, *limits}):
        yield HandlerCounts(
            handler=handler,
            running=running[handler],
            waiting=waiting[handler],
            max_running=limits.get(handler),
        )


def _facts(text: bytes | None) -> tuple[int, str]:
    """The priority and the handler of a job, from what the queue has beside it."""
    parts = [] if text is None else text.decode(errors="replace").split(" ", 2)
    if len(parts) != 3:
        return 0, ""
    return (int(parts[0]) if parts[0].isdigit() else 0), parts[2]
