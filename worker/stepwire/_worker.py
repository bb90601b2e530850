"""The arq worker. The one module that knows arq's internals (0.28).

What it adds to ``arq.Worker``: a lease instead of a fixed timeout, so that the runs of a dead
worker are taken up within ``lease_s``; a list on which it blocks, so that a job starts at once
instead of at the next poll; JSON instead of pickle; and a poll loop that outlives a Redis outage.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Retry, Worker, func
from pydantic import ValidationError
from redis.asyncio import ConnectionPool

from stepwire._ending import RetryLater
from stepwire._lease import Lease, LeaseKeeper
from stepwire._process import used_as_process_publisher
from stepwire._publisher import Publisher
from stepwire._registration import Activity, Registration
from stepwire._run import Runner
from stepwire._signals import Signals
from stepwire_core.connections import CONNECT_TIMEOUT_S, UNAVAILABLE, ServerId, connect, require
from stepwire_core.dead_letters import DeadLetters
from stepwire_core.documents import ErrorInfo
from stepwire_core.errors import RunFenced, RunWaits, StoreUnavailable
from stepwire_core.log import EventLog
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


class StepwireWorker(Worker):
    """Executes the runs of one queue with the handlers of one module."""

    def __init__(self, handlers: Handlers, settings: Settings) -> None:
        self._settings = settings
        self._handlers = handlers
        self._resources = AsyncExitStack()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._not_ours: set[str] = set()
        self._leases: dict[str, Lease] = {}
        self._deferred_s: dict[str, float] = {}
        self._waiting: dict[str, RunRequest] = {}
        super().__init__(
            functions=[func(self._run, name=RUN_FUNCTION)],
            queue_name=settings.queue_name,
            redis_pool=_pool(settings),
            on_shutdown=self._stop,
            max_jobs=settings.max_jobs,
            job_completion_wait=max(1, int(settings.grace_s)),
            poll_delay=settings.poll_s,
            # We count attempts and time runs ourselves; arq's limits must never cut in before.
            max_tries=1_000_000,
            job_timeout=settings.run_timeout_s * 2 + 60,
            # The log knows how a run ended.
            keep_result=0,
            log_results=False,
            job_serializer=serialize,
            job_deserializer=deserialize,
        )
        claim = files("stepwire").joinpath("lua", "claim.lua").read_text()
        self._claim = self.pool.register_script(claim)

    # -- one run --------------------------------------------------------------------------------

    async def _run(self, ctx: dict[str, Any], request: dict[str, Any]) -> None:
        job_id, tried = ctx["job_id"], ctx["job_try"] - 1
        try:
            run = RunRequest.model_validate(request)
        except ValidationError as error:
            await self._refuse(job_id, request, error)
            return
        try:
            await self._runner.execute(run, tried=tried)
        except RunWaits as waits:
            # Whoever ends the run before it hurries it; this is for those that die over that.
            self._deferred_s[job_id] = min(_FIRST_TURN_S * 2.0 ** min(tried, 16), _TURN_S)
            self._waiting[job_id] = run
            raise Retry from waits
        except RetryLater as later:
            self._deferred_s[job_id] = later.after_s
            raise Retry from later
        except StoreUnavailable as error:
            logger.error(  # noqa: TRY400 - expected while Redis is away
                "a run is lost and will be closed",
                extra={"run_id": run.run_id, "error": str(error)},
            )
            self._deferred_s[job_id] = self._settings.lease_s
            raise Retry from error
        except RunFenced:
            logger.warning("a run went on elsewhere", extra={"run_id": run.run_id})
            self._not_ours.add(job_id)

    async def _refuse(self, job_id: str, request: dict[str, Any], error: ValidationError) -> None:
        """End the run of a job that another version has queued, if it says which."""
        logger.error("a job cannot be understood", extra={"job_id": job_id, "error": str(error)})
        session_id, run_id = request.get("session_id"), request.get("run_id")
        if isinstance(session_id, str) and isinstance(run_id, str):
            message = f"this worker does not understand the request: {error.errors()[0]['msg']}"
            reason = ErrorInfo(type="InvalidRequest", message=message)
            await self._runner.refuse(session_id, run_id, reason)

    async def finish_job(
        self,
        job_id: str,
        finish: bool,
        result_data: bytes | None,
        result_timeout_s: float | None,
        keep_result_forever: bool,
        incr_score: int | None,
        keep_in_progress: float | None,
    ) -> None:
        """Take the job off the queue, or give it back with the time at which it is due.

        Instead of arq's ``incr_score``, which counts from where the score was when the job started:
        the lease has moved it since.
        """
        del incr_score
        if job_id in self._not_ours:
            # Another worker has the job now; deleting it would take it away from that one.
            self._not_ours.discard(job_id)
            return
        await super().finish_job(
            job_id,
            finish,
            result_data,
            result_timeout_s,
            keep_result_forever,
            None,
            keep_in_progress,
        )
        if not finish:
            defer_s = self._deferred_s.pop(job_id, 0.0)
            async with self.pool.pipeline(transaction=True) as pipe:
                due_ms = int((time.time() + defer_s) * 1000)
                pipe.zadd(self.queue_name, {job_id: due_ms}, xx=True)
                if not defer_s:
                    pipe.lpush(wake_key(self.queue_name), job_id)
                await pipe.execute()
            if waiting := self._waiting.pop(job_id, None):
                with suppress(StoreUnavailable):
                    await self._runner.turns.look_again(waiting)

    # -- the loop -------------------------------------------------------------------------------

    async def main(self) -> None:
        """Instead of arq's loop: poll when woken, at least every ``poll_s``."""
        self.ctx["redis"] = self.pool
        await self._start()
        listening = self.loop.create_task(self._listen(), name="stepwire-wake")
        try:
            while True:
                self._wake.clear()
                try:
                    await self._poll_iteration()
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

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Claim and start as many of these jobs as there is room for, in one round trip.

        Instead of arq's, which needs four for each job, and leaves running jobs at the head of the
        queue, where they hide waiting ones.
        """
        room = self.max_jobs - self.job_counter
        # One that we were too late for and still execute: two attempts of it here would share what
        # arq and we keep under its id. It waits until the old one has been given up.
        job_ids = [job_id for job_id in job_ids if job_id.decode() not in self._leases]
        if not job_ids or room <= 0:
            return
        self.job_counter += (asked := min(room, len(job_ids)))
        taken: list[bytes] = []
        try:
            now_ms = int(time.time() * 1000)
            lease_ms = int(self._settings.lease_s * 1000)
            reply = await self._claim(
                keys=[self.queue_name],
                args=[now_ms, lease_ms, in_progress_key_prefix, *job_ids[:asked]],
            )
            taken = cast("list[bytes]", reply)
        finally:
            self.job_counter -= asked - len(taken) // 2
        for job_id_bytes, due_ms in zip(taken[::2], taken[1::2], strict=True):
            job_id = job_id_bytes.decode()
            self._leases[job_id] = Lease(job_id, now_ms + lease_ms)
            task = self.loop.create_task(self.run_job(job_id, int(float(due_ms))))
            task.add_done_callback(partial(self._job_over, job_id))
            self.tasks[job_id] = task

    def _job_over(self, job_id: str, task: asyncio.Task[Any]) -> None:
        del task
        del self._leases[job_id]
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
        self.job_counter -= 1
        self._wake.set()
        self._room.set()

    async def record_health(self) -> None:
        """Nothing: the registration, which the lease's thread renews, tells more than arq's key."""

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Somebody else's job may have the place of one that waits for a person."""
        self._job_done()
        try:
            yield
        finally:
            self.job_counter += 1

    def _takes_jobs(self) -> bool:
        return self.allow_pick_jobs and self.job_counter < self.max_jobs

    async def _listen(self) -> None:
        """Block on the wake list while there is room, and start the job that it names."""
        redis = _pool(self._settings)
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
                        await self.start_jobs([popped[1]])
                    elif popped is not None:
                        # Filled up, or told to stop, while it waited for this: for the next one.
                        await cast("Awaitable[int]", redis.lpush(wake, popped[1]))
                except UNAVAILABLE:
                    await asyncio.sleep(_OUTAGE_DELAY_S)
        finally:
            await redis.aclose(close_connection_pool=True)

    # -- resources ------------------------------------------------------------------------------

    async def _start(self) -> None:
        server_id = ServerId()
        redis = connect(self._settings.redis_url, server_id)
        self._resources.push_async_callback(redis.aclose)
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
            running=self._running_leases,
            lost=lambda leases: self.loop.call_soon_threadsafe(self._give_up, leases),
            poke_loop=lambda: self.loop.call_soon_threadsafe(keeper.loop_answers),
        )
        self._resources.enter_context(keeper)
        log = EventLog(redis, server_id, self._settings)
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


def _pool(settings: Settings) -> ArqRedis:
    pool = ConnectionPool.from_url(
        settings.effective_queue_url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
    )
    return ArqRedis(
        pool,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=settings.queue_name,
    )
