"""A worker's inside in this process: a whole run of one handler, against a server that is given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from stepwire._handlers.registry import Handlers
from stepwire._runs.runner import Runner
from stepwire._transport.publisher import Publisher
from stepwire_core.log.event_log import EventLog, open_log
from stepwire_core.redis.standalone import StandaloneStore
from stepwire_core.redis.store import Store
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest


@dataclass(frozen=True, slots=True)
class InProcess:
    """One session, with a run in it that is still queued."""

    redis: Redis
    log: EventLog
    runner: Runner
    session_id: str

    async def seconds(self) -> float:
        """Execute the run; the time from its beginning to its stored end."""
        request = RunRequest(session_id=self.session_id, run_id=new_id(), handler="on_message")
        started = time.perf_counter()
        await self.runner.execute(request)
        return time.perf_counter() - started


def client_of(store: Store) -> Redis:
    """The client of a store, for what no seam shows."""
    if not isinstance(store, StandaloneStore):
        raise TypeError(f"a benchmark needs a single server, not {store!r}")
    return store.redis


@asynccontextmanager
async def running(url: str, handler: Callable[[], Awaitable[None]]) -> AsyncIterator[InProcess]:
    """Everything that one run of this handler needs."""
    settings = Settings(redis_url=url, max_text_chars=100_000_000)
    publisher = Publisher(settings)
    session_id = new_id()
    try:
        async with open_log(settings) as log:
            await log.create(session_id, new_id())
            runner = Runner(Handlers({"on_message": handler}), log, publisher, settings)
            yield InProcess(client_of(log.store), log, runner, session_id)
    finally:
        await asyncio.to_thread(publisher.close)
