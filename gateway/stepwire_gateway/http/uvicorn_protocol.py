"""A client's connection, with what event streams need beyond ASGI."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from stepwire_gateway.http.connection_end import Bounds, Phase
from stepwire_gateway.http.requests import RequestReader
from stepwire_gateway.http.stream_connection import Origin, SendWatch
from stepwire_gateway.hub.feed import WRITE_BYTES

if TYPE_CHECKING:
    from stepwire_gateway.http.stream_connection import StreamConnection

DIRECT: Final = "stepwire.direct"
"""The ASGI extension with which a server hands its connection to a stream, as ``connection``."""

_MAX_INT: Final = 2**31 - 1


class KeptHead:
    """The transport of an answer whose head is not sent yet: it leaves with what follows it."""

    __slots__ = ("_transport", "head")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.head = b""

    def write(self, data: bytes) -> None:
        self.head += data

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class Connection(RequestReader):
    """One client's connection. A stream that has sent its head takes it over
    (:class:`StreamConnection`).

    An ASGI ``send`` is a chain of coroutines, and needs a task to call it: for small events that is
    most of what they cost, and for an idle stream most of what it takes.

    A client that takes no byte for the send timeout of what waits for it is cut off
    (:class:`SendWatch`), which uvicorn does not do by itself. Of a client that has vanished the
    kernel would believe for a quarter of an hour that it may come back (``TCP_USER_TIMEOUT``).
    """

    _stuck: SendWatch | None = None
    origin: ClassVar[Origin | None] = None
    """One server has one class of connections (:meth:`within`)."""

    @classmethod
    def within(cls, bounds: Bounds) -> type[Connection]:
        """The class that a server makes its connections of."""
        return type(cls.__name__, (cls,), {"bounds": bounds, "origin": None})

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

    @property
    def can_hand_over(self) -> bool:
        """Whether nothing of another request has come, and nothing of this one is still to come."""
        return self._phase is Phase.BETWEEN and not self.pipeline

    def keep_head(self) -> KeptHead:
        """Let the head of the answer, which is sent next, be kept for :meth:`hand_over`."""
        self.cycle.transport = kept = KeptHead(self.transport)  # type: ignore[assignment]
        return kept

    def hand_over(self, stream: StreamConnection) -> None:
        """Let the stream have the connection, when its head has been made.

        For the server the request is over then, without an end; nothing of this object is used any
        more.
        """
        self._disarm()
        self._unset_keepalive_if_required()
        transport, cycle = self.transport, self.cycle
        self.connections.discard(self)
        # It would log that a response has not been completed.
        cycle.disconnected = True
        closes = not cycle.keep_alive
        self._unwatch()
        # They hold each other.
        self.app, self.parser = self._application, None  # type: ignore[assignment]
        self.scope = self.cycle = None  # type: ignore[assignment]
        stream.is_full = self.flow.write_paused
        stream.take_over(
            self._shared_origin(), transport, is_chunked=self.is_chunked, closes=closes
        )

    def _shared_origin(self) -> Origin:
        cls = type(self)
        if cls.origin is None:
            renewed = partial(cls, self.config, self.server_state, self.app_state, self.loop)
            timeout_s = self.bounds.send_timeout_s
            cls.origin = Origin(self.loop, self.connections, self.tasks, timeout_s, renewed)
        return cls.origin

    def cut(self) -> None:
        """End it after what was written, in mid-body: the client sees that this is not the end."""
        self.cycle.disconnected = True
        self.transport.close()

    # -- what the transport says -----------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unwatch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn does so only if there is no error: else its timer keeps all of the request.
        self._unset_keepalive_if_required()
        self._unwatch()

    def _watch(self) -> None:
        self._stuck = SendWatch(self.loop, self.transport, self.bounds.send_timeout_s)

    def _unwatch(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
