"""HTTP/1.1 by hand: requests that no client library sends, and exactly what comes back."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; ``body`` is what its framing says, unchunked."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.headers if field == name]

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


class Wire:
    """One connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

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
        self._file.close()
        self.socket.close()

    def send(self, *parts: bytes) -> Self:
        """Send these, each as a packet of its own; what a closed connection refuses is lost."""
        try:
            for part in parts:
                self.socket.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def answer(self, method: str = "GET") -> Answer:
        """The next response; one that ends with the connection is read to its end."""
        head = self.head()
        length = head.all("content-length")
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            body = b""
        elif head.all("transfer-encoding"):
            body = b"".join(iter(self.chunk, b""))
        else:
            body = self._file.read(int(length[0])) if length else self._file.read()
        return Answer(head.status, head.headers, body)

    def head(self) -> Answer:
        """The head of the next response."""
        version, status = self.line().split(" ")[:2]
        assert version == "HTTP/1.1"
        headers = []
        while line := self.line():
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
        return Answer(int(status), headers, b"")

    def line(self) -> str:
        line = self._file.readline()
        assert line, "the server closed the connection without an answer"
        return line.decode().rstrip("\r\n")

    def chunk(self) -> bytes:
        chunk = self._file.read(int(self.line(), 16))
        assert self.line() == ""
        return chunk

    def end(self) -> bytes:
        """All bytes until the server closes the connection.

        Raises:
            ConnectionResetError: it is not closed in order.
        """
        return self._file.read()

    def rest(self) -> bytes:
        """All bytes until the server closes the connection, in whichever way."""
        try:
            return self.end()
        except ConnectionResetError:
            return b""

    @property
    def is_closed(self) -> bool:
        """Whether the server closes it, and says nothing before."""
        return self.rest() == b""


def request(method: str, path: str, *fields: str, version: str = "1.1") -> bytes:
    """The head of a request to this machine."""
    host = (
        () if any(field.lower().startswith("host:") for field in fields) else ("Host: localhost",)
    )
    lines = (f"{method} {path} HTTP/{version}", *host, *fields, "", "")
    return "\r\n".join(lines).encode()
