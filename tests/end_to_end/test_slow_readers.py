"""Clients that take nothing: bounded in memory, cut off in time, and harmless to the others."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from documents import a_step
from event_log import Writer
from sse import Client, assert_dense
from stack import Gateway, Stack, wait_until
from stepwire_core.log.event_log import READ_BYTES, EventLog, open_log
from stepwire_core.redis.connections import MAX_CONNECTIONS
from stepwire_core.settings import Settings
from stepwire_core.wire.events import delta_event, step_event
from stepwire_gateway.hub.feed import WRITE_BYTES

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc, as on Linux"),
]

LIMIT_S = 90
STUCK = 200
SUBSCRIBER_BYTES = 64 * 1024
SEND_TIMEOUT_S = 2
EVENT_BYTES = 8 * 1024
EVENTS = 1_000


def metric(gateway: Gateway, name: str) -> float:
    text = gateway.client.get("/metrics").text
    [value] = re.findall(rf"^stepwire_gateway_{name} (\S+)$", text, re.MULTILINE)
    return float(value)


def process_of(gateway: Gateway) -> Path:
    process = gateway.child.process
    assert process is not None
    return Path(f"/proc/{process.pid}")


def peak_bytes(gateway: Gateway) -> int:
    """The most memory that the gateway has had (VmHWM)."""
    status = (process_of(gateway) / "status").read_text()
    [kilobytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024


def open_files(gateway: Gateway) -> int:
    return len(list((process_of(gateway) / "fd").iterdir()))


@contextmanager
def stuck_clients(gateway: Gateway, path: str, count: int) -> Iterator[None]:
    """Clients that ask for a stream and then read nothing of it."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", gateway.port))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield


async def write(log: EventLog, session: str, count: int) -> None:
    writer = Writer(log, session)
    await writer.put(step_event("step.start", a_step(session)))
    for _ in range(count):
        await writer.put(delta_event("step", "x" * EVENT_BYTES))


@pytest.mark.timeout(2 * LIMIT_S)
async def test_two_hundred_stuck_clients_cost_bounded_memory_and_are_cut_off(stack: Stack) -> None:
    """README, guarantee 5."""
    gateway = stack.gateway(
        STEPWIRE_SUBSCRIBER_BYTES=str(SUBSCRIBER_BYTES),
        STEPWIRE_SEND_TIMEOUT_S=str(SEND_TIMEOUT_S),
        STEPWIRE_PING_S="0.5",
    )
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/events"
    settings = Settings(redis_url=stack.env["STEPWIRE_REDIS_URL"])
    before, files_before = peak_bytes(gateway), open_files(gateway)
    async with (
        asyncio.timeout(LIMIT_S),
        open_log(settings) as log,
        httpx.AsyncClient(base_url=gateway.url, timeout=LIMIT_S) as http,
    ):
        last = EVENTS + 1
        clients = [Client() for _ in range(5)]
        reading = [
            asyncio.create_task(client.read(http, path, lambda event: event.cursor.seq >= last))
            for client in clients
        ]
        for client in clients:
            await client.connected.wait()
        with stuck_clients(gateway, path, STUCK):
            opened = STUCK + len(reading)
            await asyncio.to_thread(
                wait_until, lambda: metric(gateway, "streams") == opened, "all streams are open"
            )
            await write(log, session, EVENTS)
            for received in await asyncio.gather(*reading):
                assert_dense(received)
                assert received[-1].cursor.seq == last
            await asyncio.to_thread(
                wait_until, lambda: metric(gateway, "streams") == 0, "the stuck ones are cut", 30
            )
            assert metric(gateway, "streams_cut_total") == STUCK
            # Their sockets, too, though they still do not read; the pool to Redis has grown.
            await asyncio.to_thread(
                wait_until,
                lambda: open_files(gateway) < files_before + MAX_CONNECTIONS + 5,
                "no socket is left",
            )
    # docs/operations.md: what waits for a client or what it has read of the log, what is being
    # written, and the connection itself; and the events, once for all.
    each = max(SUBSCRIBER_BYTES, READ_BYTES) + 4 * WRITE_BYTES + 128 * 1024
    assert peak_bytes(gateway) - before < opened * each + 2 * EVENTS * EVENT_BYTES
    assert "Traceback" not in gateway.child.output


async def test_any_answer_is_cut_off_when_nothing_of_it_is_taken_and_only_then(
    stack: Stack,
) -> None:
    gateway = stack.gateway(STEPWIRE_SEND_TIMEOUT_S="2")
    session = gateway.create_session()
    async with open_log(Settings(redis_url=stack.env["STEPWIRE_REDIS_URL"])) as log:
        await write(log, session, 100)
    path = f"/v1/sessions/{session}"
    whole = gateway.client.get(path).content
    before, stuck = open_files(gateway), MAX_CONNECTIONS + 20
    with stuck_clients(gateway, path, stuck):
        wait_until(lambda: open_files(gateway) >= before + stuck, "they are connected")
        # The pool to Redis has grown meanwhile.
        left = before + MAX_CONNECTIONS + 5
        wait_until(lambda: open_files(gateway) <= left, "they are cut off")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=4096)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, received = await reader.readuntil(b"\r\n\r\n"), b""
    assert b" 200 " in head
    # Never as long as the limit without taking anything, but longer than twice that in all.
    slow_until = time.monotonic() + 5
    while piece := await reader.read(len(whole) // 20):
        received += piece
        if time.monotonic() < slow_until:
            await asyncio.sleep(0.5)
    assert received == whole
    writer.close()
