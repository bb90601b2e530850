"""What the routes work with: one set per process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from stepwire_core.errors import InvalidId, RunNotFound, SessionNotFound
from stepwire_core.log.event_log import EventLog, open_log
from stepwire_core.process.supervision import Fail
from stepwire_core.queue.dead_letters import DeadLetters
from stepwire_core.queue.run_queue import RunQueue, open_queue
from stepwire_core.queue.standings import Standings
from stepwire_core.queue.task_registry import TaskRegistry
from stepwire_core.redis.rates import Rates
from stepwire_core.settings import Settings
from stepwire_core.storage.object_store import Objects
from stepwire_core.storage.redis_store import Files
from stepwire_core.values.ids import check_id
from stepwire_gateway.auth.authentication import Auth
from stepwire_gateway.auth.limits import Limits
from stepwire_gateway.hub.hub import Hub
from stepwire_gateway.hub.timer_wheel import TimerWheel
from stepwire_gateway.metrics import Metrics
from stepwire_gateway.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Services:
    """The log, the queue, the hub of this process, and who may call it."""

    settings: Settings
    log: EventLog
    queue: RunQueue
    standings: Standings
    dead_letters: DeadLetters
    tasks: TaskRegistry
    hub: Hub
    files: Files
    objects: Objects | None
    auth: Auth
    limits: Limits
    metrics: Metrics
    wheel: TimerWheel
    """The timer of all streams."""

    def address(self, path: str) -> str:
        """A path of ours as clients ask for it, wherever this gateway stands."""
        return self.hub.prefix.address(path)


@asynccontextmanager
async def open_services(
    settings: Settings, objects: Objects | None, prefix: Prefix, metrics: Metrics, fail: Fail
) -> AsyncIterator[Services]:
    """Connected for as long as the block runs; starts without Redis, too. ``fail`` is called when
    this process cannot go on."""
    async with open_log(settings) as log, open_queue(settings) as queue:
        hub, auth = Hub(log, settings, prefix, metrics), Auth(settings)
        files = Files(log.store, settings)
        limits, letters = Limits(Rates(log.store), settings), DeadLetters(queue.store, settings)
        standings = Standings(queue.store, settings.queue_name)
        tasks = TaskRegistry(queue.store, settings.queue_name)
        async with hub.running(fail), auth.running():
            yield Services(
                settings=settings,
                log=log,
                queue=queue,
                standings=standings,
                dead_letters=letters,
                tasks=tasks,
                hub=hub,
                files=files,
                objects=objects,
                auth=auth,
                limits=limits,
                metrics=metrics,
                wheel=TimerWheel(),
            )


# Coroutines, though nothing is awaited: FastAPI sends plain functions through a thread pool.


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def session_id_in_path(session_id: Annotated[str, Path()]) -> str:
    """The id as it is; a session of an id that none can have is not there.

    Raises:
        SessionNotFound: the id has a form that ids do not have.
    """
    try:
        return check_id(session_id, "session")
    except InvalidId:
        # No session can have such an id.
        raise SessionNotFound(session_id) from None


async def _run_id(
    session_id: Annotated[str, Depends(session_id_in_path)], run_id: Annotated[str, Path()]
) -> str:
    try:
        return check_id(run_id, "run")
    except InvalidId:
        raise RunNotFound(session_id, run_id) from None


ServicesDep = Annotated[Services, Depends(_services)]
SessionId = Annotated[str, Depends(session_id_in_path)]
RunId = Annotated[str, Depends(_run_id)]
