"""A connection whose answer is a stream: what is left of it when the head has been sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_END: Final = b"0\r\n\r\n"
"""The last chunk (RFC 9112, 7.1)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What all connections of one server share: kept once, for those that are streams."""

    loop: asyncio.AbstractEventLoop
    connections: set[Any]
    """The connections that the server counts, and tells to shut down."""
    tasks: set[asyncio.Task[None]]
    """The tasks that the server waits for, and ends with itself."""
    send_timeout_s: float
    renewed: Callable[[], asyncio.Protocol]
    """Makes a connection for the requests after the stream."""


class SendWatch:
    """Looks whether a client takes anything of what waits for it, and cuts it off if it does not.

    By aborting: a close would first wait until the client has taken all that was written, which is
    for ever, if it takes nothing.
    """

    __slots__ = ("_is_stuck", "_loop", "_timeout_s", "_timer", "_transport")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        timeout_s: float,
        is_stuck: Callable[[], object] | None = None,
    ) -> None:
        """``is_stuck`` is called before the client is cut off."""
        self._loop, self._transport, self._timeout_s = loop, transport, timeout_s
        self._is_stuck = is_stuck
        self._begin()

    def cancel(self) -> None:
        """It has taken all, or is gone."""
        self._timer.cancel()

    def _begin(self) -> None:
        waits = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._timeout_s, self._look, waits)

    def _look(self, waited: int) -> None:
        if self._transport.get_write_buffer_size() < waited:
            self._begin()
            return
        if self._is_stuck is not None:
            self._is_stuck()
        self._transport.abort()


class StreamConnection(asyncio.Protocol):
    """Takes a connection over from :class:`Connection`, with its request, parser and task: an idle
    stream needs none of them.

    The server still counts it, and tells it to shut down. What the client sends meanwhile waits for
    the end of the stream, unread but for one piece; then a new :class:`Connection` goes on.

    A client that takes no byte for the send timeout of what waits for it is cut off
    (:class:`SendWatch`).
    """

    __slots__ = (
        "__weakref__",
        "_behind",
        "_closes",
        "_ending",
        "_origin",
        "_room",
        "_stuck",
        "is_chunked",
        "is_full",
        "is_lost",
        "transport",
    )

    def __init__(self) -> None:
        self.is_chunked = True
        self.is_full = False
        """Whether so much waits for the client that nothing should be added."""
        self.is_lost = False
        """Whether the client is gone, or the stream over."""
        self._behind = b""
        self._ending = False
        self._room: asyncio.Future[None] | None = None
        self._stuck: SendWatch | None = None

    def take_over(
        self, origin: Origin, transport: asyncio.Transport, *, is_chunked: bool, closes: bool
    ) -> None:
        """From here on the transport is this one's; ``closes``: nothing follows the stream."""
        self._origin, self.transport = origin, transport
        self.is_chunked, self._closes = is_chunked, closes
        origin.connections.add(self)
        transport.set_protocol(self)
        if self.is_full:
            self._watch()
        if transport.is_closing():
            self.connection_lost(None)

    # -- what the stream does --------------------------------------------------------------------

    def write(self, body: bytes) -> None:
        """Send a piece of the body, never empty; dropped if the client is gone."""
        if not self.is_lost:
            self.transport.write(chunk(body) if self.is_chunked else body)

    async def drain(self) -> None:
        """Wait until it is not full, or the client gone."""
        while self.is_full and not self.is_lost:
            if self._room is None:
                self._room = self._origin.loop.create_future()
            await asyncio.shield(self._room)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run it in a task that the server knows, and ends with itself."""
        tasks = self._origin.tasks
        task = self._origin.loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def end(self) -> None:
        """The stream is over: send its end, when there is room, and go on with what follows."""
        self._ending = True
        if self.is_full or self.is_lost:
            return
        if self.is_chunked:
            self.transport.write(_END)
        if self._closes:
            self.break_off()
            return
        self.is_lost = True
        self._unwatch()
        self._origin.connections.discard(self)
        behind, self._behind = self._behind, b""
        connection = self._origin.renewed()
        self.transport.set_protocol(connection)
        connection.connection_made(self.transport)
        if behind:
            connection.data_received(behind)
            self._resume_reading()

    def break_off(self) -> None:
        """Close it after what was written; without the last chunk, the client takes that for a
        failure of the network. The server waits until it is gone."""
        if self.is_lost:
            return
        self.is_lost = True
        self._unwatch()
        if self.is_full:
            self.transport.abort()
        else:
            self._resume_reading()
            self.transport.close()

    def abort(self) -> None:
        """Cut it off: the client sees that the answer is not whole."""
        self.transport.abort()

    # -- for what is made of it ------------------------------------------------------------------

    def lost(self) -> None:
        """The client is gone."""

    def cut(self) -> None:
        """The client is cut off, since it takes nothing; :meth:`lost` follows."""

    def has_room(self) -> None:
        """What waited for the client has been taken."""

    # -- what the transport and the server say ---------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.is_lost:
            # The last answer is out: the client may still read it if nothing is left unread.
            return
        try:
            httptools.HttpRequestParser(self).feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            # Not a request: nothing can be answered any more.
            self.transport.close()
            return
        # A request behind this one, whose turn has not come (RFC 9112, 9.3.2).
        self._behind += data
        self.transport.pause_reading()

    def pause_writing(self) -> None:
        self.is_full = True
        self._watch()

    def resume_writing(self) -> None:
        self.is_full = False
        self._unwatch()
        self._make_room()
        if self._ending:
            self.end()
        elif not self.is_lost:
            self.has_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._origin.connections.discard(self)
        self.is_full = False
        self._unwatch()
        if self.is_lost:
            return
        # The kernel has given it up (TCP_USER_TIMEOUT), a moment before this process would have.
        if isinstance(exc, TimeoutError):
            self.cut()
        self.is_lost = True
        self._make_room()
        self.lost()

    def shutdown(self) -> None:
        """Called by the server, which ends the streams by themselves: nothing follows this one."""
        self._closes = True

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def _resume_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _watch(self) -> None:
        origin = self._origin
        self._stuck = SendWatch(origin.loop, self.transport, origin.send_timeout_s, self._is_stuck)

    def _unwatch(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _is_stuck(self) -> None:
        if not self.is_lost:
            self.cut()


def chunk(body: bytes) -> bytes:
    """A chunk of HTTP/1.1 (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)
