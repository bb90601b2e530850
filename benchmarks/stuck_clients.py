"""How late events are for clients that read, beside 200 that do not, and beside none.

One session, one gateway process; the writer and the clients are this process in both cases. An
event carries the time at which it was appended.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gateway_process import Session, gateway_session
from rounds import Row, percentile, table
from stepwire_core.wire.events import delta_event

READERS = 5
PAUSE_S = 0.005
FILLER = "x" * 8_000
FILLERS = 300
"""More than a connection, its buffers and what may wait for it take."""


@contextmanager
def _stuck(session: Session, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", session.port))
            client.sendall(f"GET {session.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield


async def _late(reader: asyncio.StreamReader, events: int) -> list[float]:
    """Milliseconds that each event took to one reader."""
    took: list[float] = []
    while len(took) < events:
        await reader.readuntil(b'"text":"at ')
        appended_ns = int(await reader.readuntil(b" "))
        took.append((time.monotonic_ns() - appended_ns) / 1e6)
    return took


async def _round(stuck: int, events: int) -> list[float]:
    async with gateway_session(STEPWIRE_SEND_TIMEOUT_S="600") as session:
        await session.start_step("step")
        with _stuck(session, stuck):
            streams = [await session.open() for _ in range(READERS)]
            for reader, _ in streams:
                await reader.readuntil(b"event: snapshot")
            for _ in range(FILLERS):
                await session.append([delta_event("step", FILLER)])
            await session.append([delta_event("step", "begin ")])
            for reader, _ in streams:
                await reader.readuntil(b'"text":"begin ')
            reading = [asyncio.create_task(_late(reader, events)) for reader, _ in streams]
            for _ in range(events):
                await session.append([delta_event("step", f"at {time.monotonic_ns()} ")])
                await asyncio.sleep(PAUSE_S)
            took = [late for lates in await asyncio.gather(*reading) for late in lates]
            for _, writer in streams:
                writer.close()
    return took


def measure(*, short: bool = False) -> list[Row]:
    rounds, stuck, events = (1, 10, 20) if short else (5, 200, 400)
    beside_stuck, alone = [], []
    for _ in range(rounds):
        alone.append(asyncio.run(_round(0, events)))
        beside_stuck.append(asyncio.run(_round(stuck, events)))
    return [
        Row(
            f"append to client beside {stuck} stuck ones, {name}",
            "ms",
            [percentile(took, percent) for took in beside_stuck],
            "beside none",
            [percentile(took, percent) for took in alone],
            "<= 1.2",
        )
        for name, percent in (("p50", 50), ("p99", 99))
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
