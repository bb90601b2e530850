"""One client's way through a session, by turns from the log and from the session's feed."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import SessionNotFound, StoreRefused
from stepwire_core.log.event_log import LogTail
from stepwire_gateway.hub.feed import Feed, Subscriber, batch_length
from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
from stepwire_gateway.metrics import counter

if TYPE_CHECKING:
    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.hub.feed import Outlet
    from stepwire_gateway.hub.frames import Frame
    from stepwire_gateway.hub.log_source import LogSource
    from stepwire_gateway.metrics import Metrics

logger = logging.getLogger("stepwire.hub")

SNAPSHOTS: Final = counter("snapshots", "Snapshots handed to clients.")
FELL_BEHIND: Final = counter(
    "fell_behind", "Times that a client was slower than its session: it read the log."
)


class Reading:
    """One reader's way through a session: iterate over :meth:`batches`, and close it in any case.

    Every event from the cursor on comes exactly once and in order; where the log does not reach
    back, a snapshot comes instead.

    With an ``outlet`` the iteration ends, too, when there is nothing to do but to wait, and
    ``is_parked`` is true: from then on the feed writes to the outlet, until it is woken. Another
    iteration goes on with what the outlet was not sent.
    """

    __slots__ = (
        "_buffer_bytes",
        "_closed",
        "_cursor",
        "_first",
        "_heard",
        "_metrics",
        "_release",
        "_source",
        "_subscriber",
        "feed",
        "outlet",
        "stopped",
    )

    def __init__(
        self,
        feed: Feed,
        source: LogSource,
        metrics: Metrics,
        *,
        buffer_bytes: int,
        release: Callable[[Reading], None],
    ) -> None:
        self.feed = feed
        self._source = source
        self._metrics = metrics
        self._buffer_bytes = buffer_bytes
        self._release = release
        self.stopped = False
        self.outlet: Outlet | None = None
        self._cursor: Cursor | None = None
        self._first: LogTail | WrittenSnapshot | None = None
        self._heard: Cursor | None = None
        self._subscriber: Subscriber | None = None
        self._closed = False

    async def start(self, after: Cursor | None) -> None:
        """The first read, from ``after``.

        Raises:
            SessionNotFound: the session is not there.
            StoreUnavailable: Redis does not answer.
        """
        self._cursor, self._heard = after, self.feed.heard
        self._first = await self._source.snapshots.read(self.feed.session_id, after)

    @property
    def is_parked(self) -> bool:
        """Whether the feed writes to the outlet."""
        return self._subscriber is not None and self._subscriber.outlet is not None

    def unpark(self) -> None:
        """Let what comes wait for the next iteration."""
        if self._subscriber is not None:
            self.feed.unpark(self._subscriber)

    async def batches(self) -> AsyncGenerator[list[Frame], None]:
        """Frames as they come, until the session is gone or the process stops.

        While Redis is away it waits.
        """
        while self._subscriber is not None or not (self.feed.gone or self.stopped):
            if self._subscriber is None:
                async with aclosing(self._caught_up()) as caught_up:
                    async for frames in caught_up:
                        yield frames
                        # A snapshot in it would be kept for as long as nothing comes.
                        del frames
            if (subscriber := self._subscriber) is None:
                return
            while not self._parks(subscriber) and (frames := await subscriber.take()):
                yield frames
                del frames
            if subscriber.outlet is not None:
                return
            # The client has taken all that was accepted for it.
            self._cursor, self._subscriber = subscriber.cursor, None
            if not (self.feed.gone or self.stopped):
                self._metrics.add(FELL_BEHIND)

    async def _caught_up(self) -> AsyncGenerator[list[Frame], None]:
        """What the log has, until this has joined the feed; or until nothing can be read."""
        read, self._first = self._first, None
        while self._subscriber is None and not (self.feed.gone or self.stopped):
            if read is None and (read := await self._read()) is None:
                return
            frames = self._source.frames(read)
            if frames:
                self.feed.note(frames)
            if isinstance(read, WrittenSnapshot):
                self._metrics.add(SNAPSHOTS)
            more = isinstance(read, LogTail) and bool(frames) and frames[-1].cursor != read.top
            read = None
            while frames:
                yield self._first_of(frames)
            # A feed without subscribers would begin where this reader stands, and what the log has
            # beyond that would wait for the next message.
            if self._cursor is not None and not more:
                self._join(self._cursor)

    def _join(self, cursor: Cursor) -> None:
        """Join the feed, unless that has gone on meanwhile; no await since the log was read."""
        self.feed.has_read_up_to(cursor, self._heard)
        subscriber = Subscriber(cursor, self._buffer_bytes)
        if not self.stopped and self.feed.join(subscriber):
            self._subscriber = subscriber

    def _parks(self, subscriber: Subscriber) -> bool:
        return self.outlet is not None and self.feed.park(subscriber, self.outlet)

    async def _read(self) -> LogTail | WrittenSnapshot | None:
        """The next events of the log; None: nothing can be read any more."""
        feed = self.feed
        self._heard, told = feed.heard, feed.position
        try:
            read = await self._source.read(feed.session_id, self._cursor)
        except SessionNotFound:
            return None
        except StoreRefused as error:
            # The client comes back, and is told to until the cause is mended.
            logger.error("the log cannot be read", extra={"error": str(error)})  # noqa: TRY400 - says all
            return None
        if isinstance(read, LogTail):
            feed.distrust(told, read.top)
        return read

    def _first_of(self, frames: list[Frame]) -> list[Frame]:
        """Take the first batch off; nothing here keeps it, which may be a large snapshot."""
        batch = frames[: batch_length(frames)]
        del frames[: len(batch)]
        self._cursor = batch[-1].cursor
        return batch

    def stop(self) -> None:
        """End the iteration after the frames that wait."""
        self.stopped = True
        if (subscriber := self._subscriber) is not None:
            outlet = subscriber.outlet
            self.feed.leave(subscriber)
            subscriber.drop()
            if outlet is not None:
                outlet.wake()

    def close(self) -> None:
        """Leave; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._subscriber is not None:
            self.feed.leave(self._subscriber)
        self.outlet = None
        self._release(self)

    async def aclose(self) -> None:
        """As :meth:`close`."""
        self.close()
