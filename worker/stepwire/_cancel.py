"""Cancellations: a person presses stop, and the worker that has the run hears of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import StoreUnavailable
from stepwire_core.keys import CANCEL_CHANNEL
from stepwire_core.pubsub import PubSubLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stepwire_core.log import EventLog
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.cancel")

CHECK_S: Final = 5.0


@dataclass(slots=True, eq=False)
class Cancellable:
    """A run's handler in this process."""

    session_id: str
    run_id: str
    task: asyncio.Task[None]
    requested: bool = field(default=False)

    def cancel(self) -> None:
        """Cancel the handler, once."""
        if not self.requested:
            self.requested = True
            self.task.cancel()


class Cancellations:
    """The runs of this process, each of which a message may cancel.

    The news comes over pub/sub. What is lost with a connection is made good when it is back: the
    wish is kept in the session, too.
    """

    def __init__(self, log: EventLog, settings: Settings) -> None:
        self._log = log
        self._running: dict[str, Cancellable] = {}
        self._link = PubSubLink(settings.redis_url, self._on_message, self._on_restored)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of cancellations for as long as the block runs."""
        tasks = [
            asyncio.create_task(self._link.run(), name="stepwire-cancel"),
            asyncio.create_task(self._check(), name="stepwire-cancel-check"),
        ]
        try:
            await self._link.subscribe(CANCEL_CHANNEL)
            yield
        finally:
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
        self._running[cancellable.run_id] = cancellable
        try:
            yield
        finally:
            del self._running[cancellable.run_id]

    def _on_message(self, _channel: bytes, payload: bytes) -> None:
        _, _, run_id = payload.decode().partition(" ")
        if cancellable := self._running.get(run_id):
            cancellable.cancel()

    async def _on_restored(self) -> None:
        for cancellable in list(self._running.values()):
            try:
                if await self._log.is_cancelled(cancellable.session_id, cancellable.run_id):
                    cancellable.cancel()
            except StoreUnavailable as error:
                logger.warning("cannot look for cancellations", extra={"error": str(error)})
