"""The arq worker. The one module that knows arq's internals (0.28).

What it adds to ``arq.Worker``: a lease instead of a fixed timeout, so that the runs of a dead
worker are taken up within ``lease_s``; a list on which it blocks, so that a job starts at once
instead of at the next poll; JSON instead of pickle; and a poll loop that outlives a Redis outage.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from arq.connections import ArqRedis
from arq.worker import Worker, func
from pydantic import ValidationError

from stepwire._claims import Claimed, Claims
from stepwire._ending import RetryLater
from stepwire._lease import Lease, LeaseKeeper
from stepwire._process import used_as_process_publisher
from stepwire._publisher import Publisher
from stepwire._registration import Activity, Registration
from stepwire._run import Runner
from stepwire._signals import Signals
from stepwire_core.connections import UNAVAILABLE, connect, new_pool, require
from stepwire_core.dead_letters import DeadLetters
from stepwire_core.documents import ErrorInfo
from stepwire_core.errors import RunFenced, RunWaits, StoreUnavailable
from stepwire_core.log import open_log
from stepwire_core.queue import (
    RUN_FUNCTION,
    RunQueue,
    RunRequest,
    deserialize,
    serialize,
    wake_key,
)

if TYPE_CHECKING:
    from stepwire._handlers import Handlers
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.worker")

_OUTAGE_DELAY_S: Final = 0.5
_WAKE_BLOCK_S: Final = 5
_FIRST_TURN_S: Final = 0.25
_TURN_S: Final = 5.0


def run_worker(handlers: Handlers, settings: Settings) -> None:
    """Execute runs until SIGTERM or SIGINT; then take no more, and give running ones ``grace_s`` to
    end.

    Raises:
        SettingsError: no Redis answers.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(require(settings.redis_url, "STEPWIRE_REDIS_URL"))
        loop.run_until_complete(require(settings.effective_queue_url, "STEPWIRE_QUEUE_URL"))
        StepwireWorker(handlers, settings).run()
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


@dataclass(frozen=True, slots=True)
class Again:
    """The job of a run that has not ended."""

    after_s: float = 0.0
    waits: RunRequest | None = None
    """The run, if it is not its turn yet."""


class StepwireWorker(Worker):
    """Executes the runs of one queue with the handlers of one module."""

    def __init__(self, handlers: Handlers, settings: Settings) -> None:
        self._settings = settings
        self._handlers = handlers
        self._resources = AsyncExitStack()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._claiming = asyncio.Lock()
        self._not_ours: set[str] = set()
        self._leases: dict[str, Lease] = {}
        super().__init__(
            # It insists on one; what would call it is :meth:`_execute` here.
            functions=[func(cast("Any", self._execute), name=RUN_FUNCTION)],
            queue_name=settings.queue_name,
            redis_pool=ArqRedis(
                new_pool(settings.effective_queue_url),
                job_serializer=serialize,
                job_deserializer=deserialize,
                default_queue_name=settings.queue_name,
            ),
            on_shutdown=self._stop,
            max_jobs=settings.max_jobs,
            job_completion_wait=max(1, int(settings.grace_s)),
            poll_delay=settings.poll_s,
        )
        limits = {
            name: policy.max_running
            for name, policy in handlers.policies.items()
            if policy.max_running is not None
        }
        self._claims = Claims(self.pool, settings, limits)

    # -- one run --------------------------------------------------------------------------------

    async def _execute(self, claimed: Claimed) -> None:
        """Execute a job, and take it off the queue or give it back.

        Instead of arq's ``run_job``, which asks Redis for the job once more, wraps it in limits of
        its own, and logs arguments. It ends by itself: whatever the handler does, and when the
        worker is told to stop.
        """
        job_id, again = claimed.lease.job_id, None
        if (request := claimed.request()) is not None:
            work = self._run(job_id, request, claimed.tried - 1)
            self.job_tasks[job_id] = task = self.loop.create_task(work)
            try:
                again = await task
            except asyncio.CancelledError:
                # The worker stops, or another one has the job now.
                again = Again()
            except Exception:
                logger.exception("a job failed", extra={"job_id": job_id})
            finally:
                del self.job_tasks[job_id]
        await asyncio.shield(self._finish(claimed.lease, again))

    async def _run(self, job_id: str, request: dict[str, Any], tried: int) -> Again | None:
        """Execute a run; whether its job has to come again."""
        try:
            run = RunRequest.model_validate(request)
        except ValidationError as error:
            await self._refuse(job_id, request, error)
            return None
        try:
            await self._runner.execute(run, tried=tried)
        except RunWaits:
            # Whoever ends the run before it hurries it; this is for those that die over that.
            return Again(min(_FIRST_TURN_S * 2.0 ** min(tried, 16), _TURN_S), run)
        except RetryLater as later:
            return Again(later.after_s)
        except StoreUnavailable as error:
            logger.error(  # noqa: TRY400 - expected while Redis is away
                "a run is lost and will be closed",
                extra={"run_id": run.run_id, "error": str(error)},
            )
            return Again(self._settings.lease_s)
        except RunFenced:
            logger.warning("a run went on elsewhere", extra={"run_id": run.run_id})
            self._not_ours.add(job_id)
        return None

    async def _refuse(self, job_id: str, request: dict[str, Any], error: ValidationError) -> None:
        """End the run of a job that another version has queued, if it says which."""
        logger.error("a job cannot be understood", extra={"job_id": job_id, "error": str(error)})
        session_id, run_id = request.get("session_id"), request.get("run_id")
        if isinstance(session_id, str) and isinstance(run_id, str):
            message = f"this worker does not understand the request: {error.errors()[0]['msg']}"
            reason = ErrorInfo(type="InvalidRequest", message=message)
            await self._runner.refuse(session_id, run_id, reason)

    async def _finish(self, lease: Lease, again: Again | None) -> None:
        if lease.job_id in self._not_ours:
            self._not_ours.discard(lease.job_id)
            # It was passed over here as long as it was executed; perhaps nobody else has it by now.
            self._wake.set()
            return
        await self._claims.settle(lease, due_in_s=again.after_s if again else None)
        if again is not None and again.waits is not None:
            with suppress(StoreUnavailable):
                await self._runner.turns.look_again(again.waits)

    # -- the loop -------------------------------------------------------------------------------

    async def main(self) -> None:
        """Instead of arq's loop: look when woken, at least every ``poll_s``."""
        self.ctx["redis"] = self.pool
        await self._start()
        listening = self.loop.create_task(self._listen(), name="stepwire-wake")
        try:
            while True:
                self._wake.clear()
                try:
                    await self._look()
                except UNAVAILABLE as error:
                    logger.warning("the queue does not answer", extra={"error": str(error)})
                    await asyncio.sleep(_OUTAGE_DELAY_S)
                with suppress(TimeoutError):
                    # Not wait_for: up to Python 3.11 it may swallow the cancellation that stops us.
                    async with asyncio.timeout(self.poll_delay_s):
                        await self._wake.wait()
                if listening.done():
                    listening.result()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _look(self) -> None:
        if self._takes_jobs() and await self._claims.is_something_due():
            await self._claim()
        for job_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[job_id]
                task.result()

    async def _claim(self) -> None:
        """Start as many jobs as there are and as there is room for."""
        async with self._claiming:
            if not self._takes_jobs():
                return
            room = self.max_jobs - self.job_counter
            for claimed in await self._claims.claim(room, self._leases):
                job_id = claimed.lease.job_id
                self.job_counter += 1
                self._leases[job_id] = claimed.lease
                self.tasks[job_id] = task = self.loop.create_task(self._execute(claimed))
                task.add_done_callback(partial(self._job_over, job_id))

    def _job_over(self, job_id: str, task: asyncio.Task[Any]) -> None:
        del self._leases[job_id]
        if task.cancelled() or task.exception() is not None:
            # The loop raises it.
            self._wake.set()
        else:
            self.tasks.pop(job_id, None)
        self._job_done()

    def _running_leases(self) -> list[Lease]:
        # Copied at once: the loop changes it meanwhile.
        return [lease for lease in list(self._leases.values()) if lease.job_id in self.job_tasks]

    def _give_up(self, leases: list[Lease]) -> None:
        """Other workers have taken these jobs while this one was silent for longer than a lease."""
        for lease in leases:
            task = self.job_tasks.get(lease.job_id)
            if task is not None and self._leases.get(lease.job_id) is lease:
                logger.warning(
                    "a lease is lost, another worker has the run", extra={"run_id": lease.job_id}
                )
                self._not_ours.add(lease.job_id)
                task.cancel("another worker has this run: this one was silent for too long")

    def _job_done(self) -> None:
        if self.job_counter >= self.max_jobs:
            # Jobs may wait that nobody was told of; otherwise the wake list has named them all.
            self._wake.set()
        self.job_counter -= 1
        self._room.set()

    async def record_health(self) -> None:
        """Nothing: the registration, which the lease's thread renews, tells more than arq's key."""

    @asynccontextmanager
    async def _resting(self, run_id: str) -> AsyncIterator[None]:
        """Other jobs may have the places of one that waits for something, or for many things."""
        try:
            await self._on_loop(self._leave_places(run_id))
            yield
        finally:
            await self._on_loop(self._return_to_places(run_id))

    async def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        """A handler may wait on a loop of its own, in a thread; what is counted here is not safe
        there."""
        if asyncio.get_running_loop() is self.loop:
            await work
        else:
            done = asyncio.run_coroutine_threadsafe(work, self.loop)
            # Also when the handler is cancelled: what has been counted is counted back afterwards.
            await asyncio.shield(asyncio.wrap_future(done))

    async def _leave_places(self, run_id: str) -> None:
        lease = self._leases[run_id]
        lease.waits += 1
        if lease.waits == 1:
            self._job_done()
        await self._claims.adjust_slots(lease)

    async def _return_to_places(self, run_id: str) -> None:
        lease = self._leases[run_id]
        lease.waits -= 1
        if lease.waits == 0:
            self.job_counter += 1
        await self._claims.adjust_slots(lease)

    def _takes_jobs(self) -> bool:
        return self.allow_pick_jobs and self.job_counter < self.max_jobs

    async def _listen(self) -> None:
        """Block on the wake list while there is room, and start what is due."""
        redis = connect(self._settings.effective_queue_url)
        wake = wake_key(self.queue_name)
        try:
            while True:
                while not self._takes_jobs():
                    # A wake that we took now would be lost to a worker that has room.
                    self._room.clear()
                    await self._room.wait()
                try:
                    reply = redis.blpop([wake], timeout=_WAKE_BLOCK_S)
                    popped = await cast("Awaitable[list[bytes] | None]", reply)
                    if popped is not None and self._takes_jobs():
                        await self._claim()
                    elif popped is not None:
                        # Filled up, or told to stop, while it waited for this: for the next one.
                        await cast("Awaitable[int]", redis.lpush(wake, popped[1]))
                except UNAVAILABLE:
                    await asyncio.sleep(_OUTAGE_DELAY_S)
        finally:
            await redis.aclose()

    # -- resources ------------------------------------------------------------------------------

    async def _start(self) -> None:
        log = await self._resources.enter_async_context(open_log(self._settings))
        publisher = Publisher(self._settings)
        self._resources.push_async_callback(asyncio.to_thread, publisher.close)
        self._resources.enter_context(used_as_process_publisher(publisher))
        activity = Activity()
        registration = Registration(
            self._settings,
            self._handlers.functions,
            activity,
            places_taken=lambda: self.job_counter,
            stopping=lambda: not self.allow_pick_jobs,
        )
        keeper = LeaseKeeper(
            self._settings,
            registration,
            self._claims.token,
            running=self._running_leases,
            lost=lambda leases: self.loop.call_soon_threadsafe(self._give_up, leases),
            poke_loop=lambda: self.loop.call_soon_threadsafe(keeper.loop_answers),
        )
        self._resources.enter_context(keeper)
        signals = Signals(log, self._settings)
        await self._resources.enter_async_context(signals.listening())
        self._runner = Runner(
            self._handlers,
            log,
            publisher,
            self._settings,
            signals=signals,
            queue=RunQueue(self.pool, self.queue_name),
            resting=self._resting,
            activity=activity,
            dead_letters=DeadLetters(self.pool, self._settings),
        )
        logger.info(
            "worker ready",
            extra={
                "handlers": ", ".join(sorted(self._handlers.functions)),
                "queue": self.queue_name,
            },
        )

    async def _stop(self, ctx: dict[Any, Any]) -> None:
        del ctx
        await self._resources.aclose()
