"""An adapter between uvicorn and the application, for the requests that need one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


CROWDED: Final = "stepwire.crowded"
"""The ASGI extension of a request on a connection above the limit: it must not stay."""


class AnsweringConnection(Protocol):
    """The part of a connection that its exchanges use."""

    transport: asyncio.Transport
    flow: FlowControl
    is_chunked: bool

    def close_after_answer(self) -> None: ...


class Exchange:
    """The application, for one request of HTTP/1.0 or one with ``Expect: 100-continue``.

    A client of HTTP/1.0 does not know chunks: a body of unknown length ends with the connection
    (RFC 9112, 6.1 and 6.3). And if the final answer is given before the body was asked for, nobody
    knows whether the client will still send it: the connection closes (RFC 9110, 10.1.1).
    """

    cycle: RequestResponseCycle

    def __init__(self, connection: AnsweringConnection, application: ASGIApp) -> None:
        self._connection = connection
        self._application = application
        self._is_plain = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def adapted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begin(scope, message)
            elif self._is_plain and message.get("body"):
                await self._write(message["body"])
                message = {**message, "body": b""}
            await send(message)

        await self._application(scope, receive, adapted)

    async def _write(self, body: bytes) -> None:
        await self._connection.flow.drain()
        if not self._connection.transport.is_closing():
            self._connection.transport.write(body)

    def _begin(self, scope: Scope, start: Message) -> None:
        if self.cycle.waiting_for_100_continue:
            self.cycle.keep_alive = False
        if scope["http_version"] == "1.0" and scope["method"] != "HEAD":
            names = {name.lower() for name, _ in start.get("headers", ())}
            self._is_plain = b"content-length" not in names
        if self._is_plain:
            self.cycle.chunked_encoding = False
            self._connection.is_chunked = False


class Outlet(asyncio.Transport):
    """The transport of an answer to a request with a body: its ``close`` lets the client read it.

    uvicorn closes when the answer is out, whether or not the body has come.
    """

    def __init__(self, connection: AnsweringConnection) -> None:
        super().__init__()
        self._connection = connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._connection.transport.write(data)

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.close_after_answer()
