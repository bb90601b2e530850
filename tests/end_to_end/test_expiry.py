"""A session that is no longer used leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from typing import cast

import pytest
from redis.asyncio import Redis

import stepwire as cl
from bench import Bench
from event_log import client_of
from stepwire_core.errors import SessionNotFound
from stepwire_core.log.event_log import Batch
from stepwire_core.settings import Settings
from stepwire_core.wire.events import delta_event
from stepwire_gateway.hub.hub import Hub

pytestmark = pytest.mark.anyio

LIMIT_S = 30

KINDS = {"log", "state", "meta", "files", "user", "open", "out", "tail", "waiting"}
"""All that a session may have in Redis (docs/architecture.md)."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # Shorter than a user may set it.
    return settings.model_copy(update={"session_ttl_s": 4})


async def handler() -> None:
    cl.user_session.set("name", "Ada")
    async with cl.Step("shows", elements=[cl.Text(name="notes", content="some text")]) as step:
        await step.stream_token("out")


async def keys_of(redis: Redis, session: str) -> set[str]:
    return {key.decode() async for key in redis.scan_iter(match=f"*{session}*", count=1000)}


async def test_all_keys_of_an_idle_session_vanish_at_one_instant(
    bench: Bench, settings: Settings
) -> None:
    """README: nothing is left in Redis; and who reads the session is let go."""
    session = bench.session_id
    redis = client_of(bench.log.store)
    await bench.run(handler)
    # Text of a step that is still open.
    step = (await bench.steps())["shows"]
    await bench.log.append(Batch(session, [delta_event(step.id, "more")], producer="p"))

    keys = await keys_of(redis, session)
    assert {key.split("}:", 1)[1].split(":", 1)[0] for key in keys} == KINDS
    expiries = {await cast("Awaitable[int]", redis.pexpiretime(key)) for key in keys}
    assert len(expiries) == 1
    assert min(expiries) > 0

    hub = Hub(bench.log, settings)
    async with hub.running(), asyncio.timeout(LIMIT_S):
        reading = await hub.open(session, None)
        async with aclosing(reading.batches()) as batches:
            frames = [frame async for batch in batches for frame in batch]
        await reading.aclose()
        assert [frame.type for frame in frames] == ["snapshot"]
        assert await keys_of(redis, session) == set()
        with pytest.raises(SessionNotFound):
            await hub.open(session, frames[-1].cursor)
