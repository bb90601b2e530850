"""The event log, on a real server and on fakeredis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis
from redis.crc import key_slot

from cluster import Cluster, Watched, cluster, sentinels
from event_log import Log
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.standalone import StandaloneStore
from stepwire_core.redis.store import Store
from stepwire_core.redis.topologies.opening import open_store
from stepwire_core.settings import Settings


@pytest.fixture(scope="session")
def three() -> Iterator[Cluster]:
    """A cluster of three primaries, for tests that change nothing in it."""
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def watched() -> Iterator[Watched]:
    """A primary that a Sentinel watches, for tests that change nothing in it."""
    with sentinels(count=1) as running:
        yield running


@pytest.fixture(params=["server", "cluster", "fakeredis"])
async def log(
    request: pytest.FixtureRequest, server: EmbeddedServer, settings: Settings, session_id: str
) -> AsyncIterator[Log]:
    settings = settings.model_copy(update={"log_max_events": 100})
    async with AsyncExitStack() as stack:
        store: Store
        redis = None
        if request.param == "cluster":
            nodes: Cluster = request.getfixturevalue("three")
            store = await stack.enter_async_context(open_store(nodes.url))
            owner = nodes.owner(key_slot(SessionKeys.of(session_id).log.encode()))
            redis = await stack.enter_async_context(Redis(port=owner.port))
            settings = settings.model_copy(update={"redis_url": nodes.url})
        elif request.param == "server":
            store = await stack.enter_async_context(open_store(server.url))
        else:
            redis = FakeAsyncRedis()
            store = StandaloneStore(redis, "fakeredis")
            stack.push_async_callback(store.aclose)
        log = Log(store, settings, session_id, redis)
        await log.log.create(session_id, "run")
        yield log
