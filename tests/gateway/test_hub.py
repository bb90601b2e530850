"""The hub: every reader gets every event once and in order, whatever happens to the connections."""

from __future__ import annotations

import asyncio
import json
import math
import random
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import cast

import pytest
from redis.asyncio import Redis

from documents import a_step
from event_log import client_of
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.errors import SessionNotFound
from stepwire_core.log import reader as reading_module
from stepwire_core.log.event_log import Batch, EventLog, LogTail, open_log
from stepwire_core.redis.keys import Channels, SessionKeys
from stepwire_core.redis.pubsub import PubSubLink
from stepwire_core.redis.sockets import Pool
from stepwire_core.redis.standalone import connect
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import Snapshot, StepDocument
from stepwire_core.wire.events import NewEvent, delta_event, step_event
from stepwire_gateway.hub.feed import WRITE_BYTES, Feed, Subscriber
from stepwire_gateway.hub.frames import Frame, frames_of_message
from stepwire_gateway.hub.hub import GAPS, RECONNECTS, UNREADABLE_MESSAGES, Hub
from stepwire_gateway.hub.reading import FELL_BEHIND, Reading
from stepwire_gateway.metrics import Metrics
from stepwire_gateway.prefix import Prefix
from topologies import FULL

pytestmark = pytest.mark.anyio

LIMIT_S = 30


class Session:
    """A session that a test writes to, and the log it is in."""

    def __init__(self, log: EventLog) -> None:
        self.id = new_id()
        self.log = log
        self.redis = client_of(log.store)
        self.written = 0
        self._writing = asyncio.Lock()

    async def write(self, count: int, text: str = "x") -> Cursor:
        """Append that many events, one by one; the last one's cursor."""
        async with self._writing:
            return await self._write(count, text)

    async def write_together(self, texts: list[str]) -> Cursor:
        """Append these as one call, as a publisher does."""
        async with self._writing:
            return await self.add([delta_event("step", text) for text in texts])

    async def add(self, events: list[NewEvent]) -> Cursor:
        batch = Batch(self.id, events, producer="p", first=self.written + 1)
        self.written += len(events)
        return (await self.log.append(batch)).top

    async def _write(self, count: int, text: str) -> Cursor:
        cursor = None
        for _ in range(count):
            event = (
                delta_event("step", text)
                if self.written
                else step_event("step.start", self.step("step"))
            )
            cursor = await self.add([event])
        assert cursor is not None
        return cursor

    def step(self, step_id: str) -> StepDocument:
        return a_step(self.id, step_id, type="llm")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Hub, Session]]:
    async with open_log(settings) as log:
        session, hub = Session(log), Hub(log, settings)
        await log.create(session.id, new_id())
        async with hub.running():
            yield hub, session


class Reader:
    """A client: opens a session and notes what it gets."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.more = asyncio.Event()
        self.reading = asyncio.Event()

    async def read(self, hub: Hub, session_id: str, after: Cursor | None = None) -> None:
        reading = await hub.open(session_id, after)
        self.reading.set()
        try:
            async with aclosing(reading.batches()) as batches:
                async for frames in batches:
                    self.frames += frames
                    self.more.set()
        finally:
            await reading.aclose()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not true():
                self.more.clear()
                await self.more.wait()

    async def until_cursor(self, cursor: Cursor) -> None:
        await self.until(lambda: bool(self.frames) and self.frames[-1].cursor >= cursor)

    def assert_whole(self, first_seq: int = 1) -> None:
        """Dense from the first to the last; a snapshot may stand for what came before it."""
        expected = first_seq
        for frame in self.frames:
            if frame.snapshot is None:
                assert frame.cursor.seq == expected
            else:
                assert frame.cursor.seq >= expected - 1
            expected = frame.cursor.seq + 1


@asynccontextmanager
async def reading(
    hub: Hub, session_id: str, after: Cursor | None = None, count: int = 1
) -> AsyncIterator[list[Reader]]:
    readers = [Reader() for _ in range(count)]
    tasks = [asyncio.create_task(reader.read(hub, session_id, after)) for reader in readers]
    try:
        for reader in readers:
            await asyncio.wait_for(reader.reading.wait(), LIMIT_S)
        yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_reader_gets_the_state_then_what_comes(settings: Settings) -> None:
    async with running(settings) as (hub, session):
        before = await session.write(3)
        async with reading(hub, session.id) as [reader]:
            await reader.until_cursor(before)
            last = await session.write(5)
            await reader.until_cursor(last)
        assert [frame.type for frame in reader.frames] == ["snapshot"] + ["step.delta"] * 5
        assert [frame.cursor.seq for frame in reader.frames] == [3, 4, 5, 6, 7, 8]


async def test_readers_of_one_session_share_frames(settings: Settings) -> None:
    async with running(settings) as (hub, session), reading(hub, session.id, count=5) as readers:
        # A reader that has its snapshot may still be on its way to where the others are.
        async with asyncio.timeout(LIMIT_S):
            while True:
                last = await session.write(1)
                for reader in readers:
                    await reader.until_cursor(last)
                if len({id(reader.frames[-1]) for reader in readers}) == 1:
                    break
        last = await session.write(20)
        for reader in readers:
            await reader.until_cursor(last)
        first = readers[0].frames[-20:]
        for reader in readers[1:]:
            assert all(a is b for a, b in zip(reader.frames[-20:], first, strict=True))


async def test_an_event_between_subscribing_and_reading_is_neither_lost_nor_doubled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings) as (hub, session):
        await session.write(1)
        read = hub.log.read_stored

        async def busy_read(session_id: str, after: Cursor | None) -> object:
            await session.write(2)
            result = await read(session_id, after)
            await session.write(2)
            # Lets the messages of all four arrive before the reader joins the feed.
            await asyncio.sleep(0.01)
            return result

        monkeypatch.setattr(hub.log, "read_stored", busy_read)
        async with reading(hub, session.id, Cursor(0, 0)) as [reader]:
            await reader.until(lambda: len(reader.frames) >= 2)
            monkeypatch.setattr(hub.log, "read_stored", read)
            last = await session.write(3)
            await reader.until_cursor(last)
        reader.assert_whole()


async def test_a_reconnecting_reader_misses_nothing_wherever_it_was(settings: Settings) -> None:
    async with running(settings) as (hub, session):
        last = await session.write(30)
        for seq in range(1, 31):
            async with reading(hub, session.id, Cursor(last.epoch, seq)) as [reader]:
                await reader.until(lambda: seq == 30 or bool(reader.frames))  # noqa: B023
                if seq == 30:
                    last = await session.write(1)
                await reader.until_cursor(last)
            assert [frame.cursor.seq for frame in reader.frames] == list(
                range(seq + 1, last.seq + 1)
            )


async def after_unsubscribing(hub: Hub) -> None:
    """Its connection answers in order: what it answers next is after that."""
    await hub._link.subscribe(b"another")


async def test_an_unknown_session_is_refused_and_leaves_nothing(settings: Settings) -> None:
    async with running(settings) as (hub, session):
        with pytest.raises(SessionNotFound):
            await hub.open("never-created", None)
        assert hub._feeds == {}
        await after_unsubscribing(hub)
        assert await session.redis.pubsub_channels("*never-created*") == []


async def test_the_last_reader_to_leave_unsubscribes(settings: Settings) -> None:
    async with running(settings) as (hub, session):
        channel = SessionKeys.of(session.id).channel
        async with reading(hub, session.id, count=2):
            assert await session.redis.pubsub_numsub(channel) == [(channel.encode(), 1)]
        assert hub._feeds == {}
        await after_unsubscribing(hub)
        assert await session.redis.pubsub_numsub(channel) == [(channel.encode(), 0)]


async def test_lost_messages_are_read_from_the_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README: never a silent gap. Here every third message never arrives."""
    async with running(settings) as (hub, session), reading(hub, session.id) as [reader]:
        deliver, heard = hub._on_message, 0

        def lossy(channel: bytes, payload: bytes) -> None:
            nonlocal heard
            heard += 1
            if heard % 3:
                deliver(channel, payload)

        monkeypatch.setattr(hub._link, "_on_message", lossy)
        last = await session.write(100)
        await reader.until_cursor(last)
        reader.assert_whole()
        assert hub.metrics.value(GAPS) > 10


async def test_a_lost_last_message_is_found_by_the_tail_check(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings) as (hub, session), reading(hub, session.id) as [reader]:
        monkeypatch.setattr(hub._link, "_on_message", lambda *_: None)
        last = await session.write(1)
        await reader.until_cursor(last)
        reader.assert_whole()


async def test_doubled_and_stale_messages_change_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings) as (hub, session), reading(hub, session.id) as [reader]:
        deliver, old = hub._on_message, list[tuple[bytes, bytes]]()

        def repeating(channel: bytes, payload: bytes) -> None:
            old.append((channel, payload))
            deliver(channel, payload)
            deliver(*old[0])
            deliver(channel, payload)

        monkeypatch.setattr(hub._link, "_on_message", repeating)
        last = await session.write(20)
        await reader.until_cursor(last)
        reader.assert_whole()


async def test_a_reader_who_is_ahead_of_the_news_does_not_get_it_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings) as (hub, session), reading(hub, session.id) as [first]:
        await first.until_cursor(await session.write(1))
        deliver, held = hub._on_message, list[tuple[bytes, bytes]]()
        monkeypatch.setattr(hub._link, "_on_message", lambda *message: held.append(message))
        read_up_to = await session.write(5)
        async with reading(hub, session.id, Cursor(read_up_to.epoch, 1)) as [second]:
            await second.until_cursor(read_up_to)
            monkeypatch.setattr(hub._link, "_on_message", deliver)
            for message in held:
                deliver(*message)
            last = await session.write(1)
            for reader, first_seq in ((first, 1), (second, 2)):
                await reader.until_cursor(last)
                reader.assert_whole(first_seq)


async def test_killed_connections_lose_nothing_and_double_nothing(settings: Settings) -> None:
    """README: pub/sub is the news, the log is the truth."""
    # Without the tail check: what a lost connection has cost is made good when it is back.
    settings = settings.model_copy(update={"log_max_events": 100_000, "tail_check_s": 1_000})
    async with running(settings) as (hub, session), reading(hub, session.id, count=3) as readers:
        for kill in range(10):
            await session.write(50)
            await session.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            if kill % 2:
                await session.write(50)
        await session.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        last = await session.write(1)
        for reader in readers:
            await reader.until_cursor(last)
            reader.assert_whole()
        assert hub.metrics.value(RECONNECTS) > 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("log_max_events", [1_000_000, 300])
async def test_connections_killed_at_random_cost_readers_on_two_hubs_nothing(
    settings: Settings, log_max_events: int
) -> None:
    """README, guarantee 2. The long form, which the issue asks for: STEPWIRE_TEST_FULL=1."""
    kills, per_kill = (100, 1_000) if FULL else (20, 300)
    update = {"log_max_events": log_max_events, "tail_check_s": 1_000}
    settings = settings.model_copy(update=update)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(settings.redis_url))
        # A gateway that other tests share has one, too.
        not_ours = {client["id"] for client in await redis.client_list(_type="pubsub")}
        hub, session = await stack.enter_async_context(running(settings))
        other, _ = await stack.enter_async_context(running(settings))
        readers: list[Reader] = []
        for watching in (hub, other):
            readers += await stack.enter_async_context(reading(watching, session.id, count=2))
        for reader in readers:
            await reader.until(lambda reader=reader: bool(reader.frames))  # type: ignore[misc]
        last, text = await session.write(1), ""
        for kill in range(kills):
            left, kill_at = per_kill, random.randrange(per_kill)
            while left:
                if left <= per_kill - kill_at and kill_at >= 0:
                    await kill_one_connection(redis, not_ours)
                    kill_at = -per_kill
                pieces = [f"{kill}.{left - n} " for n in range(min(left, random.randint(1, 40)))]
                last = await session.write_together(pieces)
                left -= len(pieces)
                text += "".join(pieces)
        for reader in readers:
            await reader.until_cursor(last)
            reader.assert_whole()
            if log_max_events > last.seq:
                assert [frame.cursor.seq for frame in reader.frames] == list(range(last.seq + 1))
            assert folded(reader) == text
        assert hub.metrics.value(RECONNECTS) + other.metrics.value(RECONNECTS) >= kills // 2


async def kill_one_connection(redis: Redis, others: set[str]) -> None:
    """Of those that carry news, but for ``others``; waits until there is one."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            listed = await redis.client_list(_type="pubsub")
            ids = [client["id"] for client in listed if client["id"] not in others]
            if ids and await redis.client_kill_filter(_id=random.choice(ids)):
                return


def snapshot_of(frame: Frame) -> Snapshot:
    return Snapshot.model_validate_json(frame.encoded.split(b"data: ", 1)[1])


def folded(reader: Reader) -> str:
    """The text of the one step, as that reader shows it."""
    text = ""
    for frame in reader.frames:
        if frame.snapshot is not None:
            steps = snapshot_of(frame).steps
            text = steps[0].output if steps else ""
        elif frame.type == "step.delta":
            data = frame.encoded.split(b"data: ", 1)[1]
            text += json.loads(data)["text"]
    return text


async def test_a_slow_reader_costs_a_bounded_buffer_and_misses_nothing(settings: Settings) -> None:
    settings = settings.model_copy(
        update={"subscriber_bytes": 64 * 1024, "log_max_events": 100_000}
    )
    async with running(settings) as (hub, session):
        await session.write(1)
        slow = await hub.open(session.id, Cursor(0, 0))
        batches = slow.batches()
        got = list(await anext(batches))
        following = asyncio.create_task(anext(batches))
        async with reading(hub, session.id) as [quick]:
            last = await session.write(300, "y" * 1000)
            await quick.until_cursor(last)
            quick.assert_whole()
        got += await asyncio.wait_for(following, LIMIT_S)
        largest = 0
        while got[-1].cursor < last:
            frames = await asyncio.wait_for(anext(batches), LIMIT_S)
            largest = max(largest, sum(len(frame.encoded) for frame in frames))
            got += frames
        assert hub.metrics.value(FELL_BEHIND) == 1
        assert [frame.cursor.seq for frame in got] == list(range(1, last.seq + 1))
        await batches.aclose()
        await slow.aclose()


class Client:
    """A connection that is now and then full, and the reader behind it."""

    expires_at = math.inf

    def __init__(self, opened: Reading, reader: Reader) -> None:
        self._opened = opened
        self._reader = reader
        self._choose = random.Random(7)
        self._woken = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.written = 0
        """Events that the feed has written."""
        opened.outlet = self

    def open_for_feed(self) -> Callable[[bytes], None] | None:
        is_full = not self.may_go_on.is_set() or self._choose.random() < 0.3
        return None if is_full else self._write

    def wake(self) -> None:
        self._woken.set()

    def _write(self, chunk: bytes) -> None:
        size, _, body = chunk.partition(b"\r\n")
        assert int(size, 16) == len(body) - 2
        for event in body.removesuffix(b"\r\n").removesuffix(b"\n\n").split(b"\n\n"):
            cursor = Cursor.parse(event.split(b"\n", 1)[0].removeprefix(b"id: ").decode())
            self._take([Frame(cursor, "", "", event)])
            self.written += 1
        if self._choose.random() < 0.1 or not self.may_go_on.is_set():
            # The buffer of the connection is full.
            self._opened.unpark()
            self._woken.set()

    async def iterate(self) -> None:
        while True:
            async with aclosing(self._opened.batches()) as batches:
                async for frames in batches:
                    # It takes its time: what comes meanwhile must stay behind this.
                    await asyncio.sleep(self._choose.choice((0, 0.001, 0.05)))
                    await self.may_go_on.wait()
                    self._take(frames)
            assert self._opened.is_parked
            await self._woken.wait()
            self._woken.clear()
            await self.may_go_on.wait()

    def _take(self, frames: list[Frame]) -> None:
        self._reader.frames += frames
        self._reader.more.set()


async def test_what_the_feed_writes_and_what_is_handed_over_are_one_sequence(
    settings: Settings,
) -> None:
    settings = settings.model_copy(
        update={"subscriber_bytes": 64 * 1024, "log_max_events": 100_000}
    )
    async with running(settings) as (hub, session), reading(hub, session.id) as [quick]:
        await session.write(1)
        reader, opened = Reader(), await hub.open(session.id, Cursor(0, 0))
        client = Client(opened, reader)
        iterating, last = asyncio.create_task(client.iterate()), Cursor(0, 0)
        for _ in range(2):
            # It keeps up, so that the feed writes much of it.
            for _ in range(50):
                await reader.until_cursor(await session.write(1))
            await reader.until_cursor(await session.write(100, "y" * 2000))
            # It stands still until more has come than may wait for it.
            client.may_go_on.clear()
            before = hub.metrics.value(FELL_BEHIND)
            last = await session.write(100, "y" * 2000)
            await quick.until_cursor(last)
            client.may_go_on.set()
            await reader.until_cursor(last)
            assert hub.metrics.value(FELL_BEHIND) > before
        reader.assert_whole()
        assert 0 < client.written < last.seq
        iterating.cancel()
        await asyncio.gather(iterating, return_exceptions=True)
        await opened.aclose()


class Parked:
    """A connection that nothing but its feed writes to."""

    def __init__(self, *, is_closed: bool = False, expires_at: float = math.inf) -> None:
        self.expires_at = expires_at
        self.chunks: list[bytes] = []
        self.woken = 0
        self._is_closed = is_closed

    def open_for_feed(self) -> Callable[[bytes], None]:
        return self._write

    def wake(self) -> None:
        self.woken += 1

    def _write(self, chunk: bytes) -> None:
        if self._is_closed:
            raise RuntimeError("the handler is closed")
        self.chunks.append(chunk)


async def test_of_the_connections_that_a_feed_writes_to_each_is_by_itself() -> None:
    """One is closed, and has not been told; the token of another has ended."""
    feed = Feed("session", Metrics())
    outlets = [Parked(is_closed=True), Parked(), Parked(expires_at=1.0), Parked()]
    subscribers = [Subscriber(Cursor(1, 1), 1000) for _ in outlets]
    for subscriber, outlet in zip(subscribers, outlets, strict=True):
        assert feed.join(subscriber)
        assert feed.park(subscriber, outlet)
    feed.deliver([Frame(Cursor(1, 2), "step.delta", "run", b"event\n\n")])
    assert [outlet.chunks for outlet in outlets] == [
        [],
        [b"7\r\nevent\n\n\r\n"],
        [],
        [b"7\r\nevent\n\n\r\n"],
    ]
    assert [outlet.woken for outlet in outlets] == [0, 0, 1, 0]
    # What it was not sent waits for it.
    [frame] = await subscribers[2].take()
    assert frame.cursor == Cursor(1, 2)


@pytest.mark.parametrize(
    ("message", "is_passed_on"),
    [
        (b"7\n4 step.delta run {}", True),
        # Of another epoch, not the next one, several, the end of its run, of a run that is new.
        (b"8\n4 step.delta run {}", False),
        (b"7\n3 step.delta run {}", False),
        (b"7\n5 step.delta run {}", False),
        (b"7\n4 step.delta run {}\n5 step.delta run {}", False),
        (b"7\n4 run.end run {}", False),
        (b"7\n4 step.delta other {}", False),
        # Its address depends on where the gateway stands.
        (b"7\n4 element.add run {}", False),
    ],
)
async def test_a_message_with_nothing_but_the_next_event_goes_out_as_it_came(
    message: bytes, is_passed_on: bool
) -> None:
    feed, outlet = Feed("session", Metrics()), Parked()
    subscriber = Subscriber(Cursor(7, 2), 1000)
    assert feed.join(subscriber)
    assert feed.park(subscriber, outlet)
    feed.deliver(frames_of_message(b"7\n3 step.start run {}", Prefix(None)))
    outlet.chunks.clear()
    assert feed.pass_on(message) is is_passed_on
    if not is_passed_on:
        assert (outlet.chunks, feed.position) == ([], Cursor(7, 3))
        return
    passed, outlet.chunks = outlet.chunks, []
    assert feed.position == Cursor(7, 4)
    # As it would have gone out otherwise.
    [frame] = frames_of_message(message, Prefix(None))
    feed.deliver([frame])
    assert passed == outlet.chunks


async def test_what_is_large_waits_for_the_readers_that_take_it_in_parts() -> None:
    feed, outlet = Feed("session", Metrics()), Parked()
    subscriber = Subscriber(Cursor(1, 1), 1000)
    assert feed.join(subscriber)
    assert feed.park(subscriber, outlet)
    large = b"x" * (WRITE_BYTES + 1)
    feed.deliver([Frame(Cursor(1, 2), "step.start", "run", large)])
    assert (outlet.chunks, outlet.woken) == ([], 1)
    assert not feed.park(subscriber, outlet)
    assert [frame.encoded for frame in await subscriber.take()] == [large]
    assert feed.park(subscriber, outlet)


async def test_a_snapshot_is_not_kept_for_a_client_that_has_it(settings: Settings) -> None:
    async with running(settings) as (hub, session):
        await session.write(1)
        reading = await hub.open(session.id, None)
        batches = reading.batches()
        [frame] = await anext(batches)
        assert frame.snapshot is not None
        kept = weakref.ref(frame.snapshot)
        del frame
        following = asyncio.create_task(anext(batches))
        await session.write(1)
        frames = await asyncio.wait_for(following, LIMIT_S)
        assert frames
        assert kept() is None
        await batches.aclose()
        await reading.aclose()


async def test_a_feed_is_looked_at_once_its_news_have_stopped(settings: Settings) -> None:
    async with running(settings) as (hub, session), reading(hub, session.id) as [reader]:
        await reader.until(lambda: bool(reader.frames))
        [feed] = hub._feeds.values()
        assert feed.is_due()
        last = await session.write(2)
        await reader.until_cursor(last)
        assert [feed.is_due(), feed.is_due()] == [False, True]


async def test_past_the_log_a_slow_reader_gets_a_snapshot_and_goes_on(settings: Settings) -> None:
    settings = settings.model_copy(update={"subscriber_bytes": 64 * 1024, "log_max_events": 100})
    async with running(settings) as (hub, session):
        await session.write(1)
        slow = await hub.open(session.id, None)
        batches = slow.batches()
        got = list(await anext(batches))
        following = asyncio.create_task(anext(batches))
        last = await session.write(600, "y" * 1000)
        got += await asyncio.wait_for(following, LIMIT_S)
        while got[-1].cursor < last:
            got += await asyncio.wait_for(anext(batches), LIMIT_S)
        snapshots = [snapshot_of(frame) for frame in got if frame.snapshot is not None]
        assert len(snapshots) == 2
        assert snapshots[-1].steps[0].output == "y" * 1000 * 600
        reader = Reader()
        reader.frames = got
        reader.assert_whole()
        await batches.aclose()
        await slow.aclose()


async def test_a_restart_of_redis_is_survived_by_every_reader() -> None:
    with embedded_server(append_only=True) as server:
        settings = Settings(redis_url=server.url, tail_check_s=0.3)
        async with running(settings) as (hub, session), AsyncExitStack() as stack:
            readers = await stack.enter_async_context(reading(hub, session.id, count=2))
            await session.write(10)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            last = await session.write(10)
            for reader in readers:
                await reader.until_cursor(last)
                reader.assert_whole()
                assert reader.frames[-1].cursor == last


async def test_readers_of_a_session_that_is_gone_are_let_go(settings: Settings) -> None:
    async with running(settings) as (hub, session):
        await session.write(1)
        reader = Reader()
        task = asyncio.create_task(reader.read(hub, session.id))
        await reader.until(lambda: bool(reader.frames))
        await session.redis.delete(*SessionKeys.of(session.id).script_keys)
        await asyncio.wait_for(task, LIMIT_S)


async def test_a_fresh_client_of_a_long_session_costs_one_read(settings: Settings) -> None:
    """100,000 streamed tokens in 50 steps: the state is read, once; the log has stayed short."""
    steps, tokens = 50, 2_000
    settings = settings.model_copy(update={"tail_check_s": 1_000})
    async with running(settings) as (hub, session):
        for number in range(steps):
            step_id = f"step{number}"
            await session.add([step_event("step.start", session.step(step_id))])
            for start in range(0, tokens, 500):
                pieces = [f"{start + n} " for n in range(500)]
                await session.add([delta_event(step_id, piece) for piece in pieces])
        assert session.written == steps * (tokens + 1)
        # Whole nodes are cut, of 4 KiB at most.
        [(oldest, _)] = await session.redis.xrange(SessionKeys.of(session.id).log, count=1)
        # The server knows the script from now on.
        top = Cursor.parse((await hub.log.snapshot(session.id)).cursor)
        length = top.seq - Cursor.parse(oldest.decode()).seq
        assert settings.log_max_events <= length <= settings.log_max_events + 1_000

        await session.redis.config_resetstat()
        async with reading(hub, session.id) as [reader]:
            await reader.until(lambda: bool(reader.frames))
        stats = await session.redis.info("commandstats")
        asked = {name: stats[f"cmdstat_{name}"]["calls"] for name in ("evalsha", "subscribe")}
        assert asked == {"evalsha": 1, "subscribe": 1}
        [frame] = reader.frames
        whole = "".join(f"{n} " for n in range(tokens))
        assert [step.output for step in snapshot_of(frame).steps] == [whole] * steps


@pytest.mark.parametrize("ends", [lambda reading: reading.feed.close(), lambda r: r.stop()])
async def test_a_reader_that_is_let_go_before_it_has_joined_does_not_wait_for_ever(
    settings: Settings, ends: Callable[[Reading], None]
) -> None:
    async with running(settings) as (hub, session):
        reading = await hub.open(session.id, None)
        async with aclosing(reading.batches()) as batches, asyncio.timeout(LIMIT_S):
            await anext(batches)
            ends(reading)
            assert [batch async for batch in batches] == []
        await reading.aclose()


async def test_what_was_lost_between_reading_and_joining_is_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow first write to the client, and the news connection breaks meanwhile."""
    settings = settings.model_copy(update={"tail_check_s": 1_000})
    async with running(settings) as (hub, session):
        reading = await hub.open(session.id, None)
        async with aclosing(reading.batches()) as batches, asyncio.timeout(LIMIT_S):
            await anext(batches)
            monkeypatch.setattr(hub._link, "_on_message", lambda *_: None)
            await session.write(3)
            tops, looked = hub.log.tops, asyncio.Event()

            async def look(session_ids: Sequence[str]) -> list[Cursor | None]:
                found = await tops(session_ids)
                looked.set()
                return found

            monkeypatch.setattr(hub.log, "tops", look)
            await session.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await looked.wait()
            assert [frame.cursor.seq for frame in await anext(batches)] == [1, 2, 3]
        await reading.aclose()


async def test_who_comes_from_far_back_reads_on_to_the_top_before_it_waits_for_news(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone with the session, and nothing happens that would reveal the rest of the log."""
    monkeypatch.setattr(reading_module, "READ_EVENTS", 7)
    settings = settings.model_copy(update={"tail_check_s": 1_000})
    async with running(settings) as (hub, session):
        top = await session.write(20)
        reading = await hub.open(session.id, Cursor(top.epoch, 0))
        async with aclosing(reading.batches()) as batches, asyncio.timeout(LIMIT_S):
            seen = 0
            while seen < 20:
                seen = (await anext(batches))[-1].cursor.seq
        await reading.aclose()


async def test_a_channel_that_is_left_and_joined_again_is_confirmed_by_its_last_subscription(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first confirmation says nothing: between the two the channel is left."""
    connected, replies = asyncio.Event(), list[bytes]()
    store = connect(settings.redis_url)
    link = store.listen(lambda *_: None, lambda _: connected.set())
    pool = cast("Pool", store.redis.connection_pool)
    connection = pool.make_separate()
    read_response = connection.read_response

    async def noted() -> object:
        for _ in range(10):
            # Whoever a reply wakes goes on before the next one is looked at.
            await asyncio.sleep(0)
        reply = await read_response()
        if isinstance(reply, list) and reply[1] == b"channel":
            replies.append(reply[0])
        return reply

    monkeypatch.setattr(connection, "read_response", noted)
    monkeypatch.setattr(pool, "make_separate", lambda: connection)
    task = asyncio.create_task(link.run())
    async with asyncio.timeout(LIMIT_S):
        await connected.wait()
        given_up = asyncio.create_task(link.subscribe(b"channel"))
        for _ in range(3):
            # It goes out with the others of a turn.
            await asyncio.sleep(0)
        await link.unsubscribe(b"channel")
        await link.subscribe(b"channel")
    assert replies == [b"subscribe", b"unsubscribe", b"subscribe"]
    for ended in (given_up, task):
        ended.cancel()
    await asyncio.gather(given_up, task, return_exceptions=True)
    await store.aclose()


async def test_news_that_come_while_the_log_is_read_are_read_for_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message is lost; while the feed reads for it, one more event comes, whose message is
    handled before the log's answer."""
    settings = settings.model_copy(update={"tail_check_s": 1_000})
    async with running(settings) as (hub, session):
        reader = Reader()
        following = asyncio.create_task(reader.read(hub, session.id))
        await session.write(1)
        await reader.until(lambda: bool(reader.frames))
        link = cast("PubSubLink", hub._link)
        read, on_message = hub.log.read_stored, link._on_message
        handled = asyncio.Event()

        def noted(channel: bytes, payload: bytes) -> None:
            on_message(channel, payload)
            handled.set()

        async def read_while_more_comes(session_id: str, after: Cursor | None) -> object:
            answer = await read(session_id, after)
            monkeypatch.setattr(hub.log, "read_stored", read)
            handled.clear()
            await session.write(1)
            await handled.wait()
            return answer

        monkeypatch.setattr(link, "_on_message", lambda *_: handled.set())
        await session.write(1)
        await handled.wait()
        monkeypatch.setattr(link, "_on_message", noted)
        monkeypatch.setattr(hub.log, "read_stored", read_while_more_comes)
        await session.write(1)
        await reader.until(lambda: reader.frames[-1].cursor.seq == 4)
        reader.assert_whole()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_reader_does_not_join_behind_news_that_it_has_not_read_for() -> None:
    """Their reader may have left meanwhile; news of events that are not in the log is forgotten."""
    feed = Feed("session", Metrics())
    assert feed.join(Subscriber(Cursor(1, 2), 1_000))
    feed.hear_of(Cursor(1, 4))
    assert not feed.join(Subscriber(Cursor(1, 3), 1_000))
    assert feed.join(Subscriber(Cursor(1, 4), 1_000))
    # More news come while the log is read.
    heard = feed.heard
    feed.hear_of(Cursor(1, 6))
    feed.has_read_up_to(Cursor(1, 4), heard)
    assert not feed.join(Subscriber(Cursor(1, 4), 1_000))
    feed.has_read_up_to(Cursor(1, 4), feed.heard)
    assert feed.join(Subscriber(Cursor(1, 4), 1_000))


@pytest.mark.parametrize(
    "junk", [b"hello from a redis-cli", b"", b"\xff\xfe", b"1\nx y", b"1\n1 \xff\xff r {}"]
)
async def test_a_message_that_cannot_be_read_costs_nobody_anything(
    settings: Settings, junk: bytes
) -> None:
    settings = settings.model_copy(update={"tail_check_s": 1_000})
    async with running(settings) as (hub, session):
        reader = Reader()
        following = asyncio.create_task(reader.read(hub, session.id))
        await session.write(1)
        await reader.until(lambda: bool(reader.frames))
        await session.redis.publish(SessionKeys.of(session.id).channel, junk)
        top = await session.write(2)
        await reader.until_cursor(top)
        reader.assert_whole()
        assert hub.metrics.value(UNREADABLE_MESSAGES) == 1
        assert hub.problem is None
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_reader_ahead_of_a_log_that_lost_its_tail_before_the_join_gets_a_snapshot(
    settings: Settings,
) -> None:
    """The server crashes during the read, and comes back with an older state that fits the feed."""
    async with running(settings) as (hub, session):
        lost = await session.write(1)
        reading = await hub.open(session.id, None)
        keys = SessionKeys.of(session.id)
        await session.redis.delete(keys.log)
        older = Cursor(lost.epoch - 1_000, 0)
        await session.redis.hset(keys.meta, mapping={"epoch": older.epoch, "seq": older.seq})  # type: ignore[misc]
        await hub._watch.check([reading.feed])
        async with aclosing(reading.batches()) as batches, asyncio.timeout(LIMIT_S):
            assert [frame.cursor for frame in await anext(batches)] == [lost]
            [again] = await anext(batches)
        assert again.snapshot is not None
        assert again.cursor == older
        await reading.aclose()


async def test_a_position_that_the_log_does_not_have_makes_no_reader_ask_for_it_again_and_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = settings.model_copy(update={"tail_check_s": 60.0})
    async with running(patient) as (hub, session):
        await session.write(3)
        reading = await hub.open(session.id, None)
        try:
            channel = Channels.of(settings.redis_url).session(session.id)
            await session.redis.publish(channel.decode(), "9999999999999\n8 step.delta r {}")
            read, calls = hub.log.read, 0

            async def counting(session_id: str, after: Cursor | None) -> LogTail | Snapshot:
                nonlocal calls
                calls += 1
                return await read(session_id, after)

            monkeypatch.setattr(hub.log, "read", counting)
            async with aclosing(reading.batches()) as batches, asyncio.timeout(LIMIT_S):
                while reading.feed.position is None:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0)
                await anext(batches)
                following = asyncio.ensure_future(anext(batches))
                while not reading.feed.subscribers and calls < 20:  # noqa: ASYNC110 - nor this
                    await asyncio.sleep(0)
                assert calls < 5
                last = await session.write(1)
                assert (await following)[-1].cursor == last
        finally:
            await reading.aclose()
