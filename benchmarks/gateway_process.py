"""A gateway in a process of its own, and a session that this process writes to."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from redis.asyncio import Redis

from in_process import client_of
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server, free_port
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.settings import Settings
from stepwire_core.values.clock import now
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import StepDocument
from stepwire_core.wire.events import NewEvent, step_event

START_TIMEOUT_S: Final = 20.0
_CREATED_AT_ONCE: Final = 200


@dataclass(slots=True)
class Session:
    """A session in a gateway at a port of this machine."""

    port: int
    redis: Redis
    log: EventLog
    id: str = field(default_factory=new_id)
    written: int = 0

    @property
    def path(self) -> str:
        return f"/v1/sessions/{self.id}/events"

    async def append(self, events: Sequence[NewEvent]) -> None:
        batch = Batch(self.id, events, producer="p", first=self.written + 1)
        self.written += len(events)
        await self.log.append(batch)

    async def start_step(self, step_id: str) -> None:
        step = StepDocument(
            id=step_id,
            session_id=self.id,
            run_id=None,
            attempt=0,
            parent_id=None,
            name="s",
            type="llm",
            status="running",
            started_at=now(),
            ts=now(),
        )
        await self.append([step_event("step.start", step)])

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A stream, asked for and not read yet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
        writer.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return reader, writer


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that answers."""

    port: int
    pid: int


@contextmanager
def gateway_running(env: Mapping[str, str], log: Path) -> Iterator[Gateway]:
    """A gateway in a process of its own, for as long as the block runs."""
    port = free_port()
    child = child_processes.gateway(dict(env), port=port, log=log)
    child.start()
    try:
        _wait(port, child)
        if child.process is None:
            raise RuntimeError("the gateway was not started")
        yield Gateway(port, child.process.pid)
    finally:
        child.stop()


def _wait(port: int, child: child_processes.Child) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and child.exit_code is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                return
        time.sleep(0.02)
    raise RuntimeError(f"the gateway did not start:\n{child.output[-2000:]}")


async def new_sessions(url: str, count: int) -> list[str]:
    """The ids of new sessions, in which nothing has happened."""
    ids = [new_id() for _ in range(count)]
    async with open_log(Settings(redis_url=url)) as log:
        for start in range(0, count, _CREATED_AT_ONCE):
            some = ids[start : start + _CREATED_AT_ONCE]
            await asyncio.gather(*(log.create(id_, id_) for id_ in some))
    return ids


@asynccontextmanager
async def gateway_session(**env: str) -> AsyncIterator[Session]:
    """A server, a gateway and a session."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as folder:
        everything = os.environ | {"STEPWIRE_REDIS_URL": server.url} | env
        with gateway_running(everything, Path(folder, "log")) as gateway:
            async with open_log(Settings(redis_url=server.url)) as log:
                session = Session(gateway.port, client_of(log.store), log)
                await log.create(session.id, new_id())
                yield session
