"""Many clients in one process of their own, which does little more than count what arrives."""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Sequence
from ctypes import c_uint64
from dataclasses import dataclass, field
from typing import Final

from remote import Pipe, Remote, counter

MARK: Final = b'"text":"at '
"""Stands once in every event of the load, in stepwire's and in the peer's."""

_KEPT: Final = len(MARK) - 1
_BUFFER_BYTES: Final = 1 << 18
_AT_ONCE: Final = 100
"""Connections that are being opened; servers have a backlog."""

_SENT_AT: Final = re.compile(rb"at (\d+) ")


def event_text() -> str:
    """A token that carries the time at which it was made."""
    return f"at {time.monotonic_ns()} "


@dataclass(frozen=True, slots=True)
class Stream:
    """What to ask of whom, and what its answer has in it once the stream is live."""

    port: int
    request: bytes
    ready: bytes
    group: str = "events"

    @classmethod
    def of(cls, port: int, path: str, ready: bytes) -> Stream:
        """A stream of Server-Sent Events."""
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        return cls(port, request.encode(), ready)


class Clients:
    """The process with the clients, as seen from outside."""

    def __init__(self) -> None:
        self._received = counter()
        self._remote = Remote(_serve, self._received)

    @property
    def pid(self) -> int:
        return self._remote.pid

    @property
    def received(self) -> c_uint64:
        """Events that have arrived, at all clients together."""
        return self._received

    def open(self, streams: Sequence[Stream], *, at_once: int = _AT_ONCE) -> None:
        """Open all of them, so many at a time; returns when every one is live."""
        for start in range(0, len(streams), at_once):
            self._remote.tell("open", streams[start : start + at_once])

    def watch(self) -> None:
        """From now on, how long each event took is noted."""
        self._remote.tell("watch")

    def took_ms(self) -> dict[str, list[float]]:
        """The notes so far, by the group of the stream; taking notes ends."""
        took: dict[str, list[float]] = self._remote.tell("took")
        return took

    def close(self) -> None:
        self._remote.close()


@dataclass(slots=True)
class _Open:
    connection: socket.socket
    group: str
    ready: bytes
    tail: bytes = bytes(_KEPT)
    begun: bytearray = field(default_factory=bytearray)


class _Server:
    def __init__(self, pipe: Pipe, received: c_uint64) -> None:
        self._pipe = pipe
        self._received = received
        self._poll = select.epoll()
        self._poll.register(pipe.fileno(), select.EPOLLIN)
        self._streams: dict[int, _Open] = {}
        self._opening = 0
        self._took: dict[str, list[float]] | None = None
        self._buffer = bytearray(_BUFFER_BYTES)
        self._free = memoryview(self._buffer)[_KEPT:]

    def run(self) -> None:
        while True:
            for number, _ in self._poll.poll():
                stream = self._streams.get(number)
                if stream is not None:
                    self._receive(stream)
                elif not self._told():
                    return

    def _told(self) -> bool:
        try:
            message = self._pipe.recv()
        except EOFError:
            return False
        match message:
            case ("open", streams):
                for stream in streams:
                    self._open(stream)
            case ("watch",):
                self._took = {}
                self._pipe.send(None)
            case _:
                self._pipe.send(self._took or {})
                self._took = None
        return True

    def _open(self, stream: Stream) -> None:
        connection = socket.create_connection(("127.0.0.1", stream.port))
        connection.sendall(stream.request)
        self._streams[connection.fileno()] = _Open(connection, stream.group, stream.ready)
        self._poll.register(connection.fileno(), select.EPOLLIN)
        self._opening += 1

    def _receive(self, stream: _Open) -> None:
        size = stream.connection.recv_into(self._free)
        if size == 0:
            raise RuntimeError("a stream has ended")
        buffer, end = self._buffer, _KEPT + size
        if stream.ready:
            self._begin(stream, buffer[_KEPT:end])
            return
        # What the last piece ended with comes first: a mark may be cut in two.
        buffer[:_KEPT] = stream.tail
        self._received.value += buffer.count(MARK, 0, end)
        stream.tail = bytes(buffer[end - _KEPT : end])
        if self._took is not None:
            now_ns = time.monotonic_ns()
            noted = self._took.setdefault(stream.group, [])
            for sent_at in _SENT_AT.findall(buffer, _KEPT, end):
                noted.append((now_ns - int(sent_at)) / 1e6)

    def _begin(self, stream: _Open, piece: bytearray) -> None:
        stream.begun += piece
        if stream.ready in stream.begun:
            stream.ready = b""
            stream.begun.clear()
            self._opening -= 1
            if not self._opening:
                self._pipe.send(None)


def _serve(pipe: Pipe, received: c_uint64) -> None:
    _Server(pipe, received).run()
