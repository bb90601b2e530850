"""A TCP proxy in front of a server: connections that fall silent, an address that moves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards each connection to ``port``, as that is when the connection comes.

    A connection that is silenced stays open, and nothing goes through it any more in either
    direction: as behind a NAT that has forgotten it, or on a host that is paused.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.silences: Callable[[bytes], bool] = lambda _: False
        """Asked about all that a client sends: whether its connection falls silent with that."""
        self.silenced = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._pairs: list[_Pair] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return self.url_of("")

    def url_of(self, user: str) -> str:
        """With ``name:password@`` as user."""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def silence_all(self) -> int:
        """Let all open connections fall silent, and return their number; new ones work."""
        live = [pair for pair in self._pairs if not (pair.closed.is_set() or pair.silent.is_set())]
        for pair in live:
            pair.silent.set()
        return len(live)

    def cut_all(self) -> None:
        """Close all connections that are open now; one that is made because of it is left alone."""
        for pair in tuple(self._pairs):
            pair.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            # A thread that waits for connections notices this, not the close alone.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            pair = _Pair(client, server)
            self._pairs.append(pair)
            threading.Thread(target=self._forward, args=(pair,), daemon=True).start()
            threading.Thread(target=pair.pump, args=(server, client), daemon=True).start()

    def _forward(self, pair: _Pair) -> None:
        def look(data: bytes) -> None:
            if self.silences(data):
                self.silenced += 1
                pair.silent.set()

        pair.pump(pair.client, pair.server, look)


class _Pair:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.silent = threading.Event()
        self.closed = threading.Event()

    def pump(
        self,
        source: socket.socket,
        target: socket.socket,
        look: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                look(data)
                if not self.silent.is_set():
                    target.sendall(data)
        if not self.silent.is_set():
            self.close()

    def close(self) -> None:
        self.closed.set()
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
