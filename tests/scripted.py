"""A server that answers by a script, over real connections: what no gateway says on demand."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from typing import Any, Final

from http_server import serving

LIMIT_S: Final = 30


class Hold:
    """In place of a piece: nothing comes any more until the test is over."""


@dataclass(frozen=True)
class Reply:
    """One answer, whose body comes in pieces."""

    pieces: Sequence[str | bytes | Hold] = ()
    status: int = 200
    mime: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False
    """The connection ends before the body does."""
    is_silent: bool = False
    """The connection ends before there is an answer."""


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    """By their name in small letters."""
    body: bytes


def stream(*pieces: str | bytes | Hold, breaks: bool = False) -> Reply:
    return Reply(pieces, breaks=breaks)


def answer(body: object, status: int = 200, **headers: str) -> Reply:
    return Reply((json.dumps(body),), status, "application/json", headers)


def problem(status: int, code: str, **headers: str) -> Reply:
    body = json.dumps({"status": status, "code": code, "detail": f"it is {code}"})
    return Reply((body,), status, "application/problem+json", headers)


GONE: Final = problem(404, "session_not_found")
"""The answer after the end of the script."""


class Script:
    """The answers that are to come, and the requests that came."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.over = Event()
        self.refused_token: str | None = None
        """Requests with it get 401, whichever comes when, and none of the answers."""
        self._replies = list(replies)
        self._lock = Lock()

    def next(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            if (
                self.refused_token
                and asked.headers.get("authorization") == f"Bearer {self.refused_token}"
            ):
                return problem(401, "unauthenticated")
            return self._replies.pop(0) if self._replies else GONE

    @property
    def cursors(self) -> list[str | None]:
        """The cursor of each request."""
        return [asked.headers.get("last-event-id") for asked in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, self._body(headers))
        reply = self.script.next(asked)
        self.close_connection = True
        if reply.is_silent:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        with suppress(OSError):
            self._give(reply)

    do_POST = do_GET  # noqa: N815 - as the library calls them
    do_PUT = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def _give(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", reply.mime)
        self.send_header("Connection", "close")
        if reply.status == HTTPStatus.NO_CONTENT:
            self.end_headers()
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in reply.pieces:
            if isinstance(piece, Hold):
                self.script.over.wait()
            elif piece:
                data = piece.encode() if isinstance(piece, str) else piece
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        if not reply.breaks:
            self.wfile.write(b"0\r\n\r\n")

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    # Clients that connect at the same time: beyond it each waits for a second and more.
    request_queue_size = 256


@contextmanager
def scripted(*replies: Reply) -> Iterator[Script]:
    """A server that gives one answer to each request, in this order."""
    script = Script(replies)
    handler = type("Handler", (_Handler,), {"script": script})
    with serving(_Server(("127.0.0.1", 0), handler)) as script.url:
        try:
            yield script
        finally:
            script.over.set()


def frame(seq: int, type_: str = "step.delta", epoch: int = 1, **data: Any) -> str:
    """A frame of an event."""
    return f"id: {epoch}-{seq}\nevent: {type_}\ndata: {json.dumps(data)}\n\n"


def snapshot(seq: int, epoch: int = 1, **lists: Any) -> str:
    """A frame of a snapshot, empty but for these lists."""
    empty: dict[str, Any] = {"runs": [], "steps": [], "elements": [], "asks": [], "feedback": []}
    data = {"session_id": "s", "cursor": f"{epoch}-{seq}", **empty, **lists}
    return frame(seq, "snapshot", epoch, **data)


RETRY: Final = "retry: 1\n\n"
"""The first line of a stream: a client comes back after a millisecond."""
