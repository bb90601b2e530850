"""The arq worker. The one module that knows its internals (0.28).

What it adds to ``arq.Worker``: a lease instead of a fixed timeout, so that the runs of a dead
worker are taken up within ``lease_s``; a list on which it blocks, so that a job starts at once
instead of at the next poll; JSON instead of pickle; and a poll loop that outlives a Redis outage.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from arq.connections import ArqRedis
from arq.worker import Worker, func

from stepwire._assembly import assembled
from stepwire._claims import Claims
from stepwire._job import Job
from stepwire._places import Places
from stepwire_core.backoff import Backoff
from stepwire_core.connections import QUICK_S, new_pool, translated
from stepwire_core.errors import StepwireError, StoreUnavailable
from stepwire_core.queue import RUN_FUNCTION, wake_key
from stepwire_core.rights import require_stores
from stepwire_core.supervision import Supervisor, as_reason

if TYPE_CHECKING:
    from stepwire._handlers import Handlers
    from stepwire._job import Again
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.worker")

_WAKE_BLOCK_S: Final = 5


def run_worker(handlers: Handlers, settings: Settings) -> None:
    """Execute runs until SIGTERM or SIGINT; then take no more, and give running ones ``grace_s`` to
    end.

    Raises:
        SettingsError: no Redis answers, or it cannot do what is needed.
        StoreRefused, SideTaskFailed: the worker could not go on, and has stopped as on SIGTERM.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(require_stores(settings))
        worker = StepwireWorker(handlers, settings)
        worker.run()
        if worker.failure is not None:
            raise worker.failure
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


class StepwireWorker(Worker):
    """Executes the runs of one queue with the handlers of one module."""

    def __init__(self, handlers: Handlers, settings: Settings) -> None:
        super().__init__(
            # It insists on one; what would call it is :meth:`_execute` here.
            functions=[func(cast("Any", self._execute), name=RUN_FUNCTION)],
            queue_name=settings.queue_name,
            redis_pool=ArqRedis(new_pool(settings.effective_queue_url)),
            job_completion_wait=max(1, int(settings.grace_s)),
        )
        self.failure: StepwireError | None = None
        """Why it could not go on."""
        self._handlers = handlers
        self._settings = settings
        self._parts = AsyncExitStack()
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._claims = Claims(self.pool, settings, handlers.max_running)
        self._places = Places(settings.max_jobs, self._claims, self.loop, on_free=self._wake.set)

    async def main(self) -> None:
        """Instead of arq's loop: look when woken, at least every ``poll_s``."""
        self._runner = await self._parts.enter_async_context(
            assembled(
                self._handlers,
                self._settings,
                self.pool,
                self._claims,
                self._places,
                stopping=lambda: not self.allow_pick_jobs,
                fail=self._fail,
            )
        )
        async with Supervisor(self._fail) as side_tasks:
            side_tasks.start(self._poll(), "stepwire-poll")
            side_tasks.start(self._listen(), "stepwire-wake")
            # Until it is cancelled, when the last jobs have ended.
            await self.loop.create_future()

    def _fail(self, error: StepwireError) -> None:
        """Stop, as on SIGTERM, because a part that this process cannot do without has ended."""
        if self.failure is None:
            self.failure = error
            logger.critical("the worker stops", extra={"error": str(error)})
            self.handle_sig_wait_for_completion(signal.SIGTERM)

    async def _poll(self) -> None:
        backoff = Backoff()
        while True:
            self._wake.clear()
            try:
                await self._look()
                backoff.reset()
            except StoreUnavailable as error:
                logger.warning("the queue does not answer", extra={"error": str(error)})
                await asyncio.sleep(backoff.next_s())
            with suppress(TimeoutError):
                # Not wait_for: up to Python 3.11 it may swallow the cancellation that stops us.
                async with asyncio.timeout(self._settings.poll_s):
                    await self._wake.wait()

    async def close(self) -> None:
        """Instead of arq's, which also deletes a key that we do not have, and fails with it."""
        # Not at the end of main: it is cancelled before the last jobs have ended.
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await self._parts.aclose()
        await self.pool.aclose(close_connection_pool=True)

    async def _look(self) -> None:
        if not self._takes_jobs():
            self._claims.needs_nothing()
        elif await self._claims.is_something_due():
            await self._claim()

    async def _listen(self) -> None:
        """Block on the wake list while there is room, and start what is due."""
        backoff = Backoff()
        while True:
            while not self._takes_jobs():
                # A wake that we took now would be lost to a worker that has room.
                await self._places.freed()
            try:
                await self._wait_for_wake()
                backoff.reset()
            except StoreUnavailable:
                # The poll, which asks the same server, says so.
                await asyncio.sleep(backoff.next_s())

    async def _wait_for_wake(self) -> None:
        # With a connection of the pool that claims: a server that was demoted refuses this, but not
        # a claim that finds nothing.
        redis, wake = self.pool, wake_key(self.queue_name)
        # Over a connection that has fallen silent the end of the blocking does not come either.
        async with translated(redis, within_s=_WAKE_BLOCK_S + QUICK_S):
            reply = redis.blpop([wake], timeout=_WAKE_BLOCK_S)
            popped = await cast("Awaitable[list[bytes] | None]", reply)
        if popped is None:
            return
        if self._takes_jobs():
            await self._claim()
            return
        # Filled up, or told to stop, while it waited for this: for the next one.
        async with translated(redis):
            await cast("Awaitable[int]", redis.lpush(wake, popped[1]))

    def _takes_jobs(self) -> bool:
        return self.allow_pick_jobs and self._places.left > 0

    async def _claim(self) -> None:
        """Start as many jobs as there are and as there is room for."""
        async with self._claiming:
            if not self._takes_jobs():
                return
            for claimed in await self._claims.claim(self._places.left, self._places.jobs):
                job = Job(claimed, self._runner, self._settings.lease_s)
                self._places.put(job)
                self.tasks[job.lease.job_id] = task = self.loop.create_task(self._execute(job))
                task.add_done_callback(partial(self._job_over, job))

    async def _execute(self, job: Job) -> None:
        """Execute a job, and take it off the queue or give it back."""
        again = await job.execute()
        await asyncio.shield(self._settle(job, again))

    async def _settle(self, job: Job, again: Again | None) -> None:
        if job.is_lost:
            # It was passed over here as long as it was executed; perhaps nobody else has it by now.
            self._wake.set()
            return
        await self._give_back(job, again)
        if again is not None and again.waits is not None:
            with suppress(StoreUnavailable):
                await self._runner.turns.look_again(again.waits)

    async def _give_back(self, job: Job, again: Again | None) -> None:
        backoff, until = Backoff(), self.loop.time() + self._settings.lease_s
        while True:
            try:
                await self._claims.settle(job.lease, due_in_s=again.after_s if again else None)
            except StoreUnavailable as error:
                if not self.allow_pick_jobs or self.loop.time() > until:
                    # Whoever takes it up after its lease finds out that its run has ended.
                    fields = {"job_id": job.lease.job_id, "error": str(error)}
                    logger.warning("a job is left to its lease", extra=fields)
                    return
                await asyncio.sleep(backoff.next_s())
            else:
                return

    def _job_over(self, job: Job, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(job.lease.job_id, None)
        self._places.remove(job)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(as_reason("stepwire-job", error))
