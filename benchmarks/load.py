"""The load generator, in a process of its own: the same events for every server that is measured.

Paced, it holds to a schedule and says how late it was; saturating, it keeps a number of events on
their way, so that whoever is slowest sets the rate.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from ctypes import c_uint64
from dataclasses import dataclass
from typing import Any, Final

import stepwire as cl
from clients import event_text
from remote import Pipe, Remote
from stepwire._scope.context import current_frame
from stepwire._transport.producer import Producer
from stepwire_core.wire.events import escape

Emit = Callable[[int], Awaitable[None]]

TICK_S: Final = 0.001
_POSTING: Final = 64
"""Connections over which nchan is posted to, one request at a time on each."""

_BURST: Final = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """What the generator has done in one go."""

    events: int
    late_ms: Sequence[float]
    """By how much each of its steps was behind the schedule."""


class Load:
    """The processes with the generator, as seen from outside; each has a part of the targets."""

    def __init__(self, received: c_uint64, targets: Sequence[tuple[object, ...]]) -> None:
        """A target is ``"stepwire", url, session_ids, steps`` or ``"nchan", port, channels``."""
        self._remotes = [Remote(_serve, received) for _ in targets]
        for remote, target in zip(self._remotes, targets, strict=True):
            remote.tell(*target)

    @property
    def pids(self) -> list[int]:
        return [remote.pid for remote in self._remotes]

    def paced(self, events_per_s: float, *, probes_per_s: float = 0, probe_port: int = 0) -> None:
        """Begin to emit, the targets in turn; bare PUBLISHes beside it if that is asked for."""
        parts = len(self._remotes)
        for remote in self._remotes:
            remote.tell("paced", events_per_s / parts, probes_per_s / parts, probe_port)

    def saturating(self, subscribers: int, ahead: int) -> None:
        """Begin to emit as fast as clients take it: at most ``ahead`` events on their way."""
        [remote] = self._remotes
        remote.tell("saturating", subscribers, ahead)

    def stop(self) -> Sent:
        parts: list[Sent] = [remote.tell("stop") for remote in self._remotes]
        return Sent(
            sum(part.events for part in parts), [late for part in parts for late in part.late_ms]
        )

    def close(self) -> None:
        for remote in self._remotes:
            remote.close()


class _Generator:
    def __init__(self, received: c_uint64) -> None:
        self._received = received
        self._emit: Emit | None = None
        self._task: asyncio.Task[None] | None = None
        self._late_ms: list[float] = []
        self._events = 0

    async def told(self, message: tuple[Any, ...]) -> Any:
        match message:
            case ("stepwire", url, session_ids, steps):
                self._emit = await _stepwire(url, session_ids, steps)
            case ("nchan", port, channels):
                self._emit = await _nchan(port, channels)
            case ("paced", rate, probes_per_s, probe_port):
                self._task = asyncio.create_task(self._paced(rate, probes_per_s, probe_port))
            case ("saturating", subscribers, ahead):
                self._task = asyncio.create_task(self._saturate(subscribers, ahead))
            case _:
                return await self._stop()
        return None

    async def _stop(self) -> Sent:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        sent = Sent(self._events, self._late_ms)
        self._events, self._late_ms = 0, []
        return sent

    async def _emitted(self) -> None:
        if self._emit is None:
            raise RuntimeError("no target was named")
        await self._emit(self._events)
        self._events += 1

    async def _paced(self, rate: float, probes_per_s: float, probe_port: int) -> None:
        started, probed = time.perf_counter(), 0
        with socket.socket() as probe:
            if probes_per_s:
                probe.connect(("127.0.0.1", probe_port))
                probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                passed = time.perf_counter() - started
                if self._events < passed * rate:
                    self._late_ms.append((passed - self._events / rate) * 1e3)
                while self._events < passed * rate:
                    await self._emitted()
                    if probed < (time.perf_counter() - started) * probes_per_s:
                        probe.send(_command("PUBLISH", "probe", event_text()))
                        probed += 1
                await asyncio.sleep(TICK_S)

    async def _saturate(self, subscribers: int, ahead: int) -> None:
        before = self._received.value
        while True:
            seen = (self._received.value - before) / subscribers
            if self._events - seen < ahead:
                for _ in range(_BURST):
                    await self._emitted()
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(TICK_S)


def _command(*words: str) -> bytes:
    parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


async def _stepwire(url: str, session_ids: Sequence[str], steps: int) -> Emit:
    """Tokens from ``stream_token``, into so many steps of every session in turn."""
    # No queue is asked for anything; a cluster could not hold one.
    os.environ |= {"STEPWIRE_REDIS_URL": url, "STEPWIRE_QUEUE_URL": "redis://127.0.0.1:1"}

    producers: list[Producer] = []

    def begin(session_id: str) -> list[cl.Step]:
        cl.session(session_id).__enter__()
        producers.append(current_frame("the load").scope.producer)
        return [cl.Step(name="s", type="llm", root=True).__enter__() for _ in range(steps)]

    of_session = [copy_context().run(begin, session_id) for session_id in session_ids]
    # Neighbours are of different sessions, or at least of different steps, and do not merge.
    targets = [begun[number] for number in range(steps) for begun in of_session]

    async def emit(number: int) -> None:
        await targets[number % len(targets)].stream_token(event_text())

    for number in range(len(targets)):
        await targets[number].stream_token("begin ")
    await asyncio.gather(*(producer.flush() for producer in producers))
    return emit


async def _nchan(port: int, channels: Sequence[str]) -> Emit:
    """Messages that are posted, each as large as what a client of ours gets for the same token."""
    loop = asyncio.get_running_loop()
    posting = []
    for _ in range(_POSTING):
        _, protocol = await loop.create_connection(_Posting, "127.0.0.1", port)
        posting.append(protocol)
    step_id = "0" * 32

    async def emit(number: int) -> None:
        body = f'{{"id":"{step_id}","field":"output","text":"{escape(event_text())}"}}'
        path = f"/pub/{channels[number % len(channels)]}"
        posting[number % _POSTING].post(path, body)

    return emit


class _Posting(asyncio.Protocol):
    """One connection that is posted to, one request after the other."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._busy = False
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.WriteTransport):
            raise TypeError("it cannot be written to")
        self._transport = transport

    def post(self, path: str, body: str) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        self._waiting.append(f"{head}{body}".encode())
        if not self._busy:
            self._send()

    def data_received(self, data: bytes) -> None:
        if not data.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")):
            raise RuntimeError(f"nchan refused a message: {data[:200]!r}")
        self._busy = False
        if self._waiting:
            self._send()

    def _send(self) -> None:
        if self._transport is None:
            raise RuntimeError("not connected")
        self._busy = True
        self._transport.write(self._waiting.popleft())


async def _served(pipe: Pipe, received: c_uint64) -> None:
    generator = _Generator(received)
    messages: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: messages.put_nowait(pipe.recv()))
    while True:
        pipe.send(await generator.told(await messages.get()))


def _serve(pipe: Pipe, received: c_uint64) -> None:
    asyncio.run(_served(pipe, received))
