"""The jobs that this worker has, and the places that they take."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from stepwire._claims import Claims
    from stepwire._job import Job
    from stepwire._lease import Lease


class Places:
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
        """``on_free`` is called when a place becomes free and none was: jobs may wait that nobody
        was told of; otherwise the wake list has named them all."""
        self.jobs: dict[str, Job] = {}
        self.taken = 0
        self._most = most
        self._claims = claims
        self._loop = loop
        self._on_free = on_free
        self._freed = asyncio.Event()

    @property
    def left(self) -> int:
        """Below zero when jobs that have waited go on although others have their places."""
        return self._most - self.taken

    def put(self, job: Job) -> None:
        self.jobs[job.lease.job_id] = job
        self.taken += 1

    def remove(self, job: Job) -> None:
        del self.jobs[job.lease.job_id]
        self._free_one()

    async def freed(self) -> None:
        """Return when a place is given back."""
        self._freed.clear()
        await self._freed.wait()

    def leases(self) -> list[Lease]:
        """Those of the jobs that are being executed; from any thread."""
        # Copied at once: the loop changes it meanwhile.
        return [job.lease for job in list(self.jobs.values()) if job.is_running]

    def lose(self, leases: list[Lease]) -> None:
        """Stop these jobs, unless they are over: other workers have them."""
        for lease in leases:
            job = self.jobs.get(lease.job_id)
            if job is not None and job.lease is lease:
                job.lose()

    @asynccontextmanager
    async def resting(self, run_id: str) -> AsyncIterator[None]:
        """Others may have the place of a job that waits for something, or for many things, and what
        it takes of limits; on any event loop."""
        try:
            await self._on_loop(self._leave(run_id))
            yield
        finally:
            await self._on_loop(self._come_back(run_id))

    async def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        """A handler may wait on a loop of its own, in a thread; what is counted here is not safe
        there."""
        if asyncio.get_running_loop() is self._loop:
            await work
        else:
            done = asyncio.run_coroutine_threadsafe(work, self._loop)
            # Also when the handler is cancelled: what has been counted is counted back afterwards.
            await asyncio.shield(asyncio.wrap_future(done))

    async def _leave(self, run_id: str) -> None:
        lease = self.jobs[run_id].lease
        lease.waits += 1
        if lease.waits == 1:
            self._free_one()
        await self._claims.adjust_slots(lease)

    async def _come_back(self, run_id: str) -> None:
        lease = self.jobs[run_id].lease
        lease.waits -= 1
        if lease.waits == 0:
            self.taken += 1
        await self._claims.adjust_slots(lease)

    def _free_one(self) -> None:
        if self.left <= 0:
            self._on_free()
        self.taken -= 1
        self._freed.set()
