"""Leases: how the other workers know that the runs of this one are alive."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.process.supervision import as_reason
from stepwire_core.queue.run_queue import queue_keys
from stepwire_core.queue.scripts import RENEW
from stepwire_core.redis.scripts import script_args
from stepwire_core.redis.topologies.opening import connect_blocking_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from stepwire._worker.heartbeat import Registration
    from stepwire_core.process.supervision import Fail
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.lease")

LOOK_S: Final = 1.0
"""How often it looks whether there is something new to tell."""

_AT_ONCE: Final = 500
"""Leases that one call renews: a script's arguments are bounded, and it holds up the server."""


@dataclass(slots=True, eq=False)
class Lease:
    """A job that this worker has taken, and until when it is seen to have it."""

    job_id: str
    until_ms: int
    slots: list[str] = field(default_factory=list)
    """The limits that it counts for, unless it waits for something."""
    waits: int = 0
    """For how many things it waits."""
    has_left: bool = False
    """Whether others may have its slots."""
    adjusting: asyncio.Lock = field(default_factory=asyncio.Lock)


class LeaseKeeper:
    """Renews the leases of the running jobs every third of a lease, while the block runs.

    The in-progress key, with the worker's token in it, keeps other workers away; the score, moved
    ahead, keeps the job out of their sight, so that running jobs never hide waiting ones.

    A worker that was paused may find that another one has taken a job: it is told, so that it gives
    up instead of keeping the job from its new owner.

    From a thread of its own: a handler that blocks the event loop holds up its worker, but it is
    not dead. A loop that has not answered for a whole lease is reported, in the log and in what
    ``stepwire workers`` shows, which this thread keeps up to date.
    """

    def __init__(
        self,
        settings: Settings,
        registration: Registration,
        token: str,
        running: Callable[[], list[Lease]],
        lost: Callable[[list[Lease]], object],
        poke_loop: Callable[[], object],
        fail: Fail,
    ) -> None:
        """The callbacks are called from the keeper's thread; ``fail`` when that ends before its
        time."""
        self._settings = settings
        self._registration = registration
        self._token = token
        self._running = running
        self._lost = lost
        self._poke_loop = poke_loop
        self._fail = fail
        self.renewals = 0
        self.failures = 0
        """How often leases could not be renewed."""
        self.is_blocked = False
        """Whether the event loop has been blocked for at least a lease."""
        self._answered_at = time.monotonic()
        self._stopping = threading.Event()
        self._store = connect_blocking_to(
            settings.effective_queue_url, timeout_s=settings.lease_s / 3
        )
        self._thread = threading.Thread(target=self._run, name="stepwire-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        try:
            self._registration.remove(self._store)
        except (StoreUnavailable, StoreRefused) as error:
            logger.debug(
                "could not remove this worker from the list of workers", extra={"error": str(error)}
            )
        self._store.close()

    def loop_answers(self) -> None:
        """Called on the event loop, as proof that it turns."""
        self._answered_at = time.monotonic()

    def _run(self) -> None:
        try:
            self._keep()
        except Exception as error:  # noqa: BLE001 - whatever it is, without leases others take the runs
            self._fail(as_reason("stepwire-lease", error))

    def _keep(self) -> None:
        renew_s = self._settings.lease_s / 3
        reported = away = False
        due_at = time.monotonic()
        while True:
            blocked = self._is_blocked(reported=reported)
            self.is_blocked = reported = blocked
            if due := time.monotonic() >= due_at:
                due_at = time.monotonic() + renew_s
            try:
                if due:
                    self._renew(self._running())
                self._registration.write(self._store, due=due, blocked=blocked)
                away = False
            except StoreUnavailable as error:
                due_at = time.monotonic() + min(LOOK_S, renew_s)
                self.failures += 1
                if not away:
                    logger.warning("leases could not be renewed", extra={"error": str(error)})
                away = True
            self._poke_loop()
            if self._stopping.wait(min(LOOK_S, max(0.0, due_at - time.monotonic()))):
                return

    def _is_blocked(self, *, reported: bool) -> bool:
        blocked_s = time.monotonic() - self._answered_at
        blocked = blocked_s > self._settings.lease_s
        if blocked and not reported:
            logger.warning(
                "a handler blocks the event loop: no other run of this worker goes on",
                extra={"blocked_s": round(blocked_s, 1)},
            )
        return blocked

    def _renew(self, leases: list[Lease]) -> None:
        lease_ms = int(self._settings.lease_s * 1000)
        for some in _pieces(leases):
            known = [part for lease in some for part in (lease.job_id, lease.until_ms)]
            args = script_args("queue/renew", *known, token=self._token, lease_ms=lease_ms)
            keys = queue_keys(self._settings.queue_name)
            until_ms, *lost_ids = self._store.call(RENEW.on(keys, args))
            taken = {job_id.decode() for job_id in lost_ids}
            self.renewals += len(some) - len(taken)
            for lease in some:
                lease.until_ms = until_ms
            if lost := [lease for lease in some if lease.job_id in taken]:
                self._lost(lost)


def _pieces(leases: list[Lease]) -> Iterator[list[Lease]]:
    for start in range(0, len(leases), _AT_ONCE):
        yield leases[start : start + _AT_ONCE]
