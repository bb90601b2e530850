"""Where some runs stand in the queue, and whether a worker is there that takes runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from stepwire_core.queue.run_queue import JobKeys, about_key, held_key
from stepwire_core.queue.scripts import WAITING_MS
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.redis.commands import command

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store

LOOK_EVERY_S: Final = 1.0
"""How often a process looks which workers there are, however many readers ask."""

_TAKES_NOTHING: Final = frozenset({"stopping", "blocked", "stalled", "silent"})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one run stands; it does not tell what the job is to do, which may be large."""

    state: Literal["taken", "held", "deferred", "queued"]
    handler: str | None
    ahead: int
    """The runs that go before one that is queued."""
    due_ms: int
    """When one that is deferred is looked at again."""


class Standings:
    """Looks runs up in one queue.

    Every method raises :class:`StoreUnavailable` when the queue's Redis does not answer.
    """

    def __init__(self, store: Store, queue_name: str) -> None:
        self._store = store
        self._queue = queue_name
        self._looked_at = float("-inf")
        self._is_attended = False

    async def of(self, run_ids: Sequence[str]) -> dict[str, Standing]:
        """Those of them that are in the queue."""
        if not run_ids:
            return {}
        scores, about, held = await self._store.read(
            command("ZMSCORE", self._queue, *run_ids),
            command("HMGET", about_key(self._queue), *run_ids),
            command("HMGET", held_key(self._queue), *run_ids),
        )
        there = [
            (run_id, float(score), _handler(facts), held_at is not None)
            for run_id, score, facts, held_at in zip(run_ids, scores, about, held, strict=True)
            if score is not None
        ]
        if not there:
            return {}
        row_end = time.time() * 1000 - WAITING_MS / 2
        replies = await self._store.read(
            *(
                command("ZRANK", self._queue, run_id)
                if at_ms < row_end
                else command("EXISTS", JobKeys.of(self._queue, run_id).taken)
                for run_id, at_ms, _, _ in there
            )
        )
        found = {}
        for (run_id, at_ms, handler, is_held), reply in zip(there, replies, strict=True):
            if at_ms < row_end:
                found[run_id] = Standing("queued", handler, int(reply or 0), 0)
            elif reply:
                found[run_id] = Standing("taken", handler, 0, 0)
            elif is_held:
                found[run_id] = Standing("held", handler, 0, 0)
            else:
                found[run_id] = Standing("deferred", handler, 0, int(at_ms))
        return found

    async def are_attended(self) -> bool:
        """Whether a worker takes runs of this queue, as far as was known a second ago."""
        if time.monotonic() - self._looked_at > LOOK_EVERY_S:
            workers = await read_workers(self._store, self._queue)
            self._is_attended = any(worker.state not in _TAKES_NOTHING for worker in workers)
            self._looked_at = time.monotonic()
        return self._is_attended


def _handler(facts: bytes | None) -> str | None:
    parts = [] if facts is None else facts.decode(errors="replace").split(" ", 2)
    return parts[2] if len(parts) == 3 else None
