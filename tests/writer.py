"""Appends to a session, as a publisher does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stepwire_core.log.event_log import Appended, Batch, EventLog
from stepwire_core.wire.events import NewEvent


class Writer:
    """One producer, which numbers its events."""

    def __init__(
        self, log: EventLog, session_id: str, *, run_id: str = "", attempt: int = 0
    ) -> None:
        self.log = log
        self.session_id = session_id
        self.run_id = run_id
        self.attempt = attempt
        self.written = 0
        self.known_epoch = ""

    def batch(self, *events: NewEvent, **fields: Any) -> Batch:
        """The next batch, not sent; ``fields`` are those of :class:`Batch`."""
        batch = Batch(
            self.session_id,
            events,
            producer="producer",
            first=self.written + 1,
            known_epoch=self.known_epoch,
            run_id=self.run_id,
            attempt=self.attempt,
        )
        return replace(batch, **fields)

    async def put(self, *events: NewEvent, **fields: Any) -> Appended:
        """Append these as one call."""
        appended = await self.log.append(self.batch(*events, **fields))
        self.written += len(events)
        self.known_epoch = str(appended.top.epoch)
        return appended
