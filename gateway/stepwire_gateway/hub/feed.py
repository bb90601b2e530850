"""The feed of one session in one gateway process, and its subscribers."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final, Protocol

from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import RUN_END
from stepwire_gateway.metrics import Metrics, counter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepwire_gateway.hub.frames import Frame

SURE_AFTER: Final = 3
"""Looks at the log that found nothing new, after which a feed without an open run is left alone."""


WRITE_BYTES: Final = 64 * 1024
"""A batch of frames ends with the one that fills this: frames that a reader has taken and not yet
sent stay few beside those that may wait for it."""

_NEVER: Final = math.inf
_RUN_END: Final = RUN_END.encode()
_ELEMENT: Final = b"element.add"

FRAMES: Final = counter("frames", "Events handed to clients.")
FRAME_BYTES: Final = counter("frame_bytes", "The same in bytes, without comments and hints.")


class Outlet(Protocol):
    """A client's connection, to which a feed writes while its reader has nothing else to do."""

    expires_at: float
    """When nothing more may be written, in seconds since 1970."""

    def open_for_feed(self) -> Callable[[bytes], object] | None:
        """The function that sends a piece of the body, which is a chunk of HTTP/1.1; None while
        nothing should be added."""
        ...

    def wake(self) -> None:
        """There is more to do than to send the next frames: from now on they wait."""
        ...


class Subscriber:
    """A reader that has joined a feed: frames wait here until the reader takes them.

    At most ``limit_bytes`` wait. A reader that falls further behind is dropped from the feed, takes
    the frames that wait, and goes on by reading the log.
    """

    __slots__ = (
        "_frames",
        "_limit_bytes",
        "_waiter",
        "_waiting_bytes",
        "cursor",
        "dropped",
        "outlet",
    )

    def __init__(self, cursor: Cursor, limit_bytes: int) -> None:
        self.cursor = cursor
        """The last event that the reader has, or that waits for it; of one that is parked, the
        position of the feed is that."""
        self.dropped = False
        self.outlet: Outlet | None = None
        """Where the feed itself writes, while the reader is parked."""
        self._limit_bytes = limit_bytes
        self._frames: list[Frame] | None = None
        self._waiting_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def has_more(self) -> bool:
        """Whether :meth:`take` would return at once."""
        return bool(self._frames) or self.dropped

    def offer(self, frames: Sequence[Frame], encoded_bytes: int) -> None:
        """Queue frames that follow each other; what the reader has already is left out.

        ``encoded_bytes`` is the size of all of them.
        """
        if frames[0].cursor <= self.cursor and frames[0].snapshot is None:
            frames = [frame for frame in frames if frame.cursor > self.cursor]
            if not frames:
                return
            encoded_bytes = bytes_of(frames)
        if self._frames is None:
            self._frames = []
        elif self._frames and self._waiting_bytes + encoded_bytes > self._limit_bytes:
            self.drop()
            return
        self._frames.extend(frames)
        self._waiting_bytes += encoded_bytes
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
        frames = self._frames or []
        if self._waiting_bytes <= WRITE_BYTES:
            self._frames, self._waiting_bytes = None, 0
            return frames
        batch = frames[: batch_length(frames)]
        del frames[: len(batch)]
        self._waiting_bytes -= bytes_of(batch)
        return batch

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Feed:
    """The state of one session in this process: the position of its channel, its subscribers.

    ``position`` is the last event that came by, None before the first. Every subscriber's cursor is
    at it or ahead of it, so frames that continue ``position`` continue all of them.

    ``heard`` is the last event of which there was news that did not continue ``position``; None
    once the log has been read since.

    A subscriber that has nothing to do but to wait can be parked: it has no task then, and the feed
    writes to its connection, a chunk that is made once for all of them.
    """

    __slots__ = (
        "_counted",
        "_counted_bytes",
        "_expires_at",
        "_is_lively",
        "_noted_run",
        "_open_runs",
        "_parked",
        "_time",
        "catching_up",
        "gone",
        "heard",
        "position",
        "quiet_checks",
        "readers",
        "session_id",
        "subscribers",
        "written_at",
    )

    def __init__(self, session_id: str, metrics: Metrics) -> None:
        self.session_id = session_id
        self._counted, self._counted_bytes = metrics.counts(FRAMES), metrics.counts(FRAME_BYTES)
        self.position: Cursor | None = None
        self.heard: Cursor | None = None
        self.readers = 0
        self.gone = False
        self.quiet_checks = 0
        self._is_lively = False
        self._open_runs: set[str] = set()
        self._noted_run = b""
        """The run of the last event, if that is noted as open."""
        self.subscribers: set[Subscriber] = set()
        """Those that take what waits for them."""
        self._parked: dict[Subscriber, Callable[[bytes], object]] = {}
        self._expires_at = _NEVER
        """No outlet of a parked one expires earlier."""
        self.written_at = float("-inf")
        """When the feed has last written to those that are parked, by the clock of the loop."""
        self._time: Callable[[], float] | None = None
        self.catching_up: asyncio.Task[None] | None = None

    @property
    def is_read(self) -> bool:
        """Whether there is a subscriber."""
        return bool(self._parked or self.subscribers)

    @property
    def subscriber_count(self) -> int:
        return len(self._parked) + len(self.subscribers)

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
        if told is not None and told > top and self.position == told and not self.is_read:
            self.position = top

    def park(self, subscriber: Subscriber, outlet: Outlet) -> bool:
        """Let the feed write to the outlet, until it is woken; False if something waits for the
        subscriber, or it is ahead of the feed."""
        if subscriber not in self.subscribers or subscriber.has_more:
            return False
        if subscriber.cursor != self.position or (write := outlet.open_for_feed()) is None:
            return False
        self.subscribers.discard(subscriber)
        subscriber.outlet = outlet
        self._parked[subscriber] = write
        self._expires_at = min(self._expires_at, outlet.expires_at)
        return True

    def unpark(self, subscriber: Subscriber) -> None:
        """From now on, frames wait for the subscriber; that the reader takes them is its own."""
        if self._parked.pop(subscriber, None) is not None and self.position is not None:
            subscriber.cursor, subscriber.outlet = self.position, None
            self.subscribers.add(subscriber)

    def _wake(self, subscriber: Subscriber) -> None:
        outlet = subscriber.outlet
        self.unpark(subscriber)
        if outlet is not None:
            outlet.wake()

    def leave(self, subscriber: Subscriber) -> None:
        self.unpark(subscriber)
        self.subscribers.discard(subscriber)

    def drop_ahead_of(self, top: Cursor) -> None:
        """Make subscribers that are ahead of the log read it: they get a snapshot. A subscriber
        that was only quicker than the look at the log loses nothing by it."""
        if self.position is not None and self.position > top:
            self._wake_all()
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
        encoded = joined(frames)
        if self._parked:
            if len(encoded) > WRITE_BYTES or frames[0].snapshot is not None:
                # More than may be added at once: the readers take it in batches.
                self._wake_all()
            elif self._expires_at != _NEVER and self._expires_at <= time.time():
                self._wake_expired()
        self.position = frames[-1].cursor
        self._is_lively = True
        self.note(frames)
        if self._parked:
            self._write(encoded, len(frames))
        for subscriber in list(self.subscribers):
            subscriber.offer(frames, len(encoded))
            if subscriber.dropped:
                self.subscribers.discard(subscriber)

    def pass_on(self, message: bytes) -> bool:
        """Write the one event of a message of ``append.lua`` to all readers, if they are parked and
        it continues the position; else False, and nothing is done.

        Most messages are that. None of them becomes an object but the position.

        Raises:
            ValueError: the message has another form.
        """
        position = self.position
        if self.subscribers or position is None or len(message) > WRITE_BYTES or not self._parked:
            return False
        epoch, _, line = message.partition(b"\n")
        seq, type_, run_id, data = line.split(b" ", 3)
        number = int(seq)
        if number != position.seq + 1 or int(epoch) != position.epoch or b"\n" in data:
            return False
        # What is noted of runs, and what has an address in it, is seen to where there are frames.
        if run_id != self._noted_run or type_ in (_RUN_END, _ELEMENT):
            return False
        if self._expires_at != _NEVER and self._expires_at <= time.time():
            return False
        self.position = Cursor(position.epoch, number)
        self._is_lively = True
        self.quiet_checks = 0
        self._write(b"id: %b-%b\nevent: %b\ndata: %b\n\n" % (epoch, seq, type_, data), 1)
        return True

    def _write(self, encoded: bytes, count: int) -> None:
        # For each event of each client, so without further calls.
        chunk = b"%x\r\n%b\r\n" % (len(encoded), encoded)
        writes = list(self._parked.values())
        for write in writes:
            try:
                write(chunk)
            except RuntimeError:
                # The transport is closed, and its connection is about to be told.
                continue
        self._counted[()] += count * len(writes)
        self._counted_bytes[()] += len(encoded) * len(writes)
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        self.written_at = self._time()

    def _wake_expired(self) -> None:
        now = time.time()
        for subscriber in list(self._parked):
            if subscriber.outlet is not None and subscriber.outlet.expires_at <= now:
                self._wake(subscriber)
        times = (one.outlet.expires_at for one in self._parked if one.outlet is not None)
        self._expires_at = min(times, default=_NEVER)

    def _wake_all(self) -> None:
        for subscriber in list(self._parked):
            self._wake(subscriber)

    def note(self, frames: Sequence[Frame]) -> None:
        """Note which runs these frames open and end; one reader alone may have fetched them."""
        self.quiet_checks = 0
        for frame in frames:
            if frame.snapshot is not None:
                self._open_runs = set(frame.snapshot.open_runs)
                self._noted_run = b""
            elif frame.type == RUN_END:
                self._open_runs.discard(frame.run_id)
                self._noted_run = b""
            else:
                if frame.run_id:
                    self._open_runs.add(frame.run_id)
                self._noted_run = frame.run_id.encode()

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
        self._wake_all()
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
