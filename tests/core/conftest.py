"""The event log, on every kind of server and on fakeredis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from event_log import Log
from stepwire_core.process.redis_rights import Needs
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.standalone import StandaloneStore
from stepwire_core.redis.store import Store
from stepwire_core.redis.topologies.opening import open_store
from stepwire_core.settings import Settings
from topologies import TOPOLOGIES, Topologies, on_each


@pytest.fixture(params=on_each("fakeredis", *TOPOLOGIES))
async def log(
    request: pytest.FixtureRequest, topologies: Topologies, settings: Settings, session_id: str
) -> AsyncIterator[Log]:
    settings = settings.model_copy(update={"log_max_events": 100})
    async with AsyncExitStack() as stack:
        store: Store
        redis: Redis | None = None
        if request.param == "fakeredis":
            redis = FakeAsyncRedis()
            store = StandaloneStore(redis, "fakeredis")
            stack.push_async_callback(store.aclose)
        else:
            # With the rights in the documents, and no others.
            needs = Needs.of_log(topologies.url(request.param))
            url = topologies.url_of_a_user(request.param, needs)
            store = await stack.enter_async_context(open_store(url))
            settings = settings.model_copy(update={"redis_url": url})
            primary = topologies.primary(request.param, SessionKeys.of(session_id).log)
            redis = await stack.enter_async_context(Redis(port=primary.port))
        log = Log(store, settings, session_id, redis)
        await log.log.create(session_id, "run")
        yield log
