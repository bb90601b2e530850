"""What stands between processes and Redis: an address that moves, and a NAT that forgets."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_PIECE_BYTES = 64 * 1024


@dataclass(slots=True, eq=False)
class _Link:
    """One connection, both ends of it."""

    ends: tuple[socket.socket, socket.socket]
    is_silent: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Forwards TCP connections on a port of its own to ``target_port``.

    Where new connections lead can be changed at any time; those that are there stay, as they do
    when a virtual address moves.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._closed = threading.Event()
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    @property
    def url(self) -> str:
        """Its address, as of a Redis."""
        port: int = self._listener.getsockname()[1]
        return f"redis://127.0.0.1:{port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def silence(self) -> int:
        """Forget the connections that are there: nothing is forwarded on them any more, and neither
        end is told; how many that are. New ones work."""
        with self._lock:
            forgotten, self._links = self._links, set()
        for link in forgotten:
            link.is_silent.set()
        return len(forgotten)

    def close(self) -> None:
        """End all of it."""
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link((client, server))
            with self._lock:
                self._links.add(link)
            for source, sink in ((client, server), (server, client)):
                forward = threading.Thread(target=self._forward, args=(link, source, sink))
                forward.daemon = True
                forward.start()

    def _forward(self, link: _Link, source: socket.socket, sink: socket.socket) -> None:
        while True:
            try:
                piece = source.recv(_PIECE_BYTES)
                if link.is_silent.is_set():
                    break
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)
            except OSError:
                with self._lock:
                    self._links.discard(link)
                if not link.is_silent.is_set():
                    link.close()
                    return
                break
        # Neither end hears of it, not even that the other one is gone.
        self._closed.wait()
        link.close()
