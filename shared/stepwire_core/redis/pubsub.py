"""Pub/sub connections: what a process listens to."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError, ResponseError

from stepwire_core.errors import StoreUnavailable
from stepwire_core.redis.backoff import Backoff
from stepwire_core.redis.commands import PLAIN, ChannelWords, command
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


OnMessage = Callable[[bytes, bytes], None]
"""Gets the channel, and what was published there."""

OnRestored = Callable[[Collection[bytes]], None]
"""Gets the channels of which messages may have been lost, and that are confirmed again."""


class Subscriptions:
    """Subscribes to channels over one connection, and hands over their messages, in order, on the
    event loop.

    redis-py's own ``PubSub`` costs ten times as much per message; reading replies from the
    connection is all that is needed here. Messages are lost while the connection is down:
    ``on_restored`` is called with the channels that are confirmed again.

    A message that ``on_message`` raises on is logged, counted and passed over.
    """

    def __init__(
        self,
        make_connection: Callable[[], Watched],
        on_message: OnMessage,
        on_restored: OnRestored,
        words: ChannelWords,
    ) -> None:
        self._make_connection = make_connection
        self._on_message = on_message
        self._on_restored = on_restored
        self._words: Final = words
        self._subscribed = words.subscribe.lower().encode()
        self._unsubscribed = words.unsubscribe.lower().encode()
        self._channels: set[bytes] = set()
        self._confirmed: set[bytes] = set()
        self._waiting: dict[bytes, asyncio.Future[bool]] = {}
        self._connection: Watched | None = None
        # How many confirmations of each channel are still to come. If a subscription was given up
        # and asked for again, the first confirmation belongs to the old one.
        self._asked: Counter[bytes] = Counter()
        self._gathered: list[bytes] = []
        self._asking: asyncio.Task[None] | None = None
        self._heard = True
        self._backoff = Backoff()
        self._lost = "it has not been made yet"
        self.reconnects = 0
        self.unreadable = 0
        """Messages that were passed over."""

    @property
    def problem(self) -> str | None:
        """Why messages may be lost now; None while every channel is confirmed."""
        if self._connection is None:
            return f"the pub/sub connection is lost: {self._lost}"
        if self._is_restoring():
            return "the pub/sub connection is new, and Redis still has to confirm some channels"
        return None

    async def subscribe(self, channel: bytes) -> bool:
        """Messages that are published after this returns are handed over.

        False: the channel was given up meanwhile, by another task than the caller's.

        Raises:
            StoreUnavailable: no confirmation in time; the subscription stays wanted.
        """
        self._channels.add(channel)
        if channel in self._confirmed:
            return True
        confirmed = self._waiting.get(channel)
        if confirmed is None:
            confirmed = self._waiting[channel] = asyncio.get_running_loop().create_future()
            self._gathered.append(channel)
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_for_gathered())
        try:
            # Shielded: others may wait for the same confirmation.
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                return await asyncio.shield(confirmed)
        except TimeoutError as error:
            why = self.problem or f"nothing for {CONFIRM_TIMEOUT_S:g} s"
            raise StoreUnavailable(f"Redis does not confirm a subscription: {why}") from error

    async def _ask_for_gathered(self) -> None:
        """Ask for all that was subscribed to in this turn of the event loop, at once."""
        while self._gathered:
            gathered, self._gathered = self._gathered, []
            # Others may have left again already.
            await self._ask([channel for channel in gathered if channel in self._channels])

    async def unsubscribe(self, channel: bytes) -> None:
        self._channels.discard(channel)
        self._confirmed.discard(channel)
        if waiting := self._waiting.pop(channel, None):
            waiting.cancel()
        await self._send_for(self._words.unsubscribe, [channel])

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
            self._on_loss()
            await asyncio.sleep(self._backoff.next_s())

    def _lose(self, error: Exception) -> None:
        ours = translation(error, CONFIRM_TIMEOUT_S)
        if not isinstance(ours, StoreUnavailable):
            raise ours or error
        self._lost = str(ours)
        logger.warning("pub/sub connection lost", extra={"error": self._lost})

    async def check(self) -> None:
        """Call now and then: drops a connection that has answered nothing since the last call, or
        leads to another server than messages are published on, as after a failover."""
        connection = self._connection
        if connection is None:
            return
        if self._heard and connection.marks.is_current(connection.made_at) and self._leads_there():
            self._heard = False
            with suppress(RedisError, OSError):
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await connection.send_command("PING")
            return
        self._connection = None
        with suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)

    async def _open(self, connection: Watched) -> None:
        await connection.connect()
        self._asked.clear()
        self._heard = True
        self._on_open()
        # Before any await: after this, `subscribe` itself sends its command.
        self._connection = connection
        await self._ask(sorted(self._channels))

    async def _ask(self, channels: Sequence[bytes]) -> None:
        """Ask for confirmations of channels; without a connection this comes when there is one."""
        if self._connection is None:
            return
        self._asked.update(channels)
        await self._send_for(self._words.subscribe, channels)

    async def _send_for(self, word: str, channels: Sequence[bytes]) -> None:
        # Without a connection, or if it breaks here, `run` asks for all wanted channels anew.
        if self._connection is None or not channels:
            return
        packed = self._connection.pack_commands((word, *group) for group in self._groups(channels))
        with suppress(RedisError, OSError):
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                await self._connection.send_packed_command(packed)

    async def _read(self, connection: Watched) -> None:
        words = self._words
        while True:
            try:
                reply = await connection.read_response()
            except ResponseError as error:
                self._heard = True
                self._on_refusal(error)
                continue
            self._heard = True
            match reply:
                case [words.message, channel, payload]:
                    self._hand_over(channel, payload)
                case [self._subscribed, channel, _]:
                    self._asked[channel] -= 1
                    if self._asked[channel] > 0:
                        continue
                    del self._asked[channel]
                    if channel in self._channels:
                        self._confirmed.add(channel)
                    if confirmed := self._waiting.pop(channel, None):
                        confirmed.set_result(True)
                    self._on_confirmed(channel)
                case [self._unsubscribed, channel, _]:
                    self._on_left(channel)

    def _hand_over(self, channel: bytes, payload: bytes) -> None:
        try:
            self._on_message(channel, payload)
        except Exception as error:  # noqa: BLE001 - anybody can publish anything there
            self.unreadable += 1
            logger.warning(
                "a message cannot be read, and is passed over",
                extra={"channel": repr(channel)[:200], "error": type(error).__name__},
            )

    # -- what kinds of links differ in ------------------------------------------------------------

    def _groups(self, channels: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
        """The channels of each command."""
        for start in range(0, len(channels), _CHUNK):
            yield channels[start : start + _CHUNK]

    def _is_restoring(self) -> bool:
        raise NotImplementedError

    def _leads_there(self) -> bool:
        """Whether the connection may still lead to where messages are published."""
        return True

    def _on_open(self) -> None:
        """A connection is there, and nothing is asked for yet."""

    def _on_loss(self) -> None:
        """A connection is gone, and the next one is not made yet."""

    def _on_confirmed(self, channel: bytes) -> None:
        """The channel is confirmed: its messages come now."""

    def _on_left(self, channel: bytes) -> None:
        """They do not any more."""

    def _on_refusal(self, error: ResponseError) -> None:
        """Raises if the connection is of no use any more."""
        raise error


class PubSubLink(Subscriptions):
    """The :class:`Link` to plain channels.

    ``on_restored`` is called after each reconnect, when every channel is confirmed again.
    """

    def __init__(
        self,
        make_connection: Callable[[], Watched],
        call: Callable[[Call], Awaitable[object]],
        on_message: OnMessage,
        on_restored: OnRestored,
    ) -> None:
        """``make_connection`` makes one that leads to where messages are published, which is what
        ``call`` calls."""
        super().__init__(make_connection, on_message, on_restored, PLAIN)
        self._call = call
        self._echo = f"{PREFIX}link:{new_id()}".encode()
        self._channels.add(self._echo)
        self._unconfirmed: set[bytes] = set()
        self._restoring = False
        self._missed = 0

    def put_before_own_channel(self, prefix: str) -> None:
        """Name the channel of the messages to ourselves otherwise; before it runs."""
        self._channels.discard(self._echo)
        self._echo = prefix.encode() + self._echo
        self._channels.add(self._echo)

    @property
    def partial_problems(self) -> Sequence[str]:
        return ()

    async def check(self) -> None:
        """As that of all links. A message to ourselves shows where the connection leads: published
        as all others are, it must come by here."""
        self._missed += 1
        await super().check()
        if self._connection is not None:
            await self._publish_echo()

    async def _publish_echo(self) -> None:
        try:
            await self._call(command(PLAIN.publish, self._echo, b""))
        except StoreUnavailable:
            # It says nothing about the connection.
            self._missed = 0

    def _hand_over(self, channel: bytes, payload: bytes) -> None:
        if channel == self._echo:
            self._missed = 0
        else:
            super()._hand_over(channel, payload)

    def _leads_there(self) -> bool:
        return self._missed <= _MISSED_ECHOES

    def _is_restoring(self) -> bool:
        return self._restoring

    def _on_open(self) -> None:
        self._unconfirmed = set(self._channels)
        self._restoring = True
        self._missed = 0

    def _on_confirmed(self, channel: bytes) -> None:
        self._unconfirmed.discard(channel)
        if self._restoring and not self._unconfirmed:
            self._restoring = False
            self._backoff.reset()
            self.reconnects += 1
            self._on_restored(self._channels)

    def _on_left(self, channel: bytes) -> None:
        # Left again before it was confirmed.
        self._on_confirmed(channel)
