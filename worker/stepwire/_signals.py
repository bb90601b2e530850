"""Signals: what people tell handlers that are running: to stop, and what they answer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stepwire_core.backoff import Backoff
from stepwire_core.errors import StoreUnavailable
from stepwire_core.keys import ALL_RUNS, Channels
from stepwire_core.pubsub import PubSubLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stepwire_core.log import EventLog
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.signals")

CHECK_S: Final = 5.0


@dataclass(slots=True, eq=False)
class Cancellable:
    """A run's handler in this process."""

    session_id: str
    run_id: str
    task: asyncio.Task[object]
    requested: bool = field(default=False)

    def cancel(self) -> None:
        """Cancel the handler, once."""
        if not self.requested:
            self.requested = True
            self.task.cancel()


class Signals:
    """The runs of this process, each of which a message may cancel, and the asks that wait in it.

    One pub/sub connection for all of them. What is lost with it is made good when it is back: both
    kinds of wishes are kept in the session, too.
    """

    def __init__(self, log: EventLog, settings: Settings) -> None:
        self._log = log
        self._channels = Channels.of(settings.redis_url)
        self._looking: set[asyncio.Task[None]] = set()
        self._running: dict[str, Cancellable] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._link = PubSubLink(settings.redis_url, self._on_message, self._on_restored)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of them for as long as the block runs."""
        tasks = [
            asyncio.create_task(self._link.run(), name="stepwire-signals"),
            asyncio.create_task(self._check(), name="stepwire-signals-check"),
        ]
        try:
            for channel in (self._channels.cancel, self._channels.answer):
                await self._link.subscribe(channel)
            yield
        finally:
            tasks += self._looking
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self) -> None:
        """A connection that died without a word is dropped, and what it has lost is looked for."""
        while True:
            await asyncio.sleep(CHECK_S)
            await self._link.check()

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
        session_id, _, name = payload.decode().partition(" ")
        if channel != self._channels.cancel:
            if news := self._waiting.get(name):
                news.set()
            return
        meant = list(self._running.values()) if name == ALL_RUNS else [self._running.get(name)]
        for cancellable in meant:
            if cancellable is not None and cancellable.session_id == session_id:
                self._look_soon(cancellable)

    async def _on_restored(self) -> None:
        for news in self._waiting.values():
            news.set()
        for cancellable in self._running.values():
            self._look_soon(cancellable)

    def _look_soon(self, cancellable: Cancellable) -> None:
        task = asyncio.create_task(self._look(cancellable), name="stepwire-cancellation")
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look(self, cancellable: Cancellable) -> None:
        """Cancel a handler if the log says so; while Redis is away, wait for it.

        A message alone cancels nothing: anybody may publish.
        """
        backoff = Backoff()
        while self._running.get(cancellable.run_id) is cancellable:
            try:
                is_meant = await self._log.is_cancelled(cancellable.session_id, cancellable.run_id)
            except StoreUnavailable as error:
                logger.warning("cannot look for cancellations", extra={"error": str(error)})
            else:
                if is_meant:
                    cancellable.cancel()
                return
            await asyncio.sleep(backoff.next_s())
