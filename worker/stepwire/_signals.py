"""Signals: what people tell handlers that are running: to stop, and what they answer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import StoreUnavailable
from stepwire_core.keys import ANSWER_CHANNEL, CANCEL_CHANNEL
from stepwire_core.pubsub import PubSubLink
from stepwire_core.supervision import Fail, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from stepwire_core.log import EventLog

logger = logging.getLogger("stepwire.signals")

CHECK_S: Final = 2.0
"""A connection that has died without a word is found out within two of these."""


@dataclass(slots=True, eq=False)
class Cancellable:
    """A run's handler in this process."""

    session_id: str
    run_id: str
    stop: Callable[[], object]
    requested: bool = field(default=False)

    def cancel(self) -> None:
        """Cancel the handler, once."""
        if not self.requested:
            self.requested = True
            self.stop()


class Signals:
    """The runs of this process, each of which a message may cancel, and the asks that wait in it.

    One pub/sub connection for all of them. What is lost with it is made good when it is back: both
    kinds of wishes are kept in the session, too.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._running: dict[str, Cancellable] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._link = PubSubLink(log.redis, self._on_message, self._on_restored)
        self._restored = asyncio.Event()

    @asynccontextmanager
    async def listening(self, fail: Fail) -> AsyncIterator[None]:
        """Hear of them for as long as the block runs; ``fail`` is called if that cannot be kept
        up, as without the right to subscribe."""
        async with Supervisor(fail) as side_tasks:
            side_tasks.start(self._link.run(), "stepwire-signals")
            side_tasks.start(self._check(), "stepwire-signals-check")
            for channel in (CANCEL_CHANNEL, ANSWER_CHANNEL):
                await self._link.subscribe(channel)
            yield

    async def _check(self) -> None:
        """A connection that died without a word is dropped, and what it has lost is looked for."""
        while True:
            try:
                async with asyncio.timeout(CHECK_S):
                    await self._restored.wait()
            except TimeoutError:
                with suppress(StoreUnavailable):
                    # A server that was demoted still answers, and says nothing any more: its
                    # refusal of a write closes what is connected to it.
                    await self._log.ping()
                await self._link.check()
            else:
                self._restored.clear()
                await self._look()

    @contextmanager
    def watching(self, cancellable: Cancellable) -> Iterator[None]:
        """The handler may be cancelled while the block runs."""
        self._running[cancellable.run_id] = cancellable
        try:
            yield
        finally:
            del self._running[cancellable.run_id]

    @contextmanager
    def waiting(self, ask_id: str) -> Iterator[asyncio.Event]:
        """Set when there is news of that ask, or may have been."""
        news = self._waiting[ask_id] = asyncio.Event()
        try:
            yield news
        finally:
            del self._waiting[ask_id]

    def _on_message(self, channel: bytes, payload: bytes) -> None:
        _, _, name = payload.decode().partition(" ")
        if channel == CANCEL_CHANNEL:
            if cancellable := self._running.get(name):
                cancellable.cancel()
        elif news := self._waiting.get(name):
            news.set()

    def _on_restored(self) -> None:
        for news in self._waiting.values():
            news.set()
        self._restored.set()

    async def _look(self) -> None:
        """For cancellations of which nobody was told while the connection was away."""
        for cancellable in list(self._running.values()):
            try:
                if await self._log.is_cancelled(cancellable.session_id, cancellable.run_id):
                    cancellable.cancel()
            except StoreUnavailable as error:
                logger.warning("cannot look for cancellations", extra={"error": str(error)})
                asyncio.get_running_loop().call_later(2 * CHECK_S, self._restored.set)
                return
