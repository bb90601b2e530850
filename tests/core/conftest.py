"""The event log, on a real server and on fakeredis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeAsyncRedis

from event_log import Log
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.redis.standalone import StandaloneStore, connect
from stepwire_core.settings import Settings


@pytest.fixture(params=["server", "fakeredis"])
async def log(
    request: pytest.FixtureRequest, server: EmbeddedServer, settings: Settings, session_id: str
) -> AsyncIterator[Log]:
    fake = StandaloneStore(FakeAsyncRedis(), "fakeredis")
    store = connect(server.url) if request.param == "server" else fake
    log = Log(store, settings.model_copy(update={"log_max_events": 100}), session_id)
    await log.log.create(session_id, "run")
    yield log
    await store.aclose()
