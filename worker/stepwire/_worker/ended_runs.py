"""Runs that have ended here, until it is certain that their ends stay."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import RunNotFound, SessionNotFound, StoreUnavailable
from stepwire_core.redis.backoff import Backoff
from stepwire_core.wire.run_request import RunRequest

if TYPE_CHECKING:
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.queue.run_queue import RunQueue

logger = logging.getLogger("stepwire.worker")

LEASES: Final = 4
"""After so many leases a failover is over that can have lost an end."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of the requests that are kept; the oldest go first."""

_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Ended:
    due_at: float
    request: RunRequest
    size: int


class EndedRuns:
    """Queues a run again whose end a failover has lost.

    The end was acknowledged, so the job went; but the primary that has acknowledged it may be lost
    with its last writes, while the queue is on another server, or was told by way of another
    connection. Nobody would ever end that run. Taken up again, it has its next attempt, or ends as
    one that has no more.
    """

    def __init__(self, lease_s: float) -> None:
        self._keep_s = LEASES * lease_s
        self._kept: deque[_Ended] = deque()
        self._bytes = 0

    def add(self, request: RunRequest, size: int) -> None:
        """A run is over, and its job is off the queue; ``size`` is that of the job in bytes."""
        self._kept.append(_Ended(time.monotonic() + self._keep_s, request, size))
        self._bytes += size
        while self._bytes > MOST_BYTES:
            self._take()

    async def watch(self, log: EventLog, queue: RunQueue) -> None:
        """Look after each of them once, until cancelled.

        Raises:
            StoreRefused: Redis does not let us look, until a person changes something.
        """
        while True:
            while self._kept and self._kept[0].due_at <= time.monotonic():
                await _look_after(self._take(), log, queue)
            await asyncio.sleep(_LOOK_S)

    def _take(self) -> RunRequest:
        ended = self._kept.popleft()
        self._bytes -= ended.size
        return ended.request


async def _look_after(request: RunRequest, log: EventLog, queue: RunQueue) -> None:
    backoff = Backoff()
    while True:
        try:
            if not await _is_over(request, log):
                logger.warning("the end of a run was lost", extra={"run_id": request.run_id})
                await queue.enqueue(request)
        except StoreUnavailable:
            await asyncio.sleep(backoff.next_s())
        else:
            return


async def _is_over(request: RunRequest, log: EventLog) -> bool:
    try:
        return await log.run_ended_at(request.session_id, request.run_id) is not None
    except SessionNotFound:
        return True
    except RunNotFound:
        return False
