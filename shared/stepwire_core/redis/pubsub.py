"""One pub/sub connection for all that a process listens to."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from stepwire_core.errors import StoreUnavailable
from stepwire_core.redis.backoff import Backoff
from stepwire_core.redis.commands import command
from stepwire_core.redis.connections import translation
from stepwire_core.redis.keys import PREFIX
from stepwire_core.values.ids import new_id

if TYPE_CHECKING:
    from stepwire_core.redis.commands import Call
    from stepwire_core.redis.sockets import Watched

logger = logging.getLogger("stepwire.pubsub")

CONFIRM_TIMEOUT_S: Final = 5.0
"""How long opening the connection, sending something and a confirmation may take."""

_CHUNK: Final = 500

_MISSED_ECHOES: Final = 3
"""So many checks in a row of which the connection has carried nothing: it leads elsewhere."""


class PubSubLink:
    """Subscribes to channels and hands over their messages, in order, on the event loop.

    redis-py's own ``PubSub`` costs ten times as much per message; reading replies from the
    connection is all that is needed here. Messages are lost while the connection is down:
    ``on_restored`` is called after each reconnect, when every channel is confirmed again.

    A message that ``on_message`` raises on is logged, counted and passed over.
    """

    def __init__(
        self,
        make_connection: Callable[[], Watched],
        call: Callable[[Call], Awaitable[object]],
        on_message: Callable[[bytes, bytes], None],
        on_restored: Callable[[], None],
    ) -> None:
        """``make_connection`` makes one that leads to where messages are published, which is what
        ``call`` calls."""
        self._make_connection = make_connection
        self._call = call
        self._echo = f"{PREFIX}link:{new_id()}".encode()
        self._on_message = on_message
        self._on_restored = on_restored
        self._channels: set[bytes] = {self._echo}
        self._confirmed: set[bytes] = set()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._connection: Watched | None = None
        self._unconfirmed: set[bytes] = set()
        # How many confirmations of each channel are still to come. If a subscription was given up
        # and asked for again, the first confirmation belongs to the old one.
        self._asked: Counter[bytes] = Counter()
        self._gathered: list[bytes] = []
        self._asking: asyncio.Task[None] | None = None
        self._restoring = False
        self._heard = True
        self._missed = 0
        self._backoff = Backoff()
        self._lost = "it has not been made yet"
        self.reconnects = 0
        self.unreadable = 0
        """Messages that were passed over."""

    def put_before_own_channel(self, prefix: str) -> None:
        """Name the channel of the messages to ourselves otherwise; before it runs."""
        self._channels.discard(self._echo)
        self._echo = prefix.encode() + self._echo
        self._channels.add(self._echo)

    @property
    def problem(self) -> str | None:
        """Why messages may be lost now; None while every channel is confirmed."""
        if self._connection is None:
            return f"the pub/sub connection is lost: {self._lost}"
        if self._restoring:
            return "the pub/sub connection is new, and Redis still has to confirm some channels"
        return None

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
            self._gathered.append(channel)
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
        try:
            # Shielded: others may wait for the same confirmation.
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                await asyncio.shield(confirmed)
        except TimeoutError as error:
            why = self.problem or f"nothing for {CONFIRM_TIMEOUT_S:g} s"
            raise StoreUnavailable(f"Redis does not confirm a subscription: {why}") from error

    async def _ask(self) -> None:
        """Subscribe to all that was asked for in this turn of the event loop, in one command."""
        while self._gathered:
            gathered, self._gathered = self._gathered, []
            # Others may have left again already.
            channels = [channel for channel in gathered if channel in self._channels]
            self._asked.update(channels)
            for start in range(0, len(channels), _CHUNK):
                await self._send(b"SUBSCRIBE", *channels[start : start + _CHUNK])

    async def unsubscribe(self, channel: bytes) -> None:
        self._channels.discard(channel)
        self._confirmed.discard(channel)
        if waiting := self._waiting.pop(channel, None):
            waiting.cancel()
        await self._send(b"UNSUBSCRIBE", channel)

    async def run(self) -> None:
        """Read until cancelled; reconnect whenever the connection is lost.

        Raises:
            StoreRefused: Redis does not let us subscribe.
        """
        while True:
            connection = self._make_connection()
            try:
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await self._open(connection)
                await self._read(connection)
            except (RedisError, OSError) as error:
                self._lose(error)
            finally:
                self._connection = None
                self._confirmed.clear()
                with suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(self._backoff.next_s())

    def _lose(self, error: Exception) -> None:
        ours = translation(error, CONFIRM_TIMEOUT_S)
        if not isinstance(ours, StoreUnavailable):
            raise ours or error
        self._lost = str(ours)
        logger.warning("pub/sub connection lost", extra={"error": self._lost})

    async def check(self) -> None:
        """Call now and then: drops a connection that has answered nothing since the last call, or
        leads to another server than messages are published on, as after a failover.

        A message to ourselves shows it: published as all others are, it must come by here.
        """
        connection = self._connection
        if connection is None:
            return
        self._missed += 1
        is_current = connection.marks.is_current(connection.made_at)
        if self._heard and is_current and self._missed <= _MISSED_ECHOES:
            self._heard = False
            await self._send(b"PING")
            await self._publish_echo()
            return
        self._connection = None
        with suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)

    async def _publish_echo(self) -> None:
        try:
            await self._call(command("PUBLISH", self._echo, b""))
        except StoreUnavailable:
            # It says nothing about the connection.
            self._missed = 0

    async def _open(self, connection: Watched) -> None:
        await connection.connect()
        wanted = sorted(self._channels)
        self._unconfirmed = set(wanted)
        self._asked = Counter(wanted)
        self._restoring = True
        self._heard = True
        self._missed = 0
        # Before any await: after this, `subscribe` itself sends its command.
        self._connection = connection
        for start in range(0, len(wanted), _CHUNK):
            await connection.send_command(b"SUBSCRIBE", *wanted[start : start + _CHUNK])
        self._restored_if_confirmed()

    async def _read(self, connection: Watched) -> None:
        while True:
            reply = await connection.read_response()
            self._heard = True
            match reply:
                case [b"message", self._echo, _]:
                    self._missed = 0
                case [b"message", channel, payload]:
                    self._hand_over(channel, payload)
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
                    self._restored_if_confirmed()
                case [b"unsubscribe", channel, _]:
                    # Left again before it was confirmed.
                    self._unconfirmed.discard(channel)
                    self._restored_if_confirmed()

    def _hand_over(self, channel: bytes, payload: bytes) -> None:
        try:
            self._on_message(channel, payload)
        except Exception as error:  # noqa: BLE001 - anybody can publish anything there
            self.unreadable += 1
            logger.warning(
                "a message cannot be read, and is passed over",
                extra={"channel": repr(channel)[:200], "error": type(error).__name__},
            )

    def _restored_if_confirmed(self) -> None:
        if self._restoring and not self._unconfirmed:
            self._restoring = False
            self._backoff.reset()
            self.reconnects += 1
            self._on_restored()

    async def _send(self, *command: bytes) -> None:
        # Without a connection, or if it breaks here, `run` sends for all wanted channels anew.
        if self._connection is not None:
            with suppress(RedisError, OSError):
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await self._connection.send_command(*command)
