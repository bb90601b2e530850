"""A client's connection, with what event streams need beyond ASGI."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from stepwire_gateway.http.connection_end import Bounds
from stepwire_gateway.http.requests import RequestReader
from stepwire_gateway.hub.feed import WRITE_BYTES

DIRECT: Final = "stepwire.direct"
"""The ASGI extension with which a server hands its connection to a stream, as ``connection``."""

_MAX_INT: Final = 2**31 - 1


class Connection(RequestReader):
    """One client's connection. A stream that has begun its response writes the body to it directly.

    An ASGI ``send`` is a chain of coroutines, and needs a task to call it: for small events that is
    most of what they cost. uvicorn's own state is left as it is, so the response ends with an ASGI
    ``send`` as usual.

    A client that takes no byte for the send timeout of what waits for it, be it a stream or any
    other answer, is cut off by aborting: uvicorn only closes, which first waits until the client
    has taken all that was written: for ever, if it takes nothing. Of a client that has vanished the
    kernel would believe for a quarter of an hour that it may come back (``TCP_USER_TIMEOUT``).
    """

    is_full = False
    """Whether so much waits for the client that nothing should be added."""

    _on_lost: Callable[[], None] | None = None
    _on_stuck: Callable[[], None] | None = None
    _stuck: asyncio.TimerHandle | None = None

    @classmethod
    def within(cls, bounds: Bounds) -> type[Connection]:
        """The class that a server makes its connections of."""
        return type(cls.__name__, (cls,), {"bounds": bounds})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection.family == socket.AF_UNIX:
            return
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # The kernel would take megabytes for each of them before we see that it is stuck.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, WRITE_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            timeout_ms = min(max(1, int(self.bounds.send_timeout_s * 1000)), _MAX_INT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)

    def on_headers_complete(self) -> None:
        self.scope.setdefault("extensions", {})[DIRECT] = {"connection": self}
        super().on_headers_complete()

    # -- for the stream whose response has begun -------------------------------------------------

    def begin_stream(self, *, on_lost: Callable[[], None], on_stuck: Callable[[], None]) -> None:
        """From here on the body is written with :meth:`write`.

        ``on_lost`` is called when the client is gone; ``on_stuck`` before that, if it is cut off.
        """
        self._on_lost, self._on_stuck = on_lost, on_stuck
        if self.transport.is_closing():
            on_lost()

    def end_stream(self) -> None:
        """Nothing more is written here."""
        self._on_lost = self._on_stuck = None

    async def drain(self) -> None:
        """Wait until it is not full, or the client gone."""
        if self.is_full:
            await self.flow.drain()

    def write(self, body: bytes) -> None:
        """Send a piece of the body, never empty; dropped if the client is gone."""
        if not self.transport.is_closing():
            self.transport.write(_chunk(body) if self.is_chunked else body)

    def cut(self) -> None:
        """End it after what was written, in mid-body: the client sees that this is not the end."""
        self.cycle.disconnected = True
        self.transport.close()

    # -- what the transport says -----------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_full = True
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_full = False
        self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_full = False
        self._unwatch()
        # The kernel has given it up (TCP_USER_TIMEOUT), a moment before this process would have.
        if isinstance(exc, TimeoutError) and self._on_stuck is not None:
            self._on_stuck()
        if self._on_lost is not None:
            self._on_lost()

    def _watch(self) -> None:
        waits = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(self.bounds.send_timeout_s, self._look, waits)

    def _unwatch(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _look(self, waited: int) -> None:
        if self.transport.get_write_buffer_size() < waited:
            self._watch()
            return
        if self._on_stuck is not None:
            self._on_stuck()
        self.transport.abort()


@lru_cache(maxsize=1)
def _chunk(body: bytes) -> bytes:
    """A chunk of HTTP/1.1 (RFC 9112, 7.1): made once for all clients of a session."""
    return b"%x\r\n%b\r\n" % (len(body), body)
