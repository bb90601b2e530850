"""Every way to emit waits for room, and costs no other session anything."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

import stepwire as cl
from bench import Bench, open_bench, publishing
from documents import a_step
from event_log import client_of
from proxy import Proxy
from stack import Stack, wait_until
from stepwire._scope.context import current_frame
from stepwire._transport.producer import Producer, Put
from stepwire._transport.publisher import Publisher
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import (
    ProtocolViolation,
    RunFenced,
    StoreRefused,
)
from stepwire_core.log.event_log import EventLog
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import NewEvent, remove_event, step_event, user_value_event

pytestmark = pytest.mark.anyio

LIMIT_S = 30
LIMIT_BYTES = 64 * 1024
TEXT = "x" * 20_000


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    with embedded_server() as running:
        yield running


def step_start(producer: Producer, step_id: str) -> NewEvent:
    run = {"run_id": producer.run_id, "attempt": producer.attempt}
    return step_event("step.start", a_step(producer.session_id, step_id, **run))


def start(producer: Producer, step_id: str) -> None:
    producer.publish(step_start(producer, step_id))


async def outputs(log: EventLog, session_id: str) -> dict[str, str]:
    return {step.id: step.output for step in (await log.snapshot(session_id)).steps}


@contextmanager
def stalled(server: EmbeddedServer) -> Iterator[None]:
    """It keeps its connections and says nothing."""
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


# -- room -----------------------------------------------------------------------------------------


def with_steps() -> None:
    for _ in range(30):
        with cl.Step("one") as step:
            step.output = TEXT


def decorated() -> None:
    @cl.step
    def work() -> str:
        return TEXT

    for _ in range(30):
        work()


def generators() -> None:
    @cl.step
    def stream() -> Iterator[str]:
        for _ in range(30):
            yield TEXT

    assert len(list(stream())) == 30


def bridged() -> None:
    for _ in range(30):
        cl.run_sync(cl.Message(TEXT).send())


def on_the_loop() -> None:
    async def work() -> None:
        for _ in range(30):
            with cl.Step("one") as step:
                step.output = TEXT

    asyncio.run(work())


def async_steps() -> None:
    async def work() -> None:
        for _ in range(30):
            async with cl.Step("one") as step:
                step.output = TEXT

    asyncio.run(work())


def updates() -> None:
    async def work() -> None:
        message = await cl.Message("").send()
        for _ in range(30):
            message.content = TEXT
            await message.update()

    asyncio.run(work())


def async_generators() -> None:
    @cl.step
    async def stream() -> AsyncIterator[str]:
        for _ in range(30):
            yield TEXT

    async def work() -> None:
        assert len([item async for item in stream()]) == 30

    asyncio.run(work())


def values() -> None:
    for number in range(30):
        cl.user_session.set(f"key {number}", TEXT)


@pytest.mark.parametrize(
    "emit",
    [
        with_steps,
        decorated,
        generators,
        bridged,
        on_the_loop,
        async_steps,
        updates,
        async_generators,
        values,
    ],
)
async def test_every_way_to_emit_waits_for_room_while_redis_says_nothing(
    own_server: EmbeddedServer, session_id: str, emit: Callable[[], None]
) -> None:
    """README: memory per process is bounded by settings; overload slows producers."""
    settings = Settings(redis_url=own_server.url, buffer_bytes=LIMIT_BYTES)
    async with open_bench(settings, session_id) as bench:
        reached = 0

        async def handler() -> None:
            nonlocal reached
            thread = threading.Thread(target=contextvars.copy_context().run, args=(emit,))
            with stalled(own_server):
                thread.start()
                await asyncio.to_thread(
                    wait_until, lambda: bench.publisher.must_wait, "the buffer is full"
                )
                await asyncio.to_thread(thread.join, 0.5)
                assert thread.is_alive(), "it has not waited"
                reached = bench.publisher.buffered_bytes
            await asyncio.to_thread(thread.join, LIMIT_S)
            assert not thread.is_alive()

        run = await asyncio.wait_for(bench.run(handler), LIMIT_S)
        assert (run.status, run.error) == ("ok", None)
        # The limit, and the one thing that its thread was at.
        assert LIMIT_BYTES < reached < LIMIT_BYTES + 2 * len(TEXT)
        assert bench.publisher.buffered_bytes == 0


async def test_a_run_can_end_while_others_have_filled_the_buffer(
    own_server: EmbeddedServer, session_id: str
) -> None:
    """Its own events wait for no other session; and a flush waits for them alone."""
    settings = Settings(redis_url=own_server.url, buffer_bytes=LIMIT_BYTES)
    async with publishing(settings, session_id) as (publisher, log):
        loud = publisher.producer("loud", session_id, "run", 1)
        silent = publisher.producer("silent", session_id)
        start(loud, "a")
        await asyncio.wait_for(loud.flush(), LIMIT_S)
        with stalled(own_server):
            while not publisher.must_wait:
                loud.delta("a", TEXT, "output", False)
            await asyncio.wait_for(silent.flush(), LIMIT_S)
            waiting = asyncio.ensure_future(loud.flush())
            assert not (await asyncio.wait([waiting], timeout=0.2))[0]
        await asyncio.wait_for(waiting, LIMIT_S)
        assert len((await outputs(log, session_id))["a"]) > LIMIT_BYTES / 2


# -- one bad call ---------------------------------------------------------------------------------


async def test_what_cannot_be_packed_fails_its_producer_alone(
    settings: Settings, session_id: str
) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        first, bad, last = (publisher.producer(name, session_id) for name in "abc")

        def all_at_once(put: Put) -> None:
            # Events that arrive while an operation runs follow it: all of them go out together.
            put(user_value_event("seen:\ud83d", "1"))
            start(first, "of a")
            start(last, "of c")

        bad.atomically(all_at_once)
        await asyncio.wait_for(asyncio.gather(first.flush(), last.flush()), LIMIT_S)
        with pytest.raises(ProtocolViolation, match="cannot be stored: UnicodeEncodeError"):
            await asyncio.wait_for(bad.flush(), LIMIT_S)
        with pytest.raises(ProtocolViolation, match="cannot be stored"):
            bad.publish(remove_event("x"))
        assert set(await outputs(log, session_id)) == {"of a", "of c"}


async def test_a_session_that_redis_cannot_write_fails_its_own_producers_alone(
    settings: Settings, session_id: str
) -> None:
    async with publishing(settings, session_id) as (publisher, log):
        broken = new_id()
        await log.create(broken, new_id())
        await client_of(log.store).delete(f"stepwire:{{{broken}}}:state")
        await client_of(log.store).set(f"stepwire:{{{broken}}}:state", "not a hash")
        good = publisher.producer("good", session_id)
        for _ in range(3):
            bad = publisher.producer(new_id(), broken)
            start(bad, "b")
            start(good, new_id())
            with pytest.raises(ProtocolViolation, match="WRONGTYPE"):
                await asyncio.wait_for(bad.flush(), LIMIT_S)
        await asyncio.wait_for(good.flush(), LIMIT_S)
        assert len(await outputs(log, session_id)) == 3


# -- Redis says no --------------------------------------------------------------------------------


def refuse_without_replicas(redis: Redis, refuse: bool) -> None:
    redis.config_set("min-replicas-to-write", int(refuse))


def refuse_for_memory(redis: Redis, refuse: bool) -> None:
    redis.config_set("maxmemory", int(refuse))


@pytest.mark.parametrize("refuse", [refuse_without_replicas, refuse_for_memory])
async def test_a_moment_in_which_redis_refuses_costs_nothing(
    own_server: EmbeddedServer,
    session_id: str,
    refuse: Callable[[Redis, bool], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(redis_url=own_server.url)
    with Redis.from_url(own_server.url) as redis:
        async with publishing(settings, session_id) as (publisher, log):
            producer = publisher.producer("p", session_id, "run", 1)
            start(producer, "a")
            await asyncio.wait_for(producer.flush(), LIMIT_S)
            refuse(redis, True)
            for number in range(100):
                producer.delta("a", f"{number} ", "output", False)
            waiting = asyncio.ensure_future(producer.flush())
            await asyncio.to_thread(wait_until, lambda: "events wait" in caplog.text, "a refusal")
            assert not waiting.done()
            refuse(redis, False)
            await asyncio.wait_for(waiting, LIMIT_S)
            assert await outputs(log, session_id) == {"a": "".join(f"{n} " for n in range(100))}


async def test_a_right_that_is_taken_away_is_said_at_once_and_to_those_who_wait(
    own_server: EmbeddedServer, session_id: str
) -> None:
    address = own_server.url.replace("redis://", "redis://publisher:secret@")
    with Redis.from_url(own_server.url) as redis:
        redis.execute_command("ACL SETUSER publisher on >secret ~* &* +@all")
        async with publishing(Settings(redis_url=address), session_id) as (publisher, log):
            producer = publisher.producer("p", session_id, "run", 1)
            start(producer, "a")
            await asyncio.wait_for(producer.flush(), LIMIT_S)
            redis.execute_command("ACL SETUSER publisher -fcall")
            start(producer, "b")
            with pytest.raises(StoreRefused, match="ACL SETUSER"):
                await asyncio.wait_for(producer.flush(), 5)
            redis.execute_command("ACL SETUSER publisher +@all")
            with pytest.raises(StoreRefused):
                start(producer, "c")
            another = publisher.producer("q", session_id, "run", 1)
            start(another, "d")
            await asyncio.wait_for(another.flush(), LIMIT_S)
            assert set(await outputs(log, session_id)) == {"a", "d"}


async def test_a_demoted_primary_that_keeps_its_connections_is_left_for_the_new_one(
    own_server: EmbeddedServer, session_id: str
) -> None:
    with (
        Proxy(own_server.port) as address,
        embedded_server() as second,
        Redis.from_url(second.url) as new,
        Redis.from_url(own_server.url) as old,
    ):
        async with publishing(Settings(redis_url=address.url), session_id) as (publisher, _):
            producer = publisher.producer("p", session_id, "run", 1)
            start(producer, "a")
            await asyncio.wait_for(producer.flush(), LIMIT_S)
            state = f"stepwire:{{{session_id}}}:state"
            new.replicaof("127.0.0.1", str(own_server.port))
            await asyncio.to_thread(
                wait_until, lambda: bool(new.hexists(state, "s:a")), "a replica"
            )
            new.execute_command("REPLICAOF NO ONE")
            old.replicaof("127.0.0.1", str(second.port))
            address.target = second.port
            start(producer, "b")
            await asyncio.wait_for(producer.flush(), LIMIT_S)
            assert new.hexists(state, "s:b")


# -- finalisers -----------------------------------------------------------------------------------


async def test_what_a_finaliser_emits_comes_after_the_operation_that_it_has_interrupted(
    bench: Bench,
) -> None:
    @cl.step
    def left() -> Iterator[str]:
        yield "a"
        yield "b"

    class Holder:
        me: object
        generator: object

    async def handler() -> None:
        producer = current_frame("the test").scope.producer
        holder = Holder()
        holder.me, holder.generator = holder, (generator := left())
        next(generator)
        del generator

        def operation(put: Put) -> None:
            nonlocal holder
            put(step_start(producer, "first"))
            del holder
            gc.collect()
            put(step_start(producer, "second"))

        producer.atomically(operation)
        # And what follows in the program follows in the log.
        start(producer, "third")

    assert (await bench.run(handler)).status == "ok"
    events = [(type_, data.get("id")) for type_, data in await bench.events()]
    ids = [id_ for type_, id_ in events if type_ == "step.start"][1:]
    assert ids == ["first", "second", "third"]
    [end] = [number for number, (type_, _) in enumerate(events) if type_ == "step.end"]
    assert events.index(("step.start", "second")) < end < events.index(("step.start", "third"))


# -- errors ---------------------------------------------------------------------------------------


async def test_an_error_that_a_handler_swallows_again_and_again_does_not_grow(bench: Bench) -> None:
    depths, errors = set[int](), set[int]()
    kept: list[BaseException] = []

    async def handler() -> None:
        async with cl.Step("outer") as step:
            producer = current_frame("the test").scope.producer
            await step.stream_token("x")
            await producer.flush()
            await bench.log.begin_run(bench.session_id, cl.context.run_id or "", "another worker")
            await step.stream_token("y")
            with pytest.raises(RunFenced):
                # Until the log has said so.
                await producer.flush()
            for _ in range(200):
                try:
                    await step.stream_token("z")
                except RunFenced as error:
                    depths.add(len(traceback.extract_tb(error.__traceback__)))
                    errors.add(id(error))
                    kept.append(error)

    with pytest.raises(RunFenced):
        await bench.run(handler)
    assert len(kept) == 200
    assert len(errors) == len(kept)
    # A token takes one of a few ways, by whether the publisher's thread is in the buffer just then.
    # An error that grew would have a different depth each time.
    assert len(depths) < 5


async def test_everybody_who_waits_gets_an_error_of_his_own(
    settings: Settings,
) -> None:
    async with publishing(settings, new_id()) as (publisher, _):
        nowhere = publisher.producer("nowhere", new_id(), "run", 1)
        start(nowhere, "a")
        caught = await asyncio.gather(*(nowhere.flush() for _ in range(3)), return_exceptions=True)
        assert {type(error).__name__ for error in caught} == {"SessionNotFound"}
        assert len(set(map(id, caught))) == 3


# -- the thread -----------------------------------------------------------------------------------


async def test_everybody_is_told_when_the_thread_that_stores_has_ended(
    own_server: EmbeddedServer, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[BaseException] = []
    settings = Settings(redis_url=own_server.url, buffer_bytes=LIMIT_BYTES)
    async with open_bench(settings, session_id):
        dying, go = threading.Event(), threading.Event()

        def die(*_: object) -> None:
            dying.set()
            go.wait(LIMIT_S)
            raise SystemExit("a fault")

        monkeypatch.setattr(Publisher, "_commit", die)
        publisher = Publisher(settings, on_death=deaths.append)
        producer, other = (publisher.producer(name, session_id) for name in "ab")
        start(producer, "a")
        await asyncio.to_thread(dying.wait, LIMIT_S)
        while not publisher.must_wait:
            other.delta("b", TEXT, "output", False)
        waiting = [asyncio.ensure_future(it.flush()) for it in (producer, other)]
        room = asyncio.ensure_future(other.room())
        await asyncio.sleep(0)
        go.set()
        for each in waiting:
            with pytest.raises(ProtocolViolation, match="has ended by SystemExit"):
                await asyncio.wait_for(each, LIMIT_S)
        await asyncio.wait_for(room, LIMIT_S)
        for each_one in (producer, publisher.producer("c", session_id)):
            with pytest.raises(ProtocolViolation, match="has ended"):
                start(each_one, "c")
        with pytest.raises(ProtocolViolation, match="has ended"):
            await asyncio.wait_for(publisher.producer("d", "s").flush(), LIMIT_S)
        await asyncio.to_thread(wait_until, lambda: bool(deaths), "it is reported")
        assert [type(death) for death in deaths] == [SystemExit]
        await asyncio.to_thread(publisher.close)


def test_a_worker_whose_publisher_has_died_ends_and_says_why(stack: Stack) -> None:
    worker = stack.worker(
        """
        import stepwire as cl
        from stepwire._transport.publisher import Publisher

        def die(*_):
            raise SystemExit("a fault")

        @cl.on_message
        async def answer(message):
            Publisher._commit = die
            await cl.Message("hello").send()
        """
    )
    gateway = stack.gateway()
    session_id = gateway.create_session()
    gateway.send(session_id, "hi")
    wait_until(lambda: worker.exit_code is not None, "the worker has ended")
    assert worker.exit_code != 0
    assert "the publisher has died" in worker.output
    assert "'stepwire-publisher' has failed (SystemExit" in worker.output.splitlines()[-1]


# -- elements -------------------------------------------------------------------------------------


async def test_the_bytes_of_an_element_wait_as_events_do(
    own_server: EmbeddedServer, session_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(redis_url=own_server.url)
    with Redis.from_url(own_server.url) as redis:
        async with open_bench(settings, session_id) as bench:

            async def handler() -> None:
                refuse_without_replicas(redis, True)
                sending = asyncio.ensure_future(cl.File("a", content=b"abc").send())
                await asyncio.to_thread(
                    wait_until, lambda: "an element waits" in caplog.text, "a refusal"
                )
                assert not sending.done()
                refuse_without_replicas(redis, False)
                await asyncio.wait_for(sending, LIMIT_S)

            run = await bench.run(handler)
            assert (run.status, run.error) == ("ok", None)
            assert redis.hlen(f"stepwire:{{{session_id}}}:files") == 1
