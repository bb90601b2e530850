"""The hub: fans the log of every watched session out to all its readers in this process."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from stepwire_core.errors import SessionNotFound, StoreRefused, StoreUnavailable
from stepwire_core.log.event_log import LogTail
from stepwire_core.process.supervision import Fail, Supervisor, stop_process
from stepwire_core.redis.backoff import Backoff
from stepwire_core.redis.keys import GONE, Channels, session_of_channel
from stepwire_core.redis.pubsub import PubSubLink
from stepwire_core.wire.unreadable import UNREADABLE
from stepwire_gateway.hub.feed import Feed, Subscriber, batch_length
from stepwire_gateway.hub.frames import Frame, event_frame, frames_of_message, snapshot_frame
from stepwire_gateway.hub.snapshots import Snapshots, WrittenSnapshot
from stepwire_gateway.metrics import Metrics, counter, gauge
from stepwire_gateway.prefix import Prefix

if TYPE_CHECKING:
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.settings import Settings
    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.hub.feed import WriteThrough

logger = logging.getLogger("stepwire.hub")

_TAILS_PER_CALL: Final = 500
_CHECKS_PER_FULL_ONE: Final = 20

T = TypeVar("T")


STREAMS: Final = gauge("streams", "Event streams that are open.")
SESSIONS: Final = gauge("sessions", "Sessions that are being read.")
DRAINING: Final = gauge("draining", "1 while the process is shutting down.")
SNAPSHOTS: Final = counter("snapshots", "Snapshots handed to clients.")
GAPS: Final = counter("gaps", "Messages that did not continue a session: its log was read.")
FELL_BEHIND: Final = counter(
    "fell_behind", "Times that a client was slower than its session: it read the log."
)
RECONNECTS: Final = counter("pubsub_reconnects", "Times that the pub/sub connection was lost.")
UNREADABLE_MESSAGES: Final = counter("unreadable", "Messages on channels that were passed over.")
UNREADABLE_DOCUMENTS: Final = counter(
    "unreadable_documents", "Documents left out of what was read, by kind.", labels=("kind",)
)


class Hub:
    """Readers of one session share its feed; the log is the truth, pub/sub only the news.

    A message that continues the feed is handed over as it is. Any other is just a bell: the feed
    reads the log from its position. So a lost message costs a read, never an event.
    """

    def __init__(
        self,
        log: EventLog,
        settings: Settings,
        prefix: Prefix | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.log = log
        self.metrics: Final = metrics or Metrics()
        self.prefix: Final = prefix or Prefix(settings.root_path)
        self.snapshots = Snapshots(log, self.prefix)
        self.subscriber_bytes = settings.subscriber_bytes
        self._settings = settings
        self._channels = Channels.of(settings.redis_url)
        self._feeds: dict[str, Feed] = {}
        self._link = PubSubLink(log.redis, self._on_message, self._on_restored)
        self._restored = asyncio.Event()
        self._readings: set[Reading] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self._show_metrics()

    @asynccontextmanager
    async def running(self, fail: Fail = stop_process) -> AsyncIterator[None]:
        """Connected, for as long as the block runs; ``fail`` is called if that cannot be kept up,
        as without the right to subscribe."""
        async with Supervisor(fail) as side_tasks:
            side_tasks.start(self._link.run(), "stepwire-pubsub")
            side_tasks.start(self._watch_tails(), "stepwire-tails")
            side_tasks.start(self._watch_server(), "stepwire-server")
            try:
                yield
            finally:
                for feed in self._feeds.values():
                    feed.close()
                self.snapshots.close()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self, session_id: str, after: Cursor | None) -> Reading:
        """Start reading a session; the caller must close what he gets.

        Raises:
            SessionNotFound: the session is not there.
            StoreUnavailable: Redis does not answer.
        """
        reading = Reading(self, self._feed(session_id))
        self._readings.add(reading)
        try:
            # Subscribed first, read second: what is appended in between comes as a message.
            await self._link.subscribe(self._channels.session(session_id))
            await reading.start(after)
        except BaseException:
            await reading.aclose()
            raise
        return reading

    def _show_metrics(self) -> None:
        self.metrics.watch(STREAMS, lambda: {(): len(self._readings)})
        self.metrics.watch(SESSIONS, lambda: {(): len(self._feeds)})
        self.metrics.watch(DRAINING, lambda: {(): self.draining})
        # The first connection is not a reconnect.
        self.metrics.watch(RECONNECTS, lambda: {(): max(0, self._link.reconnects - 1)})
        self.metrics.watch(UNREADABLE_MESSAGES, lambda: {(): self._link.unreadable})
        self.metrics.watch(
            UNREADABLE_DOCUMENTS, lambda: {(kind,): n for kind, n in UNREADABLE.counts.items()}
        )

    @property
    def problem(self) -> str | None:
        """Why events may be late now; None while the pub/sub connection is confirmed."""
        return self._link.problem

    def drain(self, spread_s: float) -> None:
        """End every reading, spread over some seconds: clients must not all come back at once."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for reading in self._readings:
            loop.call_later(random.uniform(0, spread_s), reading.stop)  # noqa: S311 - spread

    # -- feeds ----------------------------------------------------------------------------------

    def _feed(self, session_id: str) -> Feed:
        feed = self._feeds.get(session_id)
        if feed is None or feed.gone:
            feed = self._feeds[session_id] = Feed(session_id)
        feed.readers += 1
        return feed

    async def release(self, reading: Reading) -> None:
        """A reader is done with his feed; the last one unsubscribes."""
        self._readings.discard(reading)
        feed = reading.feed
        feed.readers -= 1
        if feed.readers == 0 and self._feeds.get(feed.session_id) is feed:
            del self._feeds[feed.session_id]
            if feed.catching_up is not None:
                feed.catching_up.cancel()
            await self._link.unsubscribe(self._channels.session(feed.session_id))

    def _on_message(self, channel: bytes, payload: bytes) -> None:
        feed = self._feeds.get(session_of_channel(channel))
        if feed is None:
            return
        if payload == GONE:
            # Believed when the log says so, too: anybody may publish.
            self._look_at(feed)
            return
        frames = frames_of_message(payload, self.prefix)
        if not feed.subscribers:
            last = frames[-1].cursor
            if feed.position is None or last > feed.position:
                feed.position = last
        elif feed.follows(frames[0].cursor):
            feed.deliver(frames)
        elif feed.position is None or frames[-1].cursor > feed.position:
            self.metrics.add(GAPS)
            feed.hear_of(frames[-1].cursor)
            self._catch_up(feed)

    def _catch_up(self, feed: Feed) -> None:
        if feed.catching_up is None or feed.catching_up.done():
            feed.catching_up = asyncio.create_task(self._read_on(feed))
            self._tasks.add(feed.catching_up)
            feed.catching_up.add_done_callback(self._tasks.discard)

    async def _read_on(self, feed: Feed) -> None:
        try:
            await self._bring_to_top(feed)
        except SessionNotFound:
            feed.close()
        except Exception:  # each session by itself: no caller waits for this task
            logger.exception("a session cannot be read", extra={"session_id": feed.session_id})
            # Each of them reads by itself, and hears what is wrong.
            feed.let_all_go()

    async def _bring_to_top(self, feed: Feed) -> None:
        while feed.subscribers:
            position, heard = feed.position, feed.heard
            read = await self.insist(partial(self.snapshots.read, feed.session_id, position))
            if feed.position != position:
                # Messages have moved the feed while the log was read.
                continue
            if isinstance(read, WrittenSnapshot):
                self.metrics.add(SNAPSHOTS, amount=len(feed.subscribers))
            if frames := frames_of(read, self.prefix):
                feed.deliver(frames)
            if isinstance(read, LogTail) and feed.position == read.top:
                feed.has_read_up_to(read.top, heard)
                if feed.heard is None:
                    return

    # -- what pub/sub cannot promise -------------------------------------------------------------

    def _on_restored(self) -> None:
        """Messages were lost while the connection was away: look at every log."""
        self._restored.set()

    def _look_at(self, feed: Feed) -> None:
        """A message says something about its session that only the log can say."""
        task = asyncio.create_task(self._look(feed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, feed: Feed) -> None:
        try:
            await self._check_tails([feed])
        except StoreRefused as error:
            # The readers of the session are notified.
            logger.error("a session cannot be looked at", extra={"error": str(error)})  # noqa: TRY400 - says all
            feed.let_all_go()

    async def _watch_tails(self) -> None:
        """A lost last message has nothing after it that reveals it: look now and then.

        At a feed that has had news since the last look only at the next one: news reveal what was
        lost before them, and a look at each of thousands of busy feeds is far from free.
        """
        for check in itertools.count(1):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._next_check_s()):
                    await self._restored.wait()
            # A session that expires says nothing: the quiet ones are looked at, too, if rarely.
            everyone = self._restored.is_set() or check % _CHECKS_PER_FULL_ONE == 0
            self._restored.clear()
            await self._check_tails(
                [feed for feed in self._feeds.values() if feed.is_due() or everyone]
            )

    async def _watch_server(self) -> None:
        """A server that was demoted still answers those who read, and says nothing any more: its
        refusal of a write closes what is connected to it."""
        while True:
            await asyncio.sleep(self._next_check_s())
            try:
                await self.log.ping()
            except StoreUnavailable as error:
                logger.warning("the log takes no writes", extra={"error": str(error)})
            await self._link.check()

    def _next_check_s(self) -> float:
        return self._settings.tail_check_s * random.uniform(0.8, 1.2)  # noqa: S311 - spread

    async def _check_tails(self, feeds: list[Feed]) -> None:
        for start in range(0, len(feeds), _TAILS_PER_CALL):
            chunk = feeds[start : start + _TAILS_PER_CALL]
            session_ids = [feed.session_id for feed in chunk]
            positions = [feed.position for feed in chunk]
            tops = await self.insist(partial(self.log.tops, session_ids))
            for feed, before, top in zip(chunk, positions, tops, strict=True):
                feed.quiet_checks += 1
                if top is None:
                    feed.close()
                elif not feed.subscribers:
                    # Somebody may be about to join who has read before the messages were lost.
                    if feed.position == before:
                        feed.position = top
                else:
                    # Ahead of the log, too: a server may come back without its tail.
                    if feed.position != top:
                        self._catch_up(feed)
                    feed.let_go_after(top)

    async def insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` returns, as soon as Redis answers."""
        backoff = Backoff()
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                logger.warning("the log does not answer", extra={"error": str(error)})
                await asyncio.sleep(backoff.next_s())


class Reading:
    """One reader's way through a session: iterate over :meth:`batches`, and close it in any case.

    Every event from the cursor on comes exactly once and in order; where the log does not reach
    back, a snapshot comes instead. What ``write_through`` has sent does not come: it is asked only
    while the iteration waits for the next batch.
    """

    def __init__(self, hub: Hub, feed: Feed) -> None:
        self._hub = hub
        self.feed = feed
        self.stopped = False
        self.write_through: WriteThrough | None = None
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
        self._first = await self._hub.snapshots.read(self.feed.session_id, after)

    async def batches(self) -> AsyncGenerator[list[Frame], None]:
        """Frames as they come, until the session is gone or the process stops.

        While Redis is away it waits.
        """
        hub, feed = self._hub, self.feed
        read, self._first = self._first, None
        while not (feed.gone or self.stopped):
            if read is None and (read := await self._read()) is None:
                return
            frames = frames_of(read, self._hub.prefix)
            if frames:
                feed.note(frames)
            if isinstance(read, WrittenSnapshot):
                hub.metrics.add(SNAPSHOTS)
            more = isinstance(read, LogTail) and bool(frames) and frames[-1].cursor != read.top
            read = None
            while frames:
                yield self._first_of(frames)
            if self._cursor is None or more:
                # A feed that nobody has joined yet would begin where this reader stands, and what
                # the log has beyond that would wait for the next message.
                continue
            feed.has_read_up_to(self._cursor, self._heard)
            subscriber = self._subscriber = Subscriber(
                self._cursor, hub.subscriber_bytes, self.write_through
            )
            if self.stopped or not feed.join(subscriber):
                continue
            while frames := await subscriber.take():
                yield frames
                # A snapshot in it would be kept for as long as nothing comes.
                del frames
            # He has taken all that was accepted for him.
            self._cursor = subscriber.cursor
            if not (feed.gone or self.stopped):
                hub.metrics.add(FELL_BEHIND)

    async def _read(self) -> LogTail | WrittenSnapshot | None:
        """The next events of the log; None: nothing can be read any more."""
        hub, feed = self._hub, self.feed
        self._heard, told = feed.heard, feed.position
        try:
            read = await hub.insist(lambda: hub.snapshots.read(feed.session_id, self._cursor))
        except SessionNotFound:
            return None
        except StoreRefused as error:
            # The client comes back, and is told to until the cause is mended.
            logger.error("the log cannot be read", extra={"error": str(error)})  # noqa: TRY400 - says all
            return None
        if isinstance(read, LogTail):
            feed.disbelieve(told, read.top)
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
        if self._subscriber is not None:
            self.feed.leave(self._subscriber)
            self._subscriber.drop()

    async def aclose(self) -> None:
        """Leave; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self._subscriber is not None:
            self.feed.leave(self._subscriber)
        await self._hub.release(self)


def frames_of(read: LogTail | WrittenSnapshot, prefix: Prefix) -> list[Frame]:
    """What a read of the log looks like on the wire."""
    if isinstance(read, WrittenSnapshot):
        return [snapshot_frame(read)]
    return [event_frame(event, prefix) for event in read.events]
