"""The feed of one session in one gateway process, and its subscribers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stepwire_core.wire.kinds import RUN_END

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.hub.frames import Frame

SURE_AFTER: Final = 3
"""Looks at the log that found nothing new, after which a feed without an open run is left alone."""


WRITE_BYTES: Final = 64 * 1024
"""A batch of frames ends with the one that fills this: frames that a reader has taken and not yet
sent stay few beside those that may wait for it."""

if TYPE_CHECKING:
    WriteThrough = Callable[[Sequence[Frame], bytes], bool]
    """Sends frames, which come joined too, at once; or returns False and has sent nothing."""


class Subscriber:
    """A reader that has joined a feed: frames wait here until the reader takes them.

    At most ``limit_bytes`` wait. A reader that falls further behind is dropped from the feed, takes
    the frames that wait, and goes on by reading the log.

    While the reader waits in :meth:`take` and no frames wait, new ones are offered to
    ``write_through`` first: if it returns True, the reader has them and is not woken.
    """

    __slots__ = (
        "_frames",
        "_limit_bytes",
        "_waiter",
        "_waiting_bytes",
        "_write_through",
        "cursor",
        "dropped",
    )

    def __init__(
        self, cursor: Cursor, limit_bytes: int, write_through: WriteThrough | None = None
    ) -> None:
        self.cursor = cursor
        """The last event that the reader has, or that waits for it."""
        self.dropped = False
        self._limit_bytes = limit_bytes
        self._write_through = write_through
        self._frames: list[Frame] = []
        self._waiting_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, frames: Sequence[Frame], encoded: bytes) -> None:
        """Queue frames that follow each other; what the reader has already is left out.

        ``encoded`` is all of them, joined once for all subscribers.
        """
        if frames[0].cursor <= self.cursor and frames[0].snapshot is None:
            frames = [frame for frame in frames if frame.cursor > self.cursor]
            if not frames:
                return
            encoded = joined(frames)
        if not self._frames:
            if (
                self._waiter is not None
                and self._write_through is not None
                and self._write_through(frames, encoded)
            ):
                self.cursor = frames[-1].cursor
                return
        elif self._waiting_bytes + len(encoded) > self._limit_bytes:
            self.drop()
            return
        self._frames.extend(frames)
        self._waiting_bytes += len(encoded)
        self.cursor = frames[-1].cursor
        self._wake()

    def drop(self) -> None:
        """Offer nothing more; wakes the reader."""
        self.dropped = True
        self._wake()

    async def take(self) -> list[Frame]:
        """The next batch, when there is one; empty once the reader was dropped and has all."""
        while not self._frames and not self.dropped:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._waiting_bytes <= WRITE_BYTES:
            frames, self._frames = self._frames, []
            self._waiting_bytes = 0
            return frames
        frames = self._frames[: batch_length(self._frames)]
        del self._frames[: len(frames)]
        self._waiting_bytes -= bytes_of(frames)
        return frames

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Feed:
    """The state of one session in this process: the position of its channel, its subscribers.

    ``position`` is the last event that came by, None before the first. Every subscriber's cursor is
    at it or ahead of it, so frames that continue ``position`` continue all of them.

    ``heard`` is the last event of which there was news that did not continue ``position``; None
    once the log has been read since.
    """

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.position: Cursor | None = None
        self.heard: Cursor | None = None
        self.readers = 0
        self.gone = False
        self.quiet_checks = 0
        self._is_lively = False
        self._open_runs: set[str] = set()
        self.subscribers: set[Subscriber] = set()
        self.catching_up: asyncio.Task[None] | None = None

    def join(self, subscriber: Subscriber) -> bool:
        """Let a reader have the next frames; False if the feed is ahead and it must read on.

        No await may stand between the reader's last read of the log and this call.
        """
        if self.gone:
            # It closed during the read: the reader would wait for ever.
            return False
        if self.heard is not None and self.heard > subscriber.cursor:
            # It came after the log was read, and another reader may not be reading on.
            return False
        if self.position is None:
            self.position = subscriber.cursor
        elif self.position > subscriber.cursor:
            return False
        elif self.position < subscriber.cursor:
            # Its news is still on its way; or it was lost with the tail of a server that crashed.
            self.quiet_checks = 0
        self.subscribers.add(subscriber)
        return True

    def hear_of(self, cursor: Cursor) -> None:
        """There is news that does not continue the position: it is in the log."""
        if self.heard is None or cursor > self.heard:
            self.heard = cursor

    def has_read_up_to(self, top: Cursor, heard: Cursor | None) -> None:
        """The log was read to its end, which is ``top``, when ``heard`` was all the news.

        What was heard of by then and is not there has never been: no reader reads for it again.
        """
        if self.heard is not None and (self.heard == heard or self.heard <= top):
            self.heard = None

    def distrust(self, told: Cursor | None, top: Cursor) -> None:
        """The log, read when ``told`` was the position, ends at ``top``: a message that was said to
        be beyond it was not of this log, and a reader would never come to where the feed is."""
        if told is not None and told > top and self.position == told and not self.subscribers:
            self.position = top

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)

    def drop_ahead_of(self, top: Cursor) -> None:
        """Make subscribers that are ahead of the log read it: they get a snapshot. A subscriber
        that was only quicker than the look at the log loses nothing by it."""
        for subscriber in [one for one in self.subscribers if one.cursor > top]:
            subscriber.drop()
            self.subscribers.discard(subscriber)

    def follows(self, cursor: Cursor) -> bool:
        """Whether the event of that cursor is the next one."""
        return (
            self.position is not None
            and cursor.epoch == self.position.epoch
            and cursor.seq == self.position.seq + 1
        )

    def deliver(self, frames: Sequence[Frame]) -> None:
        """Hand over frames that continue the position (or a snapshot, which replaces it)."""
        self.position = frames[-1].cursor
        self._is_lively = True
        self.note(frames)
        encoded = joined(frames)
        for subscriber in list(self.subscribers):
            subscriber.offer(frames, encoded)
            if subscriber.dropped:
                self.subscribers.discard(subscriber)

    def note(self, frames: Sequence[Frame]) -> None:
        """Note which runs these frames open and end; one reader alone may have fetched them."""
        self.quiet_checks = 0
        for frame in frames:
            if frame.snapshot is not None:
                self._open_runs = set(frame.snapshot.open_runs)
            elif frame.type == RUN_END:
                self._open_runs.discard(frame.run_id)
            elif frame.run_id:
                self._open_runs.add(frame.run_id)

    def is_due(self) -> bool:
        """Whether to look at the log's tail now, because the news of an event may have been lost.

        Asked every time that it could be. News that have come since it was last asked show by
        themselves what was lost before them.
        """
        lively, self._is_lively = self._is_lively, False
        return not lively and (bool(self._open_runs) or self.quiet_checks < SURE_AFTER)

    def close(self) -> None:
        """The session is gone: drop all subscribers."""
        self.gone = True
        self.drop_all()

    def drop_all(self) -> None:
        """Make every subscriber read the log by itself."""
        for subscriber in self.subscribers:
            subscriber.drop()
        self.subscribers.clear()


def joined(frames: Sequence[Frame]) -> bytes:
    """Frames that go out together."""
    return frames[0].encoded if len(frames) == 1 else b"".join(frame.encoded for frame in frames)


def bytes_of(frames: Sequence[Frame]) -> int:
    return sum(len(frame.encoded) for frame in frames)


def batch_length(frames: Sequence[Frame]) -> int:
    """How many of the first frames make one batch."""
    size = 0
    for count, frame in enumerate(frames, 1):
        size += len(frame.encoded)
        if size >= WRITE_BYTES:
            return count
    return len(frames)
