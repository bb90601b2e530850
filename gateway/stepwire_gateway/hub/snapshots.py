"""Snapshots for all clients of a process: read and written once for all who ask at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from stepwire_core.errors import ProtocolViolation
from stepwire_core.log.event_log import EventLog, LogTail
from stepwire_core.values.cursor import Cursor
from stepwire_gateway.hub.snapshot_writer import write
from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
from stepwire_gateway.prefix import Prefix

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stepwire_core.log.stored_state import StoredState

T = TypeVar("T")


class Snapshots:
    """Reads sessions for all clients of this process.

    Callers that ask for the same at once share one read and one result. A caller that asks while a
    read is under way shares the next one, which has everything that was stored before it asked.
    """

    def __init__(self, log: EventLog, prefix: Prefix | None = None) -> None:
        self._log = log
        self._prefix = prefix or Prefix(None)
        self._next: dict[_Asked, asyncio.Task[LogTail | WrittenSnapshot]] = {}
        self._under_way: dict[_Asked, asyncio.Task[LogTail | WrittenSnapshot]] = {}
        self._writing: dict[tuple[str, Cursor], asyncio.Task[WrittenSnapshot]] = {}
        self._written: WeakValueDictionary[str, WrittenSnapshot] = WeakValueDictionary()
        self.built = 0
        """How many were written, for however many readers."""

    async def read(self, session_id: str, after: Cursor | None) -> LogTail | WrittenSnapshot:
        """As :meth:`EventLog.read`, with the snapshot as it goes out.

        Raises:
            SessionNotFound: the session is not there.
            StoreUnavailable: Redis does not answer.
        """
        asked = _Asked(session_id, after)
        task = self._next.get(asked)
        if task is None:
            before = self._under_way.get(asked)
            task = self._next[asked] = _started(self._read(asked, before))
        return await asyncio.shield(task)

    async def whole(self, session_id: str) -> WrittenSnapshot:
        """The state of a whole session.

        Raises: as :meth:`read`.
        """
        read = await self.read(session_id, None)
        if isinstance(read, LogTail):
            raise ProtocolViolation("the read script returned events to a reader without a cursor")
        return read

    def close(self) -> None:
        """No caller asks any more."""
        for task in (*self._next.values(), *self._under_way.values(), *self._writing.values()):
            task.cancel()

    async def _read(
        self, asked: _Asked, before: asyncio.Task[Any] | None
    ) -> LogTail | WrittenSnapshot:
        if before is not None:
            await asyncio.wait([before])
        # A later caller may know of something that this read does not find.
        task = self._under_way[asked] = self._next.pop(asked)
        try:
            return await self._found(*asked)
        finally:
            if self._under_way.get(asked) is task:
                del self._under_way[asked]

    async def _found(self, session_id: str, after: Cursor | None) -> LogTail | WrittenSnapshot:
        known = self._written.get(session_id) if after is None else None
        if known is not None and [known.cursor] == await self._log.tops([session_id]):
            # Somebody is still being sent it, and it is still the newest.
            return known
        read = await self._log.read_stored(session_id, after)
        if isinstance(read, LogTail):
            return read
        # Callers that asked with different cursors get the same state.
        at = (session_id, read.cursor)
        task = self._writing.get(at)
        if task is None:
            known = self._written.get(session_id)
            if known is not None and known.cursor == read.cursor:
                return known
            task = self._writing[at] = _started(self._write(read))
            task.add_done_callback(lambda _: self._writing.pop(at, None))
        return await asyncio.shield(task)

    async def _write(self, stored: StoredState) -> WrittenSnapshot:
        written = await write(stored, self._prefix)
        self.built += 1
        self._written[stored.session_id] = written
        return written


class _Asked(NamedTuple):
    session_id: str
    after: Cursor | None


def _started(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.create_task(work)
    # The callers that waited for it may all be gone when it fails.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
