"""The parts of a worker process beside its loop, and the order in which they begin and end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from stepwire._handlers.task_schemas import describe
from stepwire._runs.activity import Activity
from stepwire._runs.app_hooks import application
from stepwire._runs.runner import Runner
from stepwire._runs.user_code import UserCode
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire._transport.publisher import Publisher
from stepwire._transport.signals import Signals
from stepwire._transport.threads import in_thread, threads_left
from stepwire._worker.heartbeat import Registration
from stepwire._worker.lease import LeaseKeeper
from stepwire._worker.metrics_server import Sources, metrics_served
from stepwire_core.log.event_log import open_log
from stepwire_core.process.supervision import Supervisor, as_reason
from stepwire_core.queue.dead_letters import DeadLetters
from stepwire_core.queue.run_queue import RunQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stepwire._handlers.registry import Handlers
    from stepwire._worker.ended_runs import EndedRuns
    from stepwire._worker.job import Jobs
    from stepwire._worker.queue_client import Claims
    from stepwire._worker.slots import Slots
    from stepwire_core.process.supervision import Fail
    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.worker")


@asynccontextmanager
async def assembled(
    handlers: Handlers,
    settings: Settings,
    store: Store,
    claims: Claims,
    slots: Slots,
    jobs: Jobs,
    ended: EndedRuns,
    *,
    stopping: Callable[[], bool],
    fail: Fail,
) -> AsyncIterator[Runner]:
    """The runner of this process; ``store`` is the queue's. ``fail`` is called on the
    event loop when a part that the process cannot do without has ended."""
    loop = asyncio.get_running_loop()
    activity = Activity()

    def left_behind() -> int:
        return UserCode.left_behind() + threads_left()

    registration = Registration(
        settings,
        handlers.functions,
        handlers.hooks,
        activity,
        tasks=describe(handlers),
        places_taken=lambda: slots.taken,
        left_behind=left_behind,
        stopping=stopping,
        stalled=claims.is_stalled,
        max_running=handlers.max_running,
    )
    keeper = LeaseKeeper(
        settings,
        registration,
        claims.token,
        running=jobs.leases,
        lost=lambda leases: loop.call_soon_threadsafe(jobs.lose, leases),
        poke_loop=lambda: loop.call_soon_threadsafe(keeper.loop_answers),
        fail=lambda error: loop.call_soon_threadsafe(fail, error),
    )
    async with (
        open_log(settings) as log,
        _publishing(
            settings,
            lambda error: loop.call_soon_threadsafe(fail, as_reason("stepwire-publisher", error)),
        ) as publisher,
        application(handlers, settings),
    ):
        signals = Signals(log, settings)
        with keeper:
            async with signals.listening(fail), Supervisor(fail) as side_tasks:
                queue = RunQueue(store, settings.queue_name)
                runner = Runner(
                    handlers,
                    log,
                    publisher,
                    settings,
                    signals=signals,
                    queue=queue,
                    activity=activity,
                    dead_letters=DeadLetters(store, settings),
                )
                sources = Sources(
                    settings,
                    runner.numbers,
                    jobs,
                    slots,
                    keeper,
                    publisher,
                    left_behind,
                    stopping,
                )
                with metrics_served(sources):
                    side_tasks.start(ended.watch(log, queue), "stepwire-ended")
                    logger.info(
                        "worker ready",
                        extra={
                            "handlers": ", ".join(sorted(handlers.functions)),
                            "queue": settings.queue_name,
                        },
                    )
                    yield runner


@asynccontextmanager
async def _publishing(
    settings: Settings, on_death: Callable[[BaseException], object]
) -> AsyncIterator[Publisher]:
    publisher = Publisher(settings, on_death=on_death)
    try:
        with used_as_process_publisher(publisher):
            yield publisher
    finally:
        await in_thread(publisher.close)
