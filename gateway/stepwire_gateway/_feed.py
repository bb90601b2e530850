"""The feed of one session in one gateway process, and those who read it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire_core.cursor import Cursor
    from stepwire_gateway._frames import Frame

RUN_END: Final = "run.end"
SURE_AFTER: Final = 3
"""Looks at the log that found nothing new, after which a feed without an open run is left alone."""


WRITE_BYTES: Final = 64 * 1024
"""A batch of frames ends with the one that fills this: what a reader has taken and not yet sent
stays small beside what may wait for him."""


class Subscriber:
    """A reader who has joined a feed: frames wait here until he takes them.

    At most ``limit_bytes`` wait. Who falls further behind is dropped from the feed, takes what
    waits, and goes on by reading the log.
    """

    __slots__ = ("_frames", "_limit_bytes", "_ready", "_waiting_bytes", "cursor", "dropped")

    def __init__(self, cursor: Cursor, limit_bytes: int) -> None:
        self.cursor = cursor
        self.dropped = False
        self._limit_bytes = limit_bytes
        self._frames: list[Frame] = []
        self._waiting_bytes = 0
        self._ready = asyncio.Event()

    def offer(self, frames: Sequence[Frame], size: int) -> None:
        """Queue frames that follow each other; what the reader has already is left out."""
        if frames[0].snapshot is None and frames[0].cursor <= self.cursor:
            frames = [frame for frame in frames if frame.cursor > self.cursor]
            if not frames:
                return
            size = bytes_of(frames)
        if self._waiting_bytes + size > self._limit_bytes and self._frames:
            self.drop()
            return
        self._frames.extend(frames)
        self._waiting_bytes += size
        self.cursor = frames[-1].cursor
        self._ready.set()

    def drop(self) -> None:
        """Offer nothing more; wakes the reader."""
        self.dropped = True
        self._ready.set()

    async def take(self) -> list[Frame]:
        """The next batch, as soon as there is something; none once he was dropped and has all."""
        while not self._frames and not self.dropped:
            self._ready.clear()
            await self._ready.wait()
        if self._waiting_bytes <= WRITE_BYTES:
            frames, self._frames = self._frames, []
            self._waiting_bytes = 0
            return frames
        frames = self._frames[: batch_length(self._frames)]
        del self._frames[: len(frames)]
        self._waiting_bytes -= bytes_of(frames)
        return frames


class Feed:
    """What a process knows of one session: where the channel is, who has joined.

    ``position`` is the last event that came by, None before the first. Every subscriber's cursor is
    at it or ahead of it, so frames that continue ``position`` continue everybody.
    """

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.position: Cursor | None = None
        self.readers = 0
        self.gone = False
        self.quiet_checks = 0
        self._open_runs: set[str] = set()
        self.subscribers: set[Subscriber] = set()
        self.catching_up: asyncio.Task[None] | None = None

    def join(self, subscriber: Subscriber) -> bool:
        """Let a reader have what comes next; False if the feed is past him and he has to read on.

        No await may stand between his last read of the log and this call.
        """
        if self.gone:
            # While he read: nothing comes here any more, and nobody would wake him.
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

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)

    def let_go_after(self, top: Cursor) -> None:
        """Make those read on who have what the log has not: it gives them a snapshot. Who was only
        quicker than the look at the log loses nothing by it."""
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
        self.note(frames)
        size = bytes_of(frames)
        for subscriber in list(self.subscribers):
            subscriber.offer(frames, size)
            if subscriber.dropped:
                self.subscribers.discard(subscriber)

    def note(self, frames: Sequence[Frame]) -> None:
        """Learn from frames, also from those that one reader fetched, which runs are open."""
        self.quiet_checks = 0
        for frame in frames:
            if frame.snapshot is not None:
                self._open_runs = {
                    run.run_id for run in frame.snapshot.runs if run.status == "running"
                }
            elif frame.type == RUN_END:
                self._open_runs.discard(frame.run_id)
            elif frame.run_id:
                self._open_runs.add(frame.run_id)

    @property
    def worth_checking(self) -> bool:
        """Whether an event may come whose news gets lost."""
        return bool(self._open_runs) or self.quiet_checks < SURE_AFTER

    def close(self) -> None:
        """The session is gone: everybody is let go."""
        self.gone = True
        for subscriber in self.subscribers:
            subscriber.drop()
        self.subscribers.clear()


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
