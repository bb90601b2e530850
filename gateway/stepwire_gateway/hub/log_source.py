"""The log as the readers of this process get it: read again until Redis answers, as frames."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

from stepwire_core.errors import StoreUnavailable
from stepwire_core.redis.backoff import Backoff
from stepwire_gateway.hub.frames import Frame, event_frame, snapshot_frame
from stepwire_gateway.hub.snapshots import Snapshots
from stepwire_gateway.hub.written_snapshot import WrittenSnapshot

if TYPE_CHECKING:
    from stepwire_core.log.event_log import EventLog, LogTail
    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.prefix import Prefix

logger = logging.getLogger("stepwire.hub")

T = TypeVar("T")


class LogSource:
    """Reads sessions for the hub and its readers."""

    def __init__(self, log: EventLog, prefix: Prefix) -> None:
        self.snapshots = Snapshots(log, prefix)
        self._log = log
        self._prefix = prefix

    async def read(self, session_id: str, after: Cursor | None) -> LogTail | WrittenSnapshot:
        """What follows a cursor, or a snapshot; while Redis is away this waits.

        Raises:
            SessionNotFound: the session is not there.
            StoreRefused: Redis refuses it.
        """
        return await retry_until_available(lambda: self.snapshots.read(session_id, after))

    async def tops(self, session_ids: list[str]) -> list[Cursor | None]:
        """The last cursor of each session, None if it is gone; while Redis is away this waits.

        Raises:
            StoreRefused: Redis refuses it.
        """
        return await retry_until_available(lambda: self._log.tops(session_ids))

    def place_of(self, session_id: str) -> Hashable:
        """Tells sessions apart of which some may wait while others do not."""
        return self._log.place_of(session_id)

    def frames(self, read: LogTail | WrittenSnapshot) -> list[Frame]:
        """Something that was read, as it goes out."""
        if isinstance(read, WrittenSnapshot):
            return [snapshot_frame(read)]
        return [event_frame(event, self._prefix) for event in read.events]


async def retry_until_available(call: Callable[[], Awaitable[T]]) -> T:
    """What ``call`` returns, once Redis answers."""
    backoff = Backoff()
    while True:
        try:
            return await call()
        except StoreUnavailable as error:
            logger.warning("the log does not answer", extra={"error": str(error)})
            await asyncio.sleep(backoff.next_s())
