"""The slots of this worker, of which each job takes one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from stepwire._worker.lease import Lease
    from stepwire._worker.queue_client import Claims


class Slots:
    """A worker has so many; a job takes one, unless it waits for something.

    To be used on the worker's event loop, unless a method says otherwise.
    """

    def __init__(
        self,
        most: int,
        claims: Claims,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[[], object],
    ) -> None:
        """``on_free`` is called when a slot becomes free and none was: jobs may wait that this
        worker was not told of; otherwise the wake list has named them all."""
        self.taken = 0
        self.claims = claims
        self.loop = loop
        self._most = most
        self._on_free = on_free
        self._freed = asyncio.Event()

    @property
    def left(self) -> int:
        """Below zero when jobs that have waited go on although others have their slots."""
        return self._most - self.taken

    def slot(self, lease: Lease) -> Slot:
        """A slot for the job of that lease, taken."""
        self.taken += 1
        return Slot(self, lease)

    def put_back(self) -> None:
        """One is free; called by what had it."""
        if self.left <= 0:
            self._on_free()
        self.taken -= 1
        self._freed.set()

    async def freed(self) -> None:
        """Return when a slot is given back."""
        self._freed.clear()
        await self._freed.wait()


class Slot:
    """What one job takes of its worker, and of the limits that it counts for.

    The job has it until it is over, whatever its handler has left behind: a task that goes on to
    wait, or comes back from waiting, after that changes nothing.
    """

    def __init__(self, slots: Slots, lease: Lease) -> None:
        self._slots = slots
        self._lease = lease
        self._is_closed = False
        self._is_free = False

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Others may have it while the job waits for something, or for many things; on any event
        loop."""
        try:
            await self._on_loop(self._leave())
            yield
        finally:
            await self._on_loop(self._come_back())

    async def close(self) -> None:
        """The handler has ended: its waits no longer count."""
        self._is_closed = True
        # A call that is on its way would take a limit's slot after the job has given it back.
        async with self._lease.adjusting:
            return

    def free(self) -> None:
        """The job is over; again changes nothing."""
        self._is_closed = True
        if self._is_free:
            return
        self._is_free = True
        if self._lease.waits == 0:
            self._slots.put_back()

    async def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        """A handler may wait on a loop of its own, in a thread; what is counted here is not safe
        there."""
        if asyncio.get_running_loop() is self._slots.loop:
            await work
        else:
            done = asyncio.run_coroutine_threadsafe(work, self._slots.loop)
            # Also when the handler is cancelled: what has been counted is counted back afterwards.
            await asyncio.shield(asyncio.wrap_future(done))

    async def _leave(self) -> None:
        if self._is_closed:
            return
        self._lease.waits += 1
        if self._lease.waits == 1:
            self._slots.put_back()
        await self._slots.claims.adjust_slots(self._lease)

    async def _come_back(self) -> None:
        if self._is_closed:
            return
        self._lease.waits -= 1
        if self._lease.waits == 0:
            self._slots.taken += 1
        await self._slots.claims.adjust_slots(self._lease)
