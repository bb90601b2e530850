"""The response of a stream: what one reading brings, written to one client."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Protocol

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.responses import Response, StreamingResponse

from stepwire_gateway.auth.limits import taken_over
from stepwire_gateway.http.request_trace import DETACHED
from stepwire_gateway.http.stream_connection import StreamConnection, chunk
from stepwire_gateway.http.uvicorn_protocol import DIRECT
from stepwire_gateway.hub.feed import FRAME_BYTES, FRAMES, WRITE_BYTES
from stepwire_gateway.hub.reading import Reading
from stepwire_gateway.hub.snapshot_writer import joined_aside
from stepwire_gateway.hub.written_snapshot import PART_BYTES
from stepwire_gateway.metrics import counter

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.http.uvicorn_protocol import Connection
    from stepwire_gateway.hub.frames import Frame
    from stepwire_gateway.hub.session_list import ListReading
    from stepwire_gateway.services import Services

logger = logging.getLogger("stepwire.gateway")

STREAMS_CUT: Final = counter("streams_cut", "Clients that took nothing for the send timeout.")

RETRY_MS: Final = 1_000
"""A client that lost its stream comes back after this long, while there are few."""

BACK_PER_S: Final = 1_000
"""When there are more streams than this, their clients are told to come back over so much more time
that no more come in a second."""

EXPIRY_SPREAD_S: Final = 10.0
EXPIRY_SPREAD_SHARE: Final = 0.2
"""Streams end this long before their token, or this part of what it has left, at the most."""

_PING: Final = ServerSentEvent(comment="ping", sep="\n")
_PING_BYTES: Final = _PING.encode()
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
"""Those of sse-starlette, but ``Connection``, which is the server's (RFC 9113, 8.2.2)."""

_RAW_HEADERS: Final = StreamingResponse(
    (), headers=_HEADERS, media_type="text/event-stream"
).raw_headers


class Passing(Protocol):
    """What of the frames of a reading goes out to one client, and in which form."""

    @property
    def is_everything(self) -> bool:
        """Whether frames go out as they are."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing more can go out."""
        ...

    def opening(self) -> bytes:
        """The first words, before anything was read."""
        ...

    async def passed(self, frames: Sequence[Frame]) -> list[bytes]:
        """What goes out of these frames."""
        ...

    def mark(self) -> bytes | None:
        """The last words to a client that is to come back, here or at another gateway. None: the
        response has no end, as after a failure of the network."""
        ...

    def ended(self) -> bytes | None:
        """The last words when there is nothing to read any more: the session is gone. None as
        above."""
        ...


class _NoEnd(Exception):
    """A response is to have no end."""


class EventStream(Response):
    """The stream of one reading, which it closes in any case.

    Where the server hands over its connection (:data:`DIRECT`), the response is over when the
    stream has caught up (:class:`LiveStream`). Under any other server the library sends, through
    ASGI.
    """

    def __init__(
        self,
        reading: Reading | ListReading,
        services: Services,
        caller: Caller,
        selection: Passing,
    ) -> None:
        self._content = _Content(reading, services, caller, selection)
        # As the library's classes make them, once for all.
        self.status_code, self.background = 200, None
        self.raw_headers = list(_RAW_HEADERS)
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = scope.get("extensions", {}).get(DIRECT)
        connection: Connection | None = direct and direct["connection"]
        content, settings = self._content, self._services.settings
        is_handed_over = False
        try:
            if scope["method"] == "HEAD":
                # RFC 9110, 9.3.2: the headers of a stream that is not opened.
                await self._begin(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            elif connection is not None and connection.can_hand_over:
                kept = connection.keep_head()
                await self._begin(send)
                stream = LiveStream(content, self._services, taken_over(scope))
                scope[DETACHED] = stream
                connection.hand_over(stream)
                # From here on it is the stream that closes the reading.
                is_handed_over = True
                await stream.run(kept.head)
            else:
                response = EventSourceResponse(
                    content.pieces(),
                    sep="\n",
                    ping=settings.ping_s,
                    ping_message_factory=lambda: _PING,
                    send_timeout=settings.send_timeout_s,
                )
                # Without `Connection`, which is the server's.
                response.raw_headers = self.raw_headers
                await response(scope, receive, send)
        except* _NoEnd:
            # A server that is not ours sees a response without an end, and does the same.
            if connection is not None:
                connection.cut()
        except* SendTimeoutError:
            self._services.metrics.add(STREAMS_CUT)
            raise
        finally:
            # Here too: an iterator that was never begun has no end.
            if not is_handed_over:
                await content.reading.aclose()

    async def _begin(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )


class _Content:
    """The bytes of a stream: all waiting frames in few writes, and none after the token's end."""

    __slots__ = ("_services", "caller", "is_over", "leave_at_s", "reading", "selection")

    def __init__(
        self,
        reading: Reading | ListReading,
        services: Services,
        caller: Caller,
        selection: Passing,
    ) -> None:
        self.reading = reading
        self.caller = caller
        self.selection = selection
        self.is_over = False
        """Nothing comes any more."""
        self.leave_at_s = _leaves_at_s(caller)
        self._services = services

    def begin(self) -> bytes:
        """What a stream begins with; with the hint that counts if its connection is lost."""
        streams = self._services.hub.streams
        retry_ms = RETRY_MS if streams <= BACK_PER_S else spread_ms(streams)
        return self.selection.opening() + f"retry: {retry_ms}\n\n".encode()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All of it, for a server that takes it piece by piece."""
        loop = asyncio.get_running_loop()
        leaving = None
        if self.leave_at_s is not None:
            leaving = loop.call_at(self.leave_at_s, self.reading.stop)
        try:
            yield self.begin()
            async with aclosing(self.further()) as pieces:
                async for piece in pieces:
                    yield piece
            if (end := self.end()) is None:
                raise _NoEnd
            if end:
                yield end
        finally:
            if leaving is not None:
                leaving.cancel()
            await self.reading.aclose()

    async def further(self) -> AsyncGenerator[bytes, None]:
        """What the reading brings; it ends, too, when that is parked."""
        async with aclosing(self.reading.batches()) as batches:
            async for frames in batches:
                if self.caller.has_expired:
                    # A slow client was still taking what came before.
                    self.is_over = True
                    return
                if passed := await self.selection.passed(frames):
                    encoded = await joined_aside(passed)
                    self._services.metrics.add(FRAMES, amount=len(passed))
                    self._services.metrics.add(FRAME_BYTES, amount=len(encoded))
                    yield encoded
                    del encoded
                if self.selection.over:
                    self.is_over = True
                    return
                # A snapshot among them would be kept for as long as nothing comes.
                del frames, passed

    def end(self) -> bytes | None:
        """The last words of a stream; None: it is cut off instead."""
        if self.is_over:
            return b""
        if not self.reading.stopped:
            return self.selection.ended()
        if (mark := self.selection.mark()) is None:
            return None
        # This process is leaving, or the token has nearly ended: not all come back at once.
        retry_ms = spread_ms(self._services.hub.streams)
        return mark + f"retry: {retry_ms}\n\n".encode()


class LiveStream(StreamConnection):
    """A stream with a connection of its own.

    While it catches up, and while it is slow, it has a task. When there is nothing to do but to
    wait for the next event it has none: the feed writes to the connection. A filtered stream is
    always fed by its task.
    """

    __slots__ = (
        "_ahead",
        "_content",
        "_held",
        "_is_over",
        "_is_within",
        "_ping_s",
        "_runs",
        "_services",
        "_written_at",
        "expires_at",
    )

    def __init__(
        self, content: _Content, services: Services, held: tuple[Callable[[], object], ...]
    ) -> None:
        """``held`` is called when the stream is over."""
        super().__init__()
        self._content = content
        self._services = services
        self._held = held
        self._is_over = False
        self._ping_s = services.settings.ping_s
        self._ahead = b""
        """The head, and how the stream begins, until they are sent."""
        self._is_within = False
        """Part of an event is written: nothing may come in between."""
        self._runs = False
        self._written_at = asyncio.get_running_loop().time()
        expires_at = content.caller.expires_at
        self.expires_at = float("inf") if expires_at is None else expires_at
        if content.selection.is_everything and isinstance(content.reading, Reading):
            content.reading.outlet = self

    async def run(self, head: bytes) -> None:
        """Begin; returns when the stream has caught up, or is over."""
        if self.is_lost:
            return
        # Not all that came at once are looked at at once.
        first_s = self._ping_s * random.uniform(0.5, 1)  # noqa: S311 - spread
        self._services.wheel.add(self, self._next_look_s(self._written_at + first_s))
        begin = self._content.begin()
        self._ahead = head + (chunk(begin) if self.is_chunked else begin)
        # With what comes first, or by itself if that has to be waited for.
        self._origin.loop.call_soon(self._send_ahead)
        await self._run()

    async def _run(self) -> None:
        content, self._runs = self._content, True
        try:
            async with aclosing(content.further()) as pieces:
                async for piece in pieces:
                    await self._write_all(piece)
                    del piece
            if not self.is_lost:
                if isinstance(content.reading, Reading) and content.reading.is_parked:
                    return
                if (end := content.end()) is None:
                    self.break_off()
                else:
                    if end:
                        self._put(end)
                    self.end()
            self._over()
        except Exception:  # the boundary of a task of its own
            logger.exception("a stream has failed")
            self._over()
            # Without its end: the client sees that the answer is not whole.
            self._send_ahead()
            self.transport.close()
        except BaseException:
            self._over()
            self.abort()
            raise
        finally:
            self._runs = False

    async def _write_all(self, piece: bytes) -> None:
        """Write something that may be a whole snapshot, in parts: each is copied on its way."""
        self._is_within = len(piece) > PART_BYTES
        for at in range(0, len(piece), PART_BYTES):
            self._put(piece[at : at + PART_BYTES])
            if self._is_within:
                await asyncio.sleep(0)
            await self.drain()
        self._is_within = False

    def _put(self, data: bytes) -> None:
        self._written_at = self._origin.loop.time()
        if self._ahead and len(data) <= WRITE_BYTES and not self.is_lost:
            ahead, self._ahead = self._ahead, b""
            self.transport.write(ahead + (chunk(data) if self.is_chunked else data))
            return
        self._send_ahead()
        self.write(data)

    def _send_ahead(self) -> None:
        if self._ahead and not self.is_lost:
            ahead, self._ahead = self._ahead, b""
            self.transport.write(ahead)

    # -- for the feed ----------------------------------------------------------------------------

    def open_for_feed(self) -> Callable[[bytes], object] | None:
        # In this order: what is sent may fill it.
        self._send_ahead()
        if self.is_full or self.is_lost:
            return None
        return self.transport.write if self.is_chunked else self._write_bare

    def _write_bare(self, chunk: bytes) -> None:
        self.transport.write(chunk[chunk.index(b"\n") + 1 : -2])

    def wake(self) -> None:
        if not (self._runs or self.is_full or self.is_lost):
            self._runs = True
            self.start(self._run())

    # -- for the connection ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        reading = self._content.reading
        if isinstance(reading, Reading):
            reading.unpark()

    def has_room(self) -> None:
        self.wake()

    def lost(self) -> None:
        self._content.reading.stop()
        if not self._runs:
            self._over()

    def cut(self) -> None:
        self._services.metrics.add(STREAMS_CUT)

    # -- time ------------------------------------------------------------------------------------

    def on_time(self, now_s: float) -> float | None:
        if self.is_lost or self._ending:
            return None
        content = self._content
        if content.leave_at_s is not None and now_s >= content.leave_at_s:
            content.leave_at_s = None
            content.reading.stop()
        written_at = self._written_at
        if isinstance(content.reading, Reading) and content.reading.is_parked:
            written_at = max(written_at, content.reading.feed.written_at)
        due_s = written_at + self._ping_s
        if due_s <= now_s:
            if not (self.is_full or self._is_within):
                self._put(_PING_BYTES)
            due_s = now_s + self._ping_s
        return self._next_look_s(due_s)

    def _next_look_s(self, at_s: float) -> float:
        leave_at_s = self._content.leave_at_s
        return at_s if leave_at_s is None else min(at_s, leave_at_s)

    def when_over(self, call: Callable[[], object]) -> None:
        """Call this when the stream is over, however it ends."""
        if self._is_over:
            call()
        else:
            self._held = (*self._held, call)

    def _over(self) -> None:
        self._is_over = True
        reading = self._content.reading
        if isinstance(reading, Reading):
            reading.close()
        else:
            self.start(reading.aclose())
        held, self._held = self._held, ()
        for release in held:
            release()


def spread_ms(streams: int) -> int:
    """When one of so many clients comes back, if all of them lose their streams at once."""
    most_ms = max(2 * RETRY_MS, RETRY_MS // 2 + streams * 1000 // BACK_PER_S)
    return random.randint(RETRY_MS // 2, most_ms)  # noqa: S311 - spread


def _leaves_at_s(caller: Caller) -> float | None:
    """When a stream ends before its token, at a moment of its own, by the clock of the loop.

    Tokens are often made in one moment, and clients that all came back in one would be many.
    """
    if caller.expires_at is None:
        return None
    left_s = max(0.0, caller.expires_at - time.time())
    spread_s = min(EXPIRY_SPREAD_S, left_s * EXPIRY_SPREAD_SHARE)
    # The last quarter is left to an event loop that is late.
    early_s = random.uniform(spread_s / 4, spread_s)  # noqa: S311 - spread
    return asyncio.get_running_loop().time() + left_s - early_s
