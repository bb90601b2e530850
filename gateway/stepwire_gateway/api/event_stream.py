"""The response of a stream: what one reading brings, written to one client."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Protocol

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.responses import StreamingResponse

from stepwire_gateway.http.uvicorn_protocol import DIRECT
from stepwire_gateway.hub.feed import WRITE_BYTES
from stepwire_gateway.hub.snapshot_writer import joined_aside
from stepwire_gateway.hub.written_snapshot import PART_BYTES
from stepwire_gateway.metrics import counter

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.http.uvicorn_protocol import Connection
    from stepwire_gateway.hub.frames import Frame
    from stepwire_gateway.hub.reading import Reading
    from stepwire_gateway.hub.session_list import ListReading
    from stepwire_gateway.metrics import Metrics
    from stepwire_gateway.services import Services

FRAMES: Final = counter("frames", "Events handed to clients.")
FRAME_BYTES: Final = counter("frame_bytes", "The same in bytes, without comments and hints.")
STREAMS_CUT: Final = counter("streams_cut", "Clients that took nothing for the send timeout.")

RETRY_MS: Final = 1_000
"""A client that lost its stream comes back after this long."""

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

    async def passed(self, frames: Sequence[Frame]) -> list[bytes]:
        """What goes out of these frames."""
        ...

    def mark(self) -> bytes:
        """The last words to a client that is to come back, here or at another gateway."""
        ...

    def ended(self) -> bytes:
        """The last words when there is nothing to read any more: the session is gone."""
        ...


class EventStream(StreamingResponse):
    """The stream of one reading, which it closes in any case.

    Where the server hands over its connection (:data:`DIRECT`), one task is all that a stream
    has, and it sleeps while the client keeps up: the hub writes to the connection. Under any other
    server the library sends, through ASGI.
    """

    def __init__(
        self,
        reading: Reading | ListReading,
        services: Services,
        caller: Caller,
        selection: Passing,
    ) -> None:
        self._pieces = _encoded(reading, services.metrics, caller, selection)
        super().__init__(self._pieces, headers=_HEADERS, media_type="text/event-stream")
        self._reading = reading
        self._metrics = services.metrics
        self._frames = services.metrics.counts(FRAMES)
        self._frame_bytes = services.metrics.counts(FRAME_BYTES)
        self._caller = caller
        self._writes_through = selection.is_everything
        self._settings = services.settings
        self._connection: Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._written_at = self._loop.time()
        self._pinging: asyncio.TimerHandle | None = None
        self._is_within = False
        """Part of an event is written: nothing may come in between."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = scope.get("extensions", {}).get(DIRECT)
        try:
            if scope["method"] == "HEAD":
                # RFC 9110, 9.3.2: the headers of a stream that is not opened.
                await self._begin(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            elif direct is None:
                response = EventSourceResponse(
                    self._pieces,
                    sep="\n",
                    ping=self._settings.ping_s,
                    ping_message_factory=lambda: _PING,
                    send_timeout=self._settings.send_timeout_s,
                )
                response.raw_headers = self.raw_headers
                await response(scope, receive, send)
            else:
                await self._write_to(direct["connection"], send)
        except* SendTimeoutError:
            self._cut()
            raise
        finally:
            # Here too: an iterator that was never begun has no end.
            await self._reading.aclose()

    async def _begin(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )

    async def _write_to(self, connection: Connection, send: Send) -> None:
        await self._begin(send)
        self._connection = connection
        connection.begin_stream(
            on_lost=self._reading.stop,
            on_stuck=self._cut,
        )
        if self._writes_through:
            self._reading.write_through = self._write_through
        self._ping_in(self._settings.ping_s)
        try:
            async with aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    await self._write_all(connection, piece)
                    del piece
            # Still watched: this, too, waits until the client has taken what was written.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            connection.end_stream()
            if self._pinging is not None:
                self._pinging.cancel()

    async def _write_all(self, connection: Connection, piece: bytes) -> None:
        """Write something that may be a whole snapshot, in parts: each is copied on its way."""
        self._is_within = len(piece) > PART_BYTES
        for at in range(0, len(piece), PART_BYTES):
            await connection.drain()
            self._write(connection, piece[at : at + PART_BYTES])
            if self._is_within:
                await asyncio.sleep(0)
        self._is_within = False

    def _write_through(self, frames: Sequence[Frame], encoded: bytes) -> bool:
        connection = self._connection
        if connection is None or connection.is_full:
            return False
        # For each event of each client, so without calls: `has_expired`, and `add` of a metric.
        expires_at = self._caller.expires_at
        if expires_at is not None and time.time() >= expires_at:
            return False
        if len(encoded) > WRITE_BYTES:
            # More than may be added at once: the task takes it in batches.
            return False
        self._frames[()] += len(frames)
        self._frame_bytes[()] += len(encoded)
        self._written_at = self._loop.time()
        connection.write(encoded)
        return True

    def _write(self, connection: Connection, data: bytes) -> None:
        self._written_at = self._loop.time()
        connection.write(data)

    def _ping_in(self, delay_s: float) -> None:
        self._pinging = self._loop.call_later(delay_s, self._ping)

    def _ping(self) -> None:
        """Send a ping after so much silence; a busy stream pays only for this check."""
        left_s = self._written_at + self._settings.ping_s - self._loop.time()
        if left_s > 0:
            self._ping_in(left_s)
            return
        if self._connection and not (self._connection.is_full or self._is_within):
            self._write(self._connection, _PING_BYTES)
        self._ping_in(self._settings.ping_s)

    def _cut(self) -> None:
        self._metrics.add(STREAMS_CUT)


async def _encoded(
    reading: Reading | ListReading, metrics: Metrics, caller: Caller, selection: Passing
) -> AsyncGenerator[bytes, None]:
    """The bytes of the stream: all waiting frames in few writes, and none after the token's end."""
    leaving = _leave_in_time(reading, caller)
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        async with aclosing(reading.batches()) as batches:
            async for frames in batches:
                if caller.has_expired:
                    # A slow client was still taking what came before.
                    return
                if passed := await selection.passed(frames):
                    encoded = await joined_aside(passed)
                    metrics.add(FRAMES, amount=len(passed))
                    metrics.add(FRAME_BYTES, amount=len(encoded))
                    yield encoded
                    del encoded
                if selection.over:
                    return
                # A snapshot among them would be kept for as long as nothing comes.
                del frames, passed
        if reading.stopped:
            # This process is leaving, or the token has nearly ended: not all come back at once.
            retry_ms = random.randint(RETRY_MS // 2, 2 * RETRY_MS)  # noqa: S311 - spread
            yield selection.mark() + f"retry: {retry_ms}\n\n".encode()
        elif last := selection.ended():
            yield last
    finally:
        if leaving is not None:
            leaving.cancel()
        await reading.aclose()


def _leave_in_time(reading: Reading | ListReading, caller: Caller) -> asyncio.TimerHandle | None:
    """End a stream before its token ends, at a moment of its own.

    Tokens are often made in one moment, and clients that all came back in one would be many.
    """
    if caller.expires_at is None:
        return None
    left_s = max(0.0, caller.expires_at - time.time())
    spread_s = min(EXPIRY_SPREAD_S, left_s * EXPIRY_SPREAD_SHARE)
    # The last quarter is left to an event loop that is late.
    at_s = left_s - random.uniform(spread_s / 4, spread_s)  # noqa: S311 - spread
    return asyncio.get_running_loop().call_later(at_s, reading.stop)
