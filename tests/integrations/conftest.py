"""A worker's inside in this process, and a model on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from bench import Bench
from integrations.model_server import ModelServer, model_server
from stepwire._publisher import Publisher
from stepwire_core.connections import ServerId, connect
from stepwire_core.ids import new_id
from stepwire_core.log import EventLog
from stepwire_core.settings import Settings


@pytest.fixture
async def bench(settings: Settings, session_id: str) -> AsyncIterator[Bench]:
    server_id = ServerId()
    redis = connect(settings.redis_url, server_id)
    log = EventLog(redis, server_id, settings)
    publisher = Publisher(settings)
    await log.create(session_id, new_id())
    yield Bench(settings, log, publisher, session_id)
    await asyncio.to_thread(publisher.close)
    await redis.aclose()


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running
