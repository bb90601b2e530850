"""Connections: a cancellation is never swallowed, and silence has an end."""

from __future__ import annotations

import asyncio
import socket

import pytest

from stepwire_core.errors import StoreUnavailable
from stepwire_core.log.event_log import EventLog, open_log
from stepwire_core.redis import standalone
from stepwire_core.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_cancellation_that_arrives_with_the_answer_is_not_swallowed(
    settings: Settings, session_id: str
) -> None:
    task = asyncio.current_task()
    assert task is not None

    async def read_until_cancelled(log: EventLog) -> None:
        async with asyncio.timeout(0.02):
            while not task.cancelling():
                await log.snapshot(session_id)
            pytest.fail("a cancellation was swallowed")

    async with open_log(settings) as log:
        await log.create(session_id, "run")
        for _ in range(40):
            with pytest.raises(TimeoutError):
                await read_until_cancelled(log)


async def test_a_server_that_accepts_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(standalone, "SOCKET_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings = settings.model_copy(update={"redis_url": url})
        async with asyncio.timeout(20), open_log(settings) as log:
            with pytest.raises(StoreUnavailable, match=r"nothing for 0\.2 s"):
                await log.snapshot("session")
