"""The hub: fans the log of every watched session out to all its readers in this process."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.errors import SessionNotFound, StoreRefused, StoreUnavailable
from stepwire_core.log.event_log import LogTail
from stepwire_core.log.session_index import SessionIndex
from stepwire_core.process.supervision import Fail, Supervisor, stop_process
from stepwire_core.redis.keys import GONE, Channels, session_of_channel
from stepwire_core.wire.unreadable import UNREADABLE
from stepwire_gateway.hub.feed import Feed
from stepwire_gateway.hub.frames import frames_of_message
from stepwire_gateway.hub.log_source import LogSource
from stepwire_gateway.hub.reading import SNAPSHOTS, Reading
from stepwire_gateway.hub.session_list import ListReading, SessionList
from stepwire_gateway.hub.tail_watch import TailWatch
from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
from stepwire_gateway.metrics import Metrics, counter, gauge
from stepwire_gateway.prefix import Prefix

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence

    from stepwire_core.log.event_log import EventLog
    from stepwire_core.log.session_index import Page
    from stepwire_core.settings import Settings
    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.hub.session_list import ListFrames

logger = logging.getLogger("stepwire.hub")


STREAMS: Final = gauge("streams", "Event streams that are open.")
SESSIONS: Final = gauge("sessions", "Sessions that are being read.")
DRAINING: Final = gauge("draining", "1 while the process is shutting down.")
AWAY: Final = gauge("log_nodes_away", "Primaries of the log that take no writes; 1 if none does.")
GAPS: Final = counter("gaps", "Messages that did not continue a session: its log was read.")
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
        self._source = LogSource(log, self.prefix)
        self.snapshots = self._source.snapshots
        self._subscriber_bytes = settings.subscriber_bytes
        self._channels = Channels.of(settings.redis_url)
        self._feeds: dict[str, Feed] = {}
        self._watch = TailWatch(
            self._source,
            settings.tail_check_s,
            feeds=lambda: list(self._feeds.values()),
            catch_up=self._catch_up,
        )
        self._link = log.store.listen(self._on_message, self._on_restored)
        self.sessions: Final = SessionList(SessionIndex(log.store, settings), self.metrics)
        self._readings: set[Reading | ListReading] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: set[str] = set()
        """Sessions whose last reader is gone, and whose channels are still subscribed to."""
        self.draining = False
        self._leaving = 0
        self._away: Sequence[str] = ()
        self._show_metrics()

    @asynccontextmanager
    async def running(self, fail: Fail = stop_process) -> AsyncIterator[None]:
        """Connected, for as long as the block runs; ``fail`` is called if that cannot be kept up,
        as without the right to subscribe."""
        async with Supervisor(fail) as side_tasks:
            side_tasks.start(self._link.run(), "stepwire-pubsub")
            side_tasks.start(self._watch.run(), "stepwire-tails")
            side_tasks.start(self._watch_server(), "stepwire-server")
            side_tasks.start(self.sessions.run(), "stepwire-sessions")
            side_tasks.start(self.sessions.sweep(), "stepwire-sweep")
            try:
                yield
            finally:
                for feed in self._feeds.values():
                    feed.close()
                self.sessions.close()
                self.snapshots.close()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self, session_id: str, after: Cursor | None) -> Reading:
        """Start reading a session; the caller must close the reading.

        Raises:
            SessionNotFound: the session is not there.
            StoreUnavailable: Redis does not answer.
        """
        reading = Reading(
            self._feed(session_id),
            self._source,
            self.metrics,
            buffer_bytes=self._subscriber_bytes,
            release=self._release,
        )
        self._readings.add(reading)
        try:
            # Subscribed first, read second: what is appended in between comes as a message.
            await self._link.subscribe(self._channels.session(session_id))
            await reading.start(after)
        except BaseException:
            await reading.aclose()
            raise
        return reading

    async def open_list(
        self, first_page: Callable[[], Awaitable[Page]], frames: ListFrames
    ) -> ListReading:
        """Start reading the list of sessions; the caller must close the reading.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer.
        """
        return await self.sessions.open(self._link, first_page, frames, self._readings)

    def _show_metrics(self) -> None:
        self.metrics.watch(STREAMS, lambda: {(): len(self._readings)})
        self.metrics.watch(SESSIONS, lambda: {(): len(self._feeds)})
        self.metrics.watch(AWAY, lambda: {(): len(self._away)})
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

    @property
    def partial_problems(self) -> Sequence[str]:
        """Why events of some sessions may be late now: of those on a node that is away."""
        return self._link.partial_problems

    @property
    def streams(self) -> int:
        """How many readings are open; while they are being ended, how many there were."""
        return max(self._leaving, len(self._readings))

    def drain(self, spread_s: float) -> None:
        """End every reading, spread over some seconds: clients must not all come back at once."""
        self.draining = True
        self._leaving = len(self._readings)
        loop = asyncio.get_running_loop()
        for reading in self._readings:
            loop.call_later(random.uniform(0, spread_s), reading.stop)  # noqa: S311 - spread

    # -- feeds ----------------------------------------------------------------------------------

    def _feed(self, session_id: str) -> Feed:
        feed = self._feeds.get(session_id)
        if feed is None or feed.gone:
            feed = self._feeds[session_id] = Feed(session_id, self.metrics)
        feed.readers += 1
        return feed

    def _release(self, reading: Reading) -> None:
        """A reader is done with its feed; the last one unsubscribes."""
        self._readings.discard(reading)
        feed = reading.feed
        feed.readers -= 1
        if feed.readers == 0 and self._feeds.get(feed.session_id) is feed:
            del self._feeds[feed.session_id]
            if feed.catching_up is not None:
                feed.catching_up.cancel()
            if not self._left:
                self._start(self._unsubscribe())
            self._left.add(feed.session_id)

    async def _unsubscribe(self) -> None:
        """Leave the channels of sessions that are still without a reader."""
        while self._left:
            session_id = self._left.pop()
            if session_id not in self._feeds:
                await self._link.unsubscribe(self._channels.session(session_id))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_restored(self, channels: Collection[bytes]) -> None:
        feeds = (self._feeds.get(session_of_channel(channel)) for channel in channels)
        self._watch.look_at(feed for feed in feeds if feed is not None)
        if self.sessions.index.channel in channels:
            self.sessions.begin_anew()

    def _on_message(self, channel: bytes, payload: bytes) -> None:
        if channel == self.sessions.index.channel:
            self.sessions.hear(payload)
            return
        feed = self._feeds.get(session_of_channel(channel))
        if feed is None:
            return
        if payload == GONE:
            # The log must confirm it: any program may publish.
            self._look_at(feed)
            return
        if feed.pass_on(payload):
            return
        frames = frames_of_message(payload, self.prefix)
        if not feed.is_read:
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
            # Each subscriber reads by itself, and learns what is wrong.
            feed.drop_all()

    async def _bring_to_top(self, feed: Feed) -> None:
        while feed.is_read:
            position, heard = feed.position, feed.heard
            read = await self._source.read(feed.session_id, position)
            if feed.position != position:
                # Messages have moved the feed while the log was read.
                continue
            if isinstance(read, WrittenSnapshot):
                self.metrics.add(SNAPSHOTS, amount=feed.subscriber_count)
            if frames := self._source.frames(read):
                feed.deliver(frames)
            if isinstance(read, LogTail) and feed.position == read.top:
                feed.has_read_up_to(read.top, heard)
                if feed.heard is None:
                    return

    def _look_at(self, feed: Feed) -> None:
        """A message says something about its session that only the log can say."""
        self._start(self._look(feed))

    async def _look(self, feed: Feed) -> None:
        try:
            await self._watch.check([feed])
        except StoreRefused as error:
            # The readers of the session are notified.
            logger.error("a session cannot be looked at", extra={"error": str(error)})  # noqa: TRY400 - says all
            feed.drop_all()

    async def _watch_server(self) -> None:
        """A server that was demoted still answers reads, and publishes nothing any more: its
        refusal of a write closes what is connected to it."""
        while True:
            await asyncio.sleep(self._watch.next_check_s())
            try:
                self._away = await self.log.ping()
                for problem in self._away:
                    logger.warning("a node of the log takes no writes", extra={"error": problem})
            except StoreUnavailable as error:
                self._away = [str(error)]
                logger.warning("the log takes no writes", extra={"error": str(error)})
            await self._link.check()
            await self.sessions.check()
