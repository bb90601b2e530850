"""Which jobs this worker has: claimed from the queue, given back to it."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepwire._worker.lease import Lease
from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.queue.arq_format import stored_job
from stepwire_core.queue.run_queue import RUN_FUNCTION, queue_keys
from stepwire_core.queue.scripts import ACK, CLAIM, RELEASE_SLOTS
from stepwire_core.redis.commands import command
from stepwire_core.redis.scripts import script_args
from stepwire_core.redis.store import QUICK_S
from stepwire_core.values.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.worker")

CLOCK_S: Final = 10.0
"""For this long it is known what time it is for the server."""


STALLED_S: Final = 5.0
"""A shorter silence of Redis is nothing that others have to know."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that this worker has now."""

    lease: Lease
    tried: int
    """Which try this is, from 1 on."""
    job: bytes | None
    """As arq writes it; None: it has expired."""

    def request(self) -> dict[str, Any] | None:
        """What it asks for; None if it has expired or is nothing of ours."""
        queued = self.queued()
        return None if queued is None else queued[0]

    def queued(self) -> tuple[dict[str, Any], int] | None:
        """The same, and when it was queued, in milliseconds since 1970."""
        fields = {"job_id": self.lease.job_id}
        if self.job is None:
            logger.warning("a job has expired", extra=fields)
            return None
        try:
            stored = stored_job(self.job)
            function, [request] = stored.function, stored.arguments
        except (TypeError, ValueError):
            function, request, stored = "", None, None
        if stored is None or function != RUN_FUNCTION or not isinstance(request, dict):
            logger.error("a job in the queue was not written by stepwire", extra=fields)
            return None
        return request, stored.queued_ms


class Claims:
    """One worker's dealings with the queue, one round trip each.

    Unless they say otherwise its methods raise :class:`StoreUnavailable` when Redis does not answer
    or cannot do it for the moment, and repeating one is safe; and :class:`StoreRefused`.
    """

    def __init__(self, store: Store, settings: Settings, limits: Mapping[str, int]) -> None:
        """``limits`` are the most runs of a handler that all workers execute at a time."""
        self._store = store
        self._queue_name = settings.queue_name
        self._keys = queue_keys(settings.queue_name)
        self._lease_ms = int(settings.lease_s * 1000)
        self._per_subject = settings.max_running_per_subject or 0
        self._limits = [part for limit in limits.items() for part in limit]
        self._server_ms = 0.0
        self._seen_at = float("-inf")
        self._answered_at = time.monotonic()
        self.token: Final = new_id()
        """By which the queue knows what is this worker's."""

    def is_stalled(self) -> bool:
        """Whether Redis has answered nothing for a whole lease; from any thread."""
        return time.monotonic() - self._answered_at > max(self._lease_ms / 1000, STALLED_S)

    def needs_nothing(self) -> None:
        """No slot is free for jobs now: it is not a fault that none are asked for."""
        self._answered()

    def _answered(self) -> None:
        self._answered_at = time.monotonic()

    async def is_something_due(self) -> bool:
        """Whether it is worth the while to claim: an idle worker asks this often, and it costs
        little."""
        # Quick to notice a connection that has fallen silent. A claim has longer: the jobs of one
        # that is cut off wait for a lease.
        first = await self._store.call(
            command("ZRANGE", self._queue_name, 0, 0, "WITHSCORES"), within_s=QUICK_S
        )
        self._answered()
        since = time.monotonic() - self._seen_at
        return bool(first) and (
            since > CLOCK_S or float(first[1]) <= self._server_ms + since * 1000
        )

    async def claim(self, room: int, own: Iterable[str]) -> list[Claimed]:
        """Take the next ``room`` jobs, or fewer, that no limit holds back.

        Not those of ``own``, which this worker still executes although it may have lost them: two
        attempts of one here would share what arq and we keep under its id.
        """
        own, taken, more = list(own), list[Claimed](), True
        while more:
            try:
                claimed, more = await self._claim_some(room - len(taken), own)
            except StoreUnavailable:
                if not taken:
                    raise
                break
            taken += claimed
            more = more and len(taken) < room
        return taken

    async def _claim_some(self, room: int, own: Sequence[str]) -> tuple[list[Claimed], bool]:
        """As many as one call takes, which is not to hold up Redis; and whether there may be
        more."""
        args = script_args(
            "queue/claim",
            *self._limits,
            *own,
            token=self.token,
            lease_ms=self._lease_ms,
            room=room,
            per_subject=self._per_subject,
            limited=len(self._limits) // 2,
        )
        reply = await self._store.call(CLAIM.on(self._keys, args))
        self._answered()
        self._server_ms, until_ms, more, *taken = reply
        self._seen_at = time.monotonic()
        claimed = [
            Claimed(Lease(job_id.decode(), until_ms, [slot.decode() for slot in slots]), tried, job)
            for job_id, tried, job, slots in taken
        ]
        return claimed, bool(more)

    async def settle(self, lease: Lease, *, due_in_s: float | None) -> None:
        """Take a job off the queue, or give it back, due after that time; its slots are free.

        Nothing happens if another worker has it now.
        """
        due = "over" if due_in_s is None else int(due_in_s * 1000)
        args = script_args("queue/ack", *lease.slots, id=lease.job_id, token=self.token, due=due)
        await self._store.call(ACK.on(self._keys, args))

    async def adjust_slots(self, lease: Lease) -> None:
        """Others may have a job's slots while it waits for something; then it goes on, even if they
        are full.

        Without Redis all stays as it is.
        """
        if not lease.slots:
            return
        # One after another: the beginning and the end of a wait use different connections.
        async with lease.adjusting:
            leaves = lease.waits > 0
            if leaves == lease.has_left:
                return
            what = "leave" if leaves else "return"
            args = script_args("queue/release_slots", *lease.slots, id=lease.job_id, what=what)
            # What Redis refuses for good the worker's loop finds out, too.
            with suppress(StoreUnavailable, StoreRefused):
                await self._store.call(RELEASE_SLOTS.on(self._keys, args))
                lease.has_left = leaves
