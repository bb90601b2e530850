"""The list of sessions, live: each change in it is sent to every reader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.log.session_facts import Missing
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import check_id
from stepwire_core.wire.session_entry import SessionEntry
from stepwire_gateway.hub.frames import Frame
from stepwire_gateway.hub.log_source import retry_until_available
from stepwire_gateway.metrics import counter

if TYPE_CHECKING:
    from stepwire_core.log.session_index import Page, SessionIndex
    from stepwire_core.redis.store import Link
    from stepwire_gateway.metrics import Metrics

logger = logging.getLogger("stepwire.hub")

LIST_SNAPSHOTS: Final = counter("list_snapshots", "Lists of sessions handed to streams, whole.")
LIST_GAPS: Final = counter("list_gaps", "Times that changes of the list were lost: it was read.")

PAGE: Final = "sessions"
CHANGED: Final = "session"
REMOVED: Final = "session.remove"
"""The events of the list."""

_AT_A_TIME: Final = 200
"""Sessions that are looked up at a time."""

_MOST_CHANGED: Final = 1_000
"""Sessions whose changes wait for a reader; one that has more of them begins anew."""

_SWEEP_S: Final = 60.0
_SWEEPS: Final = 20
"""Of a run of sweeps, each of which is one bounded call."""

_READS: Final = 8
"""Readers that read their first page anew at a time: after a loss all of them have to."""

_NO_CURSOR: Final = Cursor(0, 0)
"""A stream of the list has no ids: after each break it begins anew."""


class ListReading:
    """One reader's way through the list: iterate over :meth:`batches`, and close it in any case.

    First comes the first page of the list, then each session that changes, as it is then. Several
    changes of one session may come as one. Whenever changes may have been missed, the first page
    comes again: it replaces everything.
    """

    def __init__(
        self,
        first_page: Callable[[], Awaitable[Page]],
        frames: ListFrames,
        metrics: Metrics,
        release: Callable[[ListReading], Awaitable[None]],
        reads: asyncio.Semaphore,
    ) -> None:
        self.stopped = False
        self._first_page = first_page
        self._frames = frames
        self._metrics = metrics
        self._release = release
        self._reads = reads
        self._page: Page | None = None
        self._must_begin = False
        self._changed: dict[str, SessionEntry | None] = {}
        self._woken = asyncio.Event()
        self._closed = False

    async def start(self) -> None:
        """The first read.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer.
        """
        self._page = await self._first_page()

    async def batches(self) -> AsyncGenerator[list[Frame], None]:
        """Frames as they come, until the process stops. While Redis is away it waits."""
        while not self.stopped:
            self._woken.clear()
            if self._must_begin or self._page is not None:
                page = await self._begun()
                if page is None:
                    return
                self._metrics.add(LIST_SNAPSHOTS)
                yield [self._frames.page(page)]
            elif self._changed:
                changed, self._changed = self._changed, {}
                yield [self._frames.change(*change) for change in changed.items()]
            else:
                await self._woken.wait()

    async def _begun(self) -> Page | None:
        page, self._page = self._page, None
        if page is not None and not self._must_begin:
            return page
        try:
            async with self._reads:
                # Before the read: what changes during it comes after the page.
                self._must_begin = False
                self._changed.clear()
                return await retry_until_available(self._first_page)
        except StoreRefused as error:
            logger.error("the list cannot be read", extra={"error": str(error)})  # noqa: TRY400 - says all
            return None

    def offer(self, session_id: str, entry: SessionEntry | None) -> None:
        """A session is now like this; None: it is gone."""
        if self._must_begin or not self._frames.may_show(session_id):
            return
        # At the end, so that the order is that of the changes.
        self._changed.pop(session_id, None)
        self._changed[session_id] = entry
        if len(self._changed) > _MOST_CHANGED:
            self.begin_anew()
        self._woken.set()

    def begin_anew(self) -> None:
        """Changes may have been missed."""
        self._must_begin = True
        self._changed.clear()
        self._woken.set()

    def stop(self) -> None:
        """End the iteration after the frames that wait."""
        self.stopped = True
        self._woken.set()

    async def aclose(self) -> None:
        """Leave; safe to call twice."""
        if not self._closed:
            self._closed = True
            await self._release(self)


class ListFrames:
    """The part of the list that one reader gets to see, as the frames that go out."""

    def __init__(
        self,
        may_show: Callable[[str], bool],
        change: Callable[[SessionEntry], bytes | None],
        page: Callable[[Page], bytes],
    ) -> None:
        """``may_show`` tells whether the reader may know that a session is there; ``change`` makes
        the JSON of one, or None if it does not belong to this list."""
        self.may_show = may_show
        self._change = change
        self._page = page

    def page(self, page: Page) -> Frame:
        return _frame(PAGE, self._page(page))

    def change(self, session_id: str, entry: SessionEntry | None) -> Frame:
        content = None if entry is None else self._change(entry)
        if content is None:
            return _frame(REMOVED, b'{"id":"%b"}' % session_id.encode())
        return _frame(CHANGED, content)


class SessionList:
    """The readers of the list in this process, and the news for them.

    Each change has a number, and the numbers are dense: a lost change shows as a hole, and a loss
    at the end is found by a look at the number now and then.
    """

    def __init__(self, index: SessionIndex, metrics: Metrics) -> None:
        self.index: Final = index
        self._metrics = metrics
        self._readings: set[ListReading] = set()
        self._number: int | None = None
        self._ahead: int | None = None
        """The number that the last look has found beyond those that were announced."""
        self._changed: dict[str, None] = {}
        self._unavailable: dict[str, None] = {}
        """Sessions whose server was away when they were looked up: readers get them when it is
        back."""
        self._more_are_unavailable = False
        self._generation = 0
        """Counts the times that changes were lost."""
        self._news = asyncio.Event()
        self._reads = asyncio.Semaphore(_READS)

    async def open(
        self,
        link: Link,
        first_page: Callable[[], Awaitable[Page]],
        frames: ListFrames,
        group: set[Any],
    ) -> ListReading:
        """Start reading the list; the caller must close the reading. It is in the group meanwhile.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer.
        """

        async def release(reading: ListReading) -> None:
            group.discard(reading)
            self._readings.discard(reading)
            if not self._readings:
                self._number = self._ahead = None
                self._changed.clear()
                self._unavailable.clear()
                self._more_are_unavailable = False
                await link.unsubscribe(self.index.channel)

        async def read_page() -> Page:
            page = await first_page()
            self._wait_for(page.unavailable)
            return page

        reading = ListReading(read_page, frames, self._metrics, release, self._reads)
        group.add(reading)
        self._readings.add(reading)
        try:
            # Subscribed first, read second: what changes in between comes as a message.
            await link.subscribe(self.index.channel)
            if self._number is None:
                number = await self.index.revision()
                self._number = number if self._number is None else self._number
            await reading.start()
        except BaseException:
            await reading.aclose()
            raise
        return reading

    def hear(self, payload: bytes) -> None:
        """Something has changed: ``<number> <session>``.

        Raises:
            ValueError, InvalidId: it is something else; anybody may publish anything there.
        """
        number, _, session_id = payload.decode().partition(" ")
        check_id(session_id, "session")
        before, self._number = self._number, int(number)
        if before is not None and self._number != before + 1:
            self._metrics.add(LIST_GAPS)
            self.begin_anew()
        if self._readings:
            self._changed[session_id] = None
            if len(self._changed) > _MOST_CHANGED:
                self.begin_anew()
            self._news.set()

    def begin_anew(self) -> None:
        """Changes were lost: every reader gets its first page again."""
        self._generation += 1
        self._changed.clear()
        for reading in self._readings:
            reading.begin_anew()

    async def run(self) -> None:
        """Look up what has changed, and hand it over, until this is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._changed:
                ids = list(self._changed)[:_AT_A_TIME]
                for id_ in ids:
                    del self._changed[id_]
                await self._hand_over(ids)

    async def _hand_over(self, ids: Sequence[str]) -> None:
        try:
            entries = await retry_until_available(lambda: self.index.entries(ids))
        except StoreRefused as error:
            logger.error("the list cannot be read", extra={"error": str(error)})  # noqa: TRY400 - says all
            # Each reader reads by itself, and learns what is wrong.
            self.begin_anew()
            return
        except Exception:
            # One broken session, such as a key of another type, does not end this task.
            logger.exception("changes of the list cannot be read")
            self.begin_anew()
            return
        generation = self._generation
        for id_, entry in zip(ids, entries, strict=True):
            if entry is Missing.AWAY:
                self._wait_for([id_])
                continue
            for reading in self._readings:
                reading.offer(id_, entry if isinstance(entry, SessionEntry) else None)
            # There may be many readers, and others wait for their tokens.
            await asyncio.sleep(0)
            if generation != self._generation:
                # Each reader begins anew, with what is newer than this.
                return

    async def check(self) -> None:
        """Call now and then: find what was lost."""
        try:
            if self._readings:
                await self._look()
            if self._unavailable:
                await self._look_for_unavailable()
        except (StoreUnavailable, StoreRefused) as error:
            logger.warning("the list cannot be looked at", extra={"error": str(error)})

    async def sweep(self) -> None:
        """Drop what has expired, until this is cancelled."""
        while True:
            try:
                for _ in range(_SWEEPS):
                    if not await self.index.sweep():
                        break
            except (StoreUnavailable, StoreRefused) as error:
                logger.warning("the list cannot be swept", extra={"error": str(error)})
            except Exception:
                # As above: the next minute may find another hundred.
                logger.exception("the list cannot be swept")
            await asyncio.sleep(_SWEEP_S)

    def _wait_for(self, ids: Iterable[str]) -> None:
        """The server of these is away."""
        for id_ in ids:
            if len(self._unavailable) < _MOST_CHANGED:
                self._unavailable[id_] = None
            elif id_ not in self._unavailable:
                self._more_are_unavailable = True

    async def _look_for_unavailable(self) -> None:
        """Those whose server is back count as changed."""
        ids = list(self._unavailable)[:_AT_A_TIME]
        entries = await self.index.entries(ids)
        if not self._readings:
            return
        for id_, entry in zip(ids, entries, strict=True):
            # Others are looked at first the next time: there may be several servers.
            self._unavailable.pop(id_, None)
            if entry is Missing.AWAY:
                self._unavailable[id_] = None
            else:
                self._changed[id_] = None
        if self._changed:
            self._news.set()
            if self._more_are_unavailable:
                self._more_are_unavailable = False
                self.begin_anew()

    async def _look(self) -> None:
        number = await self.index.revision()
        if not self._readings:
            # The last one has left meanwhile, and its subscription with it.
            return
        if number == self._number:
            self._ahead = None
        elif self._ahead == number:
            # The last look has found this number already, and its message has not yet come.
            self._ahead, self._number = None, number
            self._metrics.add(LIST_GAPS)
            self.begin_anew()
        else:
            self._ahead = number

    def close(self) -> None:
        """End all readings."""
        for reading in self._readings:
            reading.stop()


def _frame(type_: str, data: bytes) -> Frame:
    return Frame(_NO_CURSOR, type_, "", b"event: %b\ndata: %b\n\n" % (type_.encode(), data))
