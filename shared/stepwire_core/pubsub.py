"""One pub/sub connection for all that a process listens to."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from redis.asyncio import ConnectionPool

from stepwire_core.connections import UNAVAILABLE, socket_options
from stepwire_core.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

logger = logging.getLogger("stepwire.pubsub")

CONFIRM_TIMEOUT_S: Final = 5.0
_CHUNK: Final = 500
_RECONNECT_S: Final = (0.05, 2.0)


class PubSubLink:
    """Subscribes to channels and hands over their messages, in order, on the event loop.

    redis-py's own ``PubSub`` costs ten times as much per message; reading replies from the
    connection is all that is needed here. Messages are lost while the connection is down:
    ``on_restored`` is awaited after each reconnect, when every channel is confirmed again.
    """

    def __init__(
        self,
        url: str,
        on_message: Callable[[bytes, bytes], None],
        on_restored: Callable[[], Awaitable[None]],
    ) -> None:
        # No read timeout: a quiet channel is no fault; `check` finds a dead connection.
        self._pool = ConnectionPool.from_url(url, **socket_options(url))
        self._on_message = on_message
        self._on_restored = on_restored
        self._channels: set[bytes] = set()
        self._confirmed: set[bytes] = set()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._connection: AbstractConnection | None = None
        self._unconfirmed: set[bytes] = set()
        # Subscriptions on this connection that the server has not confirmed. Of one that was given
        # up and asked for again the first confirmation is that of the old one.
        self._asked: Counter[bytes] = Counter()
        self._restoring = False
        self._heard = True
        self.reconnects = 0

    async def subscribe(self, channel: bytes) -> None:
        """Messages that are published after this returns are handed over.

        Raises:
            StoreUnavailable: no confirmation in time; the subscription stays wanted.
        """
        self._channels.add(channel)
        if channel in self._confirmed:
            return
        confirmed = self._waiting.get(channel)
        if confirmed is None:
            confirmed = self._waiting[channel] = asyncio.get_running_loop().create_future()
            self._asked[channel] += 1
            await self._send(b"SUBSCRIBE", channel)
        try:
            # Shielded: others may wait for the same confirmation.
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            raise StoreUnavailable("Redis does not confirm a subscription") from error

    async def unsubscribe(self, channel: bytes) -> None:
        self._channels.discard(channel)
        self._confirmed.discard(channel)
        if waiting := self._waiting.pop(channel, None):
            waiting.cancel()
        await self._send(b"UNSUBSCRIBE", channel)

    async def run(self) -> None:
        """Read until cancelled; reconnect whenever the connection is lost."""
        delay_s, longest_s = _RECONNECT_S
        while True:
            connection = self._pool.make_connection()
            try:
                await self._open(connection)
                delay_s = _RECONNECT_S[0]
                await self._read(connection)
            except UNAVAILABLE as error:
                logger.warning("pub/sub connection lost", extra={"error": str(error)})
            finally:
                self._connection = None
                self._confirmed.clear()
                with suppress(*UNAVAILABLE):
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, longest_s)

    async def check(self) -> None:
        """Call now and then: drops a connection that answered nothing since the last call."""
        connection = self._connection
        if connection is None:
            return
        if not self._heard:
            await connection.disconnect(nowait=True)
            return
        self._heard = False
        await self._send(b"PING")

    async def _open(self, connection: AbstractConnection) -> None:
        await connection.connect()
        wanted = sorted(self._channels)
        self._unconfirmed = set(wanted)
        self._asked = Counter(wanted)
        self._restoring = True
        self._heard = True
        # Before any await: what is wanted from here on is sent by who wants it.
        self._connection = connection
        for start in range(0, len(wanted), _CHUNK):
            await connection.send_command(b"SUBSCRIBE", *wanted[start : start + _CHUNK])
        await self._restored_if_confirmed()

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            reply = await connection.read_response()
            self._heard = True
            match reply:
                case [b"message", channel, payload]:
                    self._on_message(channel, payload)
                case [b"subscribe", channel, _]:
                    self._asked[channel] -= 1
                    if self._asked[channel] > 0:
                        continue
                    del self._asked[channel]
                    if channel in self._channels:
                        self._confirmed.add(channel)
                    if confirmed := self._waiting.pop(channel, None):
                        confirmed.set_result(None)
                    self._unconfirmed.discard(channel)
                    await self._restored_if_confirmed()
                case [b"unsubscribe", channel, _]:
                    self._unconfirmed.discard(channel)

    async def _restored_if_confirmed(self) -> None:
        if self._restoring and not self._unconfirmed:
            self._restoring = False
            self.reconnects += 1
            await self._on_restored()

    async def _send(self, *command: bytes) -> None:
        # Without a connection, or if it breaks here, `run` sends for all wanted channels anew.
        if self._connection is not None:
            with suppress(*UNAVAILABLE):
                await self._connection.send_command(*command)
