"""Memory that an idle stream takes in the gateway, beside a bare sse-starlette application.

Ours is one client on each of so many sessions, everything on; the other is a generator that waits.
Both are processes of their own under uvicorn. The first hundred streams are not counted: they pay
for what is loaded late.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx

from accounting import many_files, resident_bytes
from clients import Clients, Stream
from rounds import Row, table
from stepwire_cli.dev.embedded_server import free_port
from under_load import READY, stepwire_served

FIRST = 100
START_TIMEOUT_S = 20.0


@contextmanager
def _bare() -> Iterator[tuple[int, int]]:
    """Port and process of the other application."""
    port = free_port()
    program = Path(__file__).with_name("bare_sse.py")
    with subprocess.Popen([sys.executable, program, str(port)]) as process:
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while time.monotonic() < deadline and process.poll() is None:
                with suppress(httpx.TransportError):
                    httpx.get(f"http://127.0.0.1:{port}/")
                    yield port, process.pid
                    return
                time.sleep(0.02)
            raise RuntimeError("the application did not start")
        finally:
            process.terminate()


def _kib_each(pid: int, clients: Clients, streams: Sequence[Stream]) -> float:
    clients.open(streams[:FIRST])
    before = resident_bytes(pid)
    clients.open(streams[FIRST:])
    return (resident_bytes(pid) - before) / (len(streams) - FIRST) / 1024


def _ours(count: int) -> float:
    with stepwire_served(count, readers=0) as served:
        return _kib_each(served.servers["gateway"][0], served.clients, served.streams)


def _theirs(count: int) -> float:
    with ExitStack() as stack:
        port, pid = stack.enter_context(_bare())
        clients = stack.enter_context(closing(Clients()))
        return _kib_each(pid, clients, [Stream.of(port, "/events", READY)] * count)


def measure(*, short: bool = False) -> list[Row]:
    many_files()
    rounds, count = (1, FIRST + 20) if short else (5, FIRST + 2_000)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_ours(count))
        theirs.append(_theirs(count))
    what = f"memory of an idle stream, {count - FIRST:,} of them"
    return [Row(what, "KiB", ours, "bare sse-starlette", theirs, "<= 0.8")]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
