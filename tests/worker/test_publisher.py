"""The publisher: groups what comes, loses nothing while Redis is away, is bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis as SyncRedis
from redis.exceptions import ResponseError

from bench import publishing
from documents import a_step
from event_log import client_of
from stepwire._transport.append_call import MAX_DELTA_BYTES
from stepwire._transport.producer import Producer
from stepwire._transport.publisher import Publisher
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import RunFenced, SessionNotFound, StoreUnavailable
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.log.scripts import APPEND
from stepwire_core.redis.commands import Call
from stepwire_core.redis.standalone import connect_blocking
from stepwire_core.redis.store import BlockingStore
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import remove_event, step_event

pytestmark = pytest.mark.anyio

LIMIT_S = 30


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that a test may take away; it comes back with its data."""
    with embedded_server(append_only=True) as running:
        yield running


def start(producer: Producer, step_id: str) -> None:
    run = {"run_id": producer.run_id, "attempt": producer.attempt}
    producer.publish(step_event("step.start", a_step(producer.session_id, step_id, **run)))


async def outputs(log: EventLog, session_id: str) -> dict[str, str]:
    return {step.id: step.output for step in (await log.snapshot(session_id)).steps}


async def test_tokens_merge_while_a_round_trip_is_under_way(
    settings: Settings, session_id: str
) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)
        start(producer, "a")
        for number in range(20_000):
            producer.delta("a", f"{number} ", field="output", replace=False)
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        stored = int((await log.snapshot(session_id)).cursor.partition("-")[2])
        assert stored < 2_000
        assert await outputs(log, session_id) == {"a": "".join(f"{n} " for n in range(20_000))}


async def test_a_merged_delta_stays_small(settings: Settings, session_id: str) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)
        start(producer, "a")
        for _ in range(40):
            producer.delta("a", "é" * 1000, field="output", replace=False)
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        cursor = (await log.snapshot(session_id)).cursor
        assert int(cursor.partition("-")[2]) >= 1 + 40 * 2000 / MAX_DELTA_BYTES
        assert await outputs(log, session_id) == {"a": "é" * 40_000}


async def test_threads_may_publish_side_by_side(settings: Settings, session_id: str) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)

        def work(name: str) -> None:
            start(producer, name)
            for number in range(500):
                producer.delta(name, f"{number} ", field="output", replace=False)

        threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        expected = "".join(f"{number} " for number in range(500))
        assert dict(await outputs(log, session_id)) == {f"t{n}": expected for n in range(4)}


async def test_an_outage_of_redis_costs_no_event_and_repeats_none(
    own_server: EmbeddedServer, session_id: str
) -> None:
    """README: a retried publish is stored once; Redis away means waiting, not losing."""
    settings = Settings(redis_url=own_server.url, log_max_events=100_000)
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)
        start(producer, "a")
        for number in range(3_000):
            producer.delta("a", f"{number} ", field="output", replace=False)
            if number in (700, 1_900):
                await asyncio.to_thread(own_server.stop)
            if number in (1_200, 2_500):
                await asyncio.to_thread(own_server.start)
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        assert await outputs(log, session_id) == {"a": "".join(f"{n} " for n in range(3_000))}


async def test_without_redis_for_too_long_the_producer_fails_and_says_why(
    own_server: EmbeddedServer, session_id: str
) -> None:
    settings = Settings(redis_url=own_server.url, publish_timeout_s=0.3)
    async with publishing(settings, session_id) as (publisher, _):
        producer = publisher.producer("p", session_id, "run", 1)
        own_server.kill()
        start(producer, "a")
        with pytest.raises(StoreUnavailable, match="STEPWIRE_PUBLISH_TIMEOUT_S"):
            await asyncio.wait_for(producer.flush(), LIMIT_S)
        with pytest.raises(StoreUnavailable):
            start(producer, "b")


async def test_a_full_buffer_holds_the_producer_back_until_there_is_room(
    own_server: EmbeddedServer, session_id: str
) -> None:
    settings = Settings(redis_url=own_server.url, buffer_bytes=64 * 1024)
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)
        start(producer, "a")
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        own_server.stop()
        sent = 0
        while not producer.must_wait:
            producer.delta("a", "x" * 1000, field="output", replace=False)
            sent += 1
        assert sent <= 100
        waiting = asyncio.create_task(producer.room())
        in_thread = asyncio.create_task(asyncio.to_thread(producer.room_sync))
        done, _ = await asyncio.wait([waiting, in_thread], timeout=0.2)
        assert not done
        own_server.start()
        await asyncio.wait_for(asyncio.gather(waiting, in_thread), LIMIT_S)
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        assert await outputs(log, session_id) == {"a": "x" * 1000 * sent}


async def test_one_fenced_producer_does_not_hold_up_the_others(
    settings: Settings, session_id: str
) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        stale = publisher.producer("old", session_id, "run", 1)
        await log.begin_run(session_id, "run", "a")
        await log.begin_run(session_id, "run", "b")
        fresh = publisher.producer("new", session_id, "run", 2)
        nowhere = publisher.producer("nowhere", new_id(), "run", 1)
        for producer in (stale, nowhere, fresh):
            start(producer, f"of-{producer.attempt}")
        await asyncio.wait_for(fresh.flush(), LIMIT_S)
        with pytest.raises(RunFenced):
            await stale.flush()
        with pytest.raises(SessionNotFound):
            await nowhere.flush()
        assert list(await outputs(log, session_id)) == ["of-2"]


class OfCluster:
    """A store that does not take the calls of some sessions, as while their slot moves."""

    def __init__(self, store: BlockingStore) -> None:
        self._store = store
        self.moving: set[str] = set()

    def call(self, call: Call) -> Any:
        return self._store.call(call)

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        moves = [any(session in str(call.words[3]) for session in self.moving) for call in calls]
        taken = iter(self._store.call_many([c for c, m in zip(calls, moves, strict=True) if not m]))
        return [StoreUnavailable("TRYAGAIN") if moved else next(taken) for moved in moves]

    def read(self, *calls: Call) -> list[Any]:
        return self._store.read(*calls)

    def close(self) -> None:
        self._store.close()


async def test_a_session_that_is_not_taken_holds_up_no_other_and_keeps_its_order(
    settings: Settings,
) -> None:
    store = OfCluster(connect_blocking(settings.redis_url))
    publisher = Publisher(settings, store=store)
    moving, other = new_id(), new_id()
    async with open_log(settings) as log:
        for session in (moving, other):
            await log.create(session, "first")
        producers = [publisher.producer(f"p-{s}", s, "run", 1) for s in (moving, other)]
        for producer in producers:
            start(producer, "a")
            await asyncio.wait_for(producer.flush(), LIMIT_S)
        store.moving.add(moving)
        for number in range(50):
            for producer in producers:
                producer.delta("a", f"{number} ", field="output", replace=False)
            await asyncio.wait_for(producers[1].flush(), LIMIT_S)
        whole = "".join(f"{number} " for number in range(50))
        assert (await outputs(log, moving), await outputs(log, other)) == ({"a": ""}, {"a": whole})
        store.moving.clear()
        await asyncio.wait_for(producers[0].flush(), LIMIT_S)
        assert await outputs(log, moving) == {"a": whole}
    await asyncio.to_thread(publisher.close)


async def test_scripts_that_the_server_has_forgotten_are_loaded_again(
    settings: Settings, session_id: str
) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)
        start(producer, "a")
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        await client_of(log.store).script_flush()
        start(producer, "b")
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        assert list(await outputs(log, session_id)) == ["a", "b"]


async def test_closing_stores_what_waits_and_takes_nothing_more(
    settings: Settings, session_id: str
) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)
        start(producer, "a")
        await asyncio.to_thread(publisher.close)
        assert list(await outputs(log, session_id)) == ["a"]
        with pytest.raises(StoreUnavailable, match="shutting down"):
            start(producer, "b")


@pytest.mark.parametrize("writer", ["publisher", "log"])
async def test_the_first_append_after_a_crash_knows_that_it_reached_another_process(
    session_id: str, writer: str
) -> None:
    """Ids that were seen must not come again for other events, not even once."""
    with embedded_server() as server:
        settings = Settings(redis_url=server.url)
        async with publishing(settings, session_id) as (publisher, log):
            producer = publisher.producer("p", session_id, "run", 1)
            start(producer, "a")
            await asyncio.wait_for(producer.flush(), LIMIT_S)
            with SyncRedis.from_url(server.url) as redis:
                redis.execute_command("SAVE")
            start(producer, "lost")
            await asyncio.wait_for(producer.flush(), LIMIT_S)
            seen = Cursor.parse((await log.snapshot(session_id)).cursor)
            server.kill()
            server.start()
            with SyncRedis.from_url(server.url) as redis, suppress(ResponseError):
                # As a quicker client has done, unless the file that was saved has the library:
                # else the library's absence would tell that the process is another one.
                redis.execute_command(*APPEND.loading.words)
            if writer == "publisher":
                start(producer, "b")
                await asyncio.wait_for(producer.flush(), LIMIT_S)
            else:
                batch = Batch(session_id, [remove_event("a")], producer="other")
                with suppress(StoreUnavailable):
                    await log.append(batch)  # finds its connection closed
                await log.append(batch)
            top = Cursor.parse((await log.snapshot(session_id)).cursor)
            assert top.epoch > seen.epoch


async def test_a_removal_that_takes_several_calls_holds_up_nothing_and_loses_nothing(
    settings: Settings, session_id: str
) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        producer = publisher.producer("p", session_id, "run", 1)
        start(producer, "root")
        for number in range(1_500):
            step = a_step(session_id, f"s{number}", parent_id="root", run_id="run", attempt=1)
            producer.publish(step_event("step.start", step))
        producer.publish(remove_event("root"))
        for number in range(200):
            start(producer, f"after{number}")
        await asyncio.wait_for(producer.flush(), LIMIT_S)
        assert list(await outputs(log, session_id)) == [f"after{n}" for n in range(200)]
