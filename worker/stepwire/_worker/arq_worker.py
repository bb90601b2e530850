"""The arq worker. The one module that knows its internals (0.28).

What it adds to ``arq.Worker``: a lease instead of a fixed timeout, so that the runs of a dead
worker are taken up within ``lease_s``; a list on which it blocks, so that a job starts at once
instead of at the next poll; JSON instead of pickle; a poll loop that outlives a Redis outage; and
an end in time, whatever user code does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from arq.connections import ArqRedis
from arq.worker import Worker, func

from stepwire._worker.assembly import assembled
from stepwire._worker.ended_runs import EndedRuns
from stepwire._worker.event_loop import WorkerLoop, new_loop, run_through
from stepwire._worker.job import Job, Jobs
from stepwire._worker.queue_client import Claims
from stepwire._worker.slots import Slots
from stepwire._worker.stopping import END_S, Stopping
from stepwire_core.errors import StepwireError, StoreUnavailable
from stepwire_core.process.health_file import HealthFile
from stepwire_core.process.redis_rights import require_stores
from stepwire_core.process.supervision import Supervisor, as_reason
from stepwire_core.queue.run_queue import RUN_FUNCTION, wake_key
from stepwire_core.redis.backoff import Backoff
from stepwire_core.redis.commands import command
from stepwire_core.redis.store import QUICK_S
from stepwire_core.redis.topologies.opening import open_pool, store_of
from stepwire_core.wire.words import START_PAGE

if TYPE_CHECKING:
    from stepwire._handlers.registry import Handlers
    from stepwire._worker.job import Again
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.worker")

_WAKE_BLOCK_S: Final = 5

_JOBS_S: Final = 4.0
"""So long runs that were stopped may take to store their ends."""

_OTHERS_S: Final = 0.5
"""So long tasks that handlers have left behind may clean up."""


def run_worker(handlers: Handlers, settings: Settings) -> None:
    """Execute runs until SIGTERM or SIGINT; then take none, and give running ones ``grace_s`` to
    end.

    Raises:
        SettingsError: no Redis answers, or it cannot do what is needed, or the health file cannot
            be written.
        StoreRefused, SideTaskFailed: the worker could not go on, and has stopped as on SIGTERM.
    """
    health = HealthFile.of(settings)
    # On a loop of its own, which is closed in order if the process is told to stop meanwhile.
    asyncio.run(require_stores(settings, takes_runs=True))
    loop = new_loop()
    asyncio.set_event_loop(loop)
    try:
        worker = StepwireWorker(handlers, settings, health)
        worker.run()
        if worker.failure is not None:
            raise worker.failure
    finally:
        # Not `shutdown_default_executor`: that waits for threads of user code.
        asyncio.set_event_loop(None)
        loop.close()


class StepwireWorker(Worker):
    """Executes the runs of one queue with the handlers of one module."""

    def __init__(self, handlers: Handlers, settings: Settings, health: HealthFile) -> None:
        super().__init__(
            # It insists on one; what would call it is :meth:`_execute` here.
            functions=[func(cast("Any", self._execute), name=RUN_FUNCTION)],
            queue_name=settings.queue_name,
            redis_pool=ArqRedis(open_pool(settings.effective_queue_url)),
            handle_signals=False,
        )
        self.failure: StepwireError | None = None
        """Why it could not go on."""
        self._handlers = handlers
        self._settings = settings
        self._health = health
        self._parts = AsyncExitStack()
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()
        # With arq's connections: a demoted server refuses to block on the wake list, and condemns
        # them, but it does not refuse a claim that finds nothing.
        self._store = store_of(self.pool, settings.effective_queue_url)
        self._claims = Claims(self._store, settings, handlers.max_running)
        self._jobs = Jobs()
        self._ended = EndedRuns(settings.lease_s)
        self._slots = Slots(settings.max_jobs, self._claims, self.loop, on_free=self._wake.set)
        self._stopping = Stopping(self.loop, settings.grace_s, on_told=self._told_to_stop)
        self._draining: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Work until the process is told to stop, then end what is running, and leave nothing
        behind that other processes could see."""
        self._stopping.watch()
        self.main_task = self.loop.create_task(self.main())
        code = 1
        try:
            run_through(self.loop, self.main_task)
        except asyncio.CancelledError:
            if not self._stopping.is_told:
                logger.error("user code cancelled the tasks of the worker itself: the worker ends")  # noqa: TRY400
            elif self.failure is None:
                code = 0
        finally:
            self._stopping.end_within(END_S)
            try:
                run_through(self.loop, self.loop.create_task(self.close()))
            except Exception:
                # It must not hide why the worker ends.
                logger.exception("the worker could not end in order")
            finally:
                self._stopping.leave(code)
        if code and self.failure is None:
            sys.exit(code)

    async def main(self) -> None:
        """Instead of arq's loop: look when woken, at least every ``poll_s``."""
        self._runner = await self._parts.enter_async_context(
            assembled(
                self._handlers,
                self._settings,
                self._store,
                self._claims,
                self._slots,
                self._jobs,
                self._ended,
                stopping=lambda: not self.allow_pick_jobs,
                fail=self._fail,
            )
        )
        async with self._health.beating(self._fail), Supervisor(self._fail) as side_tasks:
            side_tasks.start(self._poll(), "stepwire-poll")
            side_tasks.start(self._listen(), "stepwire-wake")
            # Until it is cancelled, when the last jobs have ended.
            await self.loop.create_future()

    def _fail(self, error: StepwireError) -> None:
        """Stop, as on SIGTERM, because a part that this process cannot do without has ended."""
        if self.failure is None:
            self.failure = error
            logger.critical("the worker stops", extra={"error": str(error)})
            self._stopping.because(str(error))
            if not self._stopping.is_told:
                # A second one would end the process at once.
                signal.raise_signal(signal.SIGTERM)

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

    def _told_to_stop(self) -> None:
        self.allow_pick_jobs = False
        self._draining = self.loop.create_task(self._drain(), name="stepwire-drain")

    async def _drain(self) -> None:
        """Let what is running come to its end, for as long as it may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.grace_s):
                while running := [task for task in self.tasks.values() if not task.done()]:
                    await asyncio.wait(running)
        if self.main_task is not None:
            self.main_task.cancel()

    async def close(self) -> None:
        """End the runs that are left, so that others take them up, then the parts of the worker.

        Not at the end of main, which is cancelled before: what the runs need outlives it.
        """
        self.allow_pick_jobs = False
        self._jobs.stop()
        if running := list(self.tasks.values()):
            await asyncio.wait(running, timeout=_JOBS_S)
        await self._parts.aclose()
        await self._store.aclose()
        await self.pool.aclose(close_connection_pool=True)
        tasks = self.loop.tasks if isinstance(self.loop, WorkerLoop) else asyncio.all_tasks()
        others = tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_OTHERS_S)

    async def _look(self) -> None:
        if not self._takes_jobs():
            self._claims.needs_nothing()
        elif await self._claims.is_something_due():
            await self._claim()

    async def _listen(self) -> None:
        """Block on the wake list while a slot is free, and start the jobs that are due."""
        backoff = Backoff()
        while True:
            while not self._takes_jobs():
                # A wake that we took now would be lost to a worker that has room.
                await self._slots.freed()
            try:
                await self._wait_for_wake()
                backoff.reset()
            except StoreUnavailable:
                # The poll, which asks the same server, says so.
                await asyncio.sleep(backoff.next_s())

    async def _wait_for_wake(self) -> None:
        wake = wake_key(self.queue_name)
        # Over a connection that has fallen silent the end of the blocking does not come either.
        popped = await self._store.call(
            command("BLPOP", wake, _WAKE_BLOCK_S), within_s=_WAKE_BLOCK_S + QUICK_S
        )
        if popped is None:
            return
        if self._takes_jobs():
            await self._claim()
            return
        # Filled up, or told to stop, while it waited for this: for the next one.
        await self._store.call(command("LPUSH", wake, popped[1]))

    def _takes_jobs(self) -> bool:
        return self.allow_pick_jobs and self._slots.left > 0

    async def _claim(self) -> None:
        """Start as many jobs as there are and as there is room for."""
        async with self._claiming:
            if not self._takes_jobs():
                return
            for claimed in await self._claims.claim(self._slots.left, self._jobs.ids):
                slot = self._slots.slot(claimed.lease)
                job = Job(claimed, slot, self._runner, self._settings.lease_s)
                self._jobs.add(job)
                self.tasks[job.lease.job_id] = task = self.loop.create_task(self._execute(job))
                task.add_done_callback(partial(self._job_over, job))

    async def _execute(self, job: Job) -> None:
        """Execute a job, and take it off the queue or give it back."""
        again = await job.execute()
        if job.is_lost:
            # It was passed over here while it was being executed; by now it may have no worker.
            self._wake.set()
            return
        await self._give_back(job, again)
        if job.ended is not None and job.ended.handler != START_PAGE:
            self._ended.add(job.ended, job.size)
        if again is not None and again.waits is not None:
            with suppress(StoreUnavailable):
                await self._runner.turns.look_again(again.waits)

    async def _give_back(self, job: Job, again: Again | None) -> None:
        """Once its lease is over the job is anybody's: this need not be repeated any longer."""
        backoff, until = Backoff(), self.loop.time() + self._settings.lease_s
        while True:
            try:
                return await self._claims.settle(
                    job.lease, due_in_s=again.after_s if again else None
                )
            except StoreUnavailable as error:
                if self.loop.time() > until:
                    fields = {"job_id": job.lease.job_id, "error": str(error)}
                    logger.warning("a job is left to its lease", extra=fields)
                    return None
            await asyncio.sleep(backoff.next_s())

    def _job_over(self, job: Job, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(job.lease.job_id, None)
        self._jobs.remove(job)
        job.slot.free()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(as_reason("stepwire-job", error))
