"""Signals: what people tell handlers that are running: to stop, and what they answer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import StoreUnavailable
from stepwire_core.process.supervision import Fail, Supervisor
from stepwire_core.redis.backoff import Backoff
from stepwire_core.redis.keys import ALL_RUNS, Channels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from stepwire_core.log.event_log import EventLog
    from stepwire_core.settings import Settings

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

    One pub/sub connection for all of them. Signals that are lost with it are made up for when it is
    back: both kinds of wishes are kept in the session, too.
    """

    def __init__(self, log: EventLog, settings: Settings) -> None:
        self._log = log
        self._channels = Channels.of(settings.redis_url)
        self._wanted: dict[str, Cancellable] = {}
        self._are_wanted = asyncio.Event()
        self._running: dict[str, Cancellable] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._link = log.store.listen(self._on_message, self._on_restored)

    @asynccontextmanager
    async def listening(self, fail: Fail) -> AsyncIterator[None]:
        """Hear of them for as long as the block runs; ``fail`` is called if that cannot be kept
        up, as without the right to subscribe."""
        async with Supervisor(fail) as side_tasks:
            side_tasks.start(self._link.run(), "stepwire-signals")
            side_tasks.start(self._check(), "stepwire-signals-check")
            side_tasks.start(self._cancel_wanted(), "stepwire-cancellations")
            for channel in (self._channels.cancel, self._channels.answer):
                await self._link.subscribe(channel)
            yield

    async def _check(self) -> None:
        """A connection that died without a word is dropped, and what it has lost is looked for."""
        while True:
            await asyncio.sleep(CHECK_S)
            with suppress(StoreUnavailable):
                # A server that was demoted still answers, and says nothing any more: its refusal
                # of a write closes what is connected to it.
                await self._log.ping()
            await self._link.check()

    async def _cancel_wanted(self) -> None:
        """Cancel the handlers of which the log says so; while Redis is away, wait for it.

        A message alone cancels nothing: anybody may publish.
        """
        backoff = Backoff()
        while True:
            await self._are_wanted.wait()
            self._are_wanted.clear()
            while self._wanted:
                # In the order of the messages: a run comes before its parts, so it is notified
                # of its own cancellation before theirs.
                cancellable = self._wanted.pop(next(iter(self._wanted)))
                try:
                    await self._cancel(cancellable)
                    backoff.reset()
                except StoreUnavailable as error:
                    logger.warning("cannot look for cancellations", extra={"error": str(error)})
                    self._want(cancellable)
                    await asyncio.sleep(backoff.next_s())

    async def _cancel(self, cancellable: Cancellable) -> None:
        session_id, run_id = cancellable.session_id, cancellable.run_id
        is_running = self._running.get(run_id) is cancellable
        if is_running and await self._log.is_cancelled(session_id, run_id):
            cancellable.cancel()

    def _want(self, cancellable: Cancellable) -> None:
        self._wanted[cancellable.run_id] = cancellable
        self._are_wanted.set()

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
                self._want(cancellable)

    def _on_restored(self, _: object) -> None:
        for news in self._waiting.values():
            news.set()
        for cancellable in self._running.values():
            self._want(cancellable)
