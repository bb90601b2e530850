"""The contract of a store, over every implementation: what the rest of the code may rely on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any, Protocol

import pytest
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer
from redis import Redis
from redis.exceptions import ResponseError

from proxy import Proxy
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis import standalone
from stepwire_core.redis.commands import Call, Function, Script, command
from stepwire_core.redis.standalone import (
    BlockingStandaloneStore,
    StandaloneStore,
    connect,
    connect_blocking,
)
from stepwire_core.redis.store import BlockingStore, probe
from stepwire_core.redis.topologies.opening import connect_blocking_to, open_store
from stepwire_core.values.ids import new_id
from topologies import TOPOLOGIES, Topologies, on_each

pytestmark = pytest.mark.anyio

LIMIT_S = 30


class Calls(Protocol):
    """What every store can do, on an event loop or not."""

    async def call(self, call: Call) -> Any: ...
    async def read(self, *calls: Call) -> list[Any]: ...


class InThread:
    """A blocking store, used from a thread."""

    def __init__(self, store: BlockingStore) -> None:
        self._store = store

    async def call(self, call: Call) -> Any:
        return await asyncio.to_thread(self._store.call, call)

    async def read(self, *calls: Call) -> list[Any]:
        return await asyncio.to_thread(self._store.read, *calls)


KINDS = ("fakeredis", "prefix", *TOPOLOGIES)
BLOCKING = tuple(f"{kind}, blocking" for kind in KINDS)


@pytest.fixture(params=on_each(*KINDS, *BLOCKING))
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Calls]:
    kind, is_blocking, _ = request.param.partition(", ")
    if is_blocking:
        blocking = made(kind, request)
        yield InThread(blocking)
        blocking.close()
    elif kind == "fakeredis":
        yield StandaloneStore(FakeAsyncRedis(), "fakeredis")
    else:
        async with open_store(url_of(kind, request)) as store:
            yield store


@pytest.fixture(params=on_each(*BLOCKING))
def blocking(request: pytest.FixtureRequest) -> Iterator[BlockingStore]:
    store = made(request.param.partition(", ")[0], request)
    yield store
    store.close()


def made(kind: str, request: pytest.FixtureRequest) -> BlockingStore:
    if kind == "fakeredis":
        return BlockingStandaloneStore(FakeRedis(server=FakeServer()))
    return connect_blocking_to(url_of(kind, request))


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    topologies: Topologies = request.getfixturevalue("topologies")
    return topologies.url(kind)


@pytest.fixture
def key() -> str:
    return f"{{{new_id()}}}"


def fresh(script: str) -> Script:
    """A script that no server has."""
    return Script(f"-- {new_id()}\n{script}".encode())


async def test_a_call_returns_what_redis_answers(store: Calls, key: str) -> None:
    assert await store.call(command("SET", key, b"\x00\xff")) is True
    assert await store.call(command("SET", key, "", "NX")) is None
    assert await store.call(command("GET", key)) == b"\x00\xff"
    assert await store.call(command("DEL", key, key)) == 1


async def test_a_read_returns_the_replies_in_the_order_of_the_calls(store: Calls, key: str) -> None:
    await store.call(command("HSET", key, "a", 1, "b", "two"))
    assert await store.read(
        command("HMGET", key, "a", "none", "b"),
        command("EXISTS", key),
        command("HEXISTS", key, "c"),
        command("HGETALL", key),
        command("HSCAN", key, 0, "COUNT", 10),
    ) == [
        [b"1", None, b"two"],
        1,
        False,
        {b"a": b"1", b"b": b"two"},
        (0, {b"a": b"1", b"b": b"two"}),
    ]
    assert await store.read(command("HGET", key, "b")) == [b"two"]
    assert await store.read() == []


async def test_a_script_that_the_server_has_not_is_loaded_and_called(
    store: Calls, key: str
) -> None:
    script = fresh("return {#KEYS, ARGV[1], redis.call('INCR', KEYS[1])}")
    for number in (1, 2):
        assert await store.call(script.on([key], ["x"])) == [1, b"x", number]
    reading = fresh("return redis.call('GET', KEYS[1])")
    assert await store.read(reading.on([key], [])) == [b"2"]


async def test_a_function_keeps_its_library_when_another_client_has_loaded_it(
    request: pytest.FixtureRequest, server: EmbeddedServer, key: str
) -> None:
    """It remembers something, and would forget it if it was loaded anew."""
    name = f"lib_{new_id().replace('-', '')}"
    source = (
        f"#!lua name={name}\nlocal calls = 0\nredis.register_function('{name}', "
        "function(keys, args) calls = calls + 1 return calls end)"
    )
    function = Function(source.encode(), name)
    one, other = connect(server.url), connect_blocking(server.url)
    assert await one.call(function.on([key], [])) == 1
    assert await asyncio.to_thread(other.call, function.on([key], [])) == 2
    for store in (one, InThread(other)):
        with pytest.raises(ResponseError, match="already exists"):
            await store.call(function.loading)
    await one.call(command("FUNCTION DELETE", name))
    await one.aclose()
    other.close()


async def test_a_fault_of_the_call_itself_is_raised_as_redis_puts_it(
    store: Calls, key: str
) -> None:
    await store.call(command("SET", key, "text"))
    for wrong in (
        command("HGET", key, "a"),
        fresh("return redis.error_reply('ERR own')").on([], []),
    ):
        with pytest.raises(ResponseError):
            await store.call(wrong)
        with pytest.raises(ResponseError):
            await store.read(wrong)


class TestCallMany:
    """``call_many``, which only code without an event loop needs."""

    def test_each_call_has_its_reply_or_its_error(self, blocking: BlockingStore, key: str) -> None:
        wrong = command("HGET", key, "a")
        replies = blocking.call_many(
            [command("SET", key, "1"), wrong, command("INCR", key), command("GET", key)]
        )
        assert isinstance(replies.pop(1), ResponseError)
        assert replies == [True, 2, b"2"]
        assert blocking.call_many([]) == []

    def test_scripts_that_the_server_has_not_are_loaded_and_all_calls_made_once(
        self, blocking: BlockingStore, key: str
    ) -> None:
        push = fresh("return redis.call('RPUSH', KEYS[1], ARGV[1])")
        other = fresh("return redis.call('RPUSH', KEYS[1], 'other')")
        calls = [push.on([key], ["a"]), other.on([key], []), push.on([key], ["b"])]
        assert blocking.call_many(calls) == [1, 2, 3]
        assert blocking.read(command("LRANGE", key, 0, -1)) == [[b"a", b"other", b"b"]]

    # On a cluster it is not known on which node a script is loaded.
    @pytest.mark.parametrize("blocking", ["standalone", "fakeredis"], indirect=True)
    def test_a_script_that_came_in_between_fails_for_now_and_changes_no_order(
        self, blocking: BlockingStore, key: str
    ) -> None:
        push = fresh("return redis.call('RPUSH', KEYS[1], ARGV[1])")
        replies = blocking.call_many([push.on([key], ["a"]), push.loading, push.on([key], ["b"])])
        assert isinstance(replies[0], StoreUnavailable)
        assert replies[2] == 1
        assert blocking.call_many([push.on([key], ["c"])]) == [2]

    def test_a_call_that_cannot_be_packed_leaves_the_store_usable(
        self, blocking: BlockingStore, key: str
    ) -> None:
        with pytest.raises(UnicodeEncodeError):
            blocking.call_many([command("SET", key, "1"), command("SET", key, "\ud800")])
        assert blocking.call_many([command("SET", key, "2"), command("GET", key)]) == [True, b"2"]


@pytest.fixture
def own() -> Iterator[EmbeddedServer]:
    with embedded_server() as running:
        yield running


async def test_reads_at_once_have_each_its_own_reply_or_error(store: Calls, key: str) -> None:
    await store.call(command("SET", f"{key}1", "one"))
    await store.call(command("SET", f"{key}2", "two"))
    echo = fresh("return ARGV[1]")
    results = await asyncio.gather(
        store.read(command("GET", f"{key}1")),
        store.read(command("HGET", f"{key}1", "field")),
        # The server does not have it yet.
        *(store.read(echo.on([f"{key}{number}"], [f"said {number}"])) for number in range(3)),
        store.read(command("GET", f"{key}2")),
        return_exceptions=True,
    )
    assert isinstance(results[1], ResponseError)
    said = [[f"said {number}".encode()] for number in range(3)]
    assert [results[0], *results[2:]] == [[b"one"], *said, [b"two"]]


@asynccontextmanager
async def each_kind(url: str) -> AsyncIterator[list[Calls]]:
    """A store of each kind."""
    async with open_store(url) as store:
        with closing(connect_blocking(url)) as blocking:
            yield [store, InThread(blocking)]


async def test_a_server_that_refuses_for_a_moment_is_unavailable(
    own: EmbeddedServer, key: str
) -> None:
    with Redis.from_url(own.url) as admin:
        admin.config_set("min-replicas-to-write", 1)
    async with each_kind(own.url) as stores:
        for store in stores:
            with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
                await store.call(command("SET", key, ""))
            assert await store.read(command("GET", key)) == [None]


async def test_what_a_person_must_change_is_refused(own: EmbeddedServer, key: str) -> None:
    with Redis.from_url(own.url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-get")
    async with each_kind(f"redis://app:pw@127.0.0.1:{own.port}/0") as stores:
        for store in stores:
            with pytest.raises(StoreRefused, match="ACL SETUSER"):
                await store.read(command("GET", key))


async def test_a_read_whose_connection_breaks_is_made_once_more_and_a_write_is_not(
    own: EmbeddedServer, key: str
) -> None:
    """A write may have been executed already."""
    with Proxy(own.port) as proxy:
        async with each_kind(proxy.url) as stores:
            for store in stores:
                await store.call(command("SET", key, "1"))
                sent = cutting(proxy, b"HGET")
                reading = store.read(command("HGET", f"{key}h", "a"))
                assert await asyncio.wait_for(reading, LIMIT_S) == [None]
                assert sent == [True, False]
                sent = cutting(proxy, b"INCR")
                with pytest.raises(StoreUnavailable):
                    await asyncio.wait_for(store.call(command("INCR", key)), LIMIT_S)
                assert sent == [True]
                assert await store.read(command("GET", key)) == [b"1"]


def cutting(proxy: Proxy, word: bytes) -> list[bool]:
    """Let the connection over which a command comes first break; for each, whether it did."""
    sent: list[bool] = []

    def cuts(data: bytes) -> bool:
        if word not in data:
            return False
        sent.append(not sent)
        if sent[-1]:
            proxy.cut_all()
        return sent[-1]

    proxy.silences = cuts
    return sent


async def test_a_server_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standalone, "SOCKET_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        store, blocking = connect(url), connect_blocking(url, timeout_s=0.2)
        for call in (store.call(command("PING")), store.read(command("PING"))):
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(call, LIMIT_S)
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(blocking.call_many, [command("PING")])
        await store.aclose()
        blocking.close()


class TestOnAnEventLoop:
    """What only a store for an event loop has."""

    async def test_stores_of_one_address_are_one_server(self, server: EmbeddedServer) -> None:
        one, same, other = (connect(url) for url in (server.url, server.url, server.url[:-1] + "1"))
        assert one.server == same.server != other.server

    async def test_a_call_may_have_less_time(self, own: EmbeddedServer, key: str) -> None:
        store = connect(own.url)
        with pytest.raises(StoreUnavailable, match=r"nothing for 0\.2 s"):
            await store.call(command("BLPOP", key, 20), within_s=0.2)
        await store.aclose()

    async def test_a_probe_asks_for_a_write_and_leaves_nothing(
        self, own: EmbeddedServer, key: str
    ) -> None:
        store = connect(own.url)
        await probe(store, key)
        with Redis.from_url(own.url) as admin:
            assert admin.dbsize() == 0
            admin.replicaof("127.0.0.1", "1")
            with pytest.raises(StoreUnavailable, match="read only"):
                await probe(store, key)
        await store.aclose()

    async def test_messages_come_in_order_and_a_lost_connection_is_told_of(
        self, own: EmbeddedServer
    ) -> None:
        store, heard, restored = connect(own.url), asyncio.Queue[bytes](), asyncio.Event()
        link = store.listen(lambda _, payload: heard.put_nowait(payload), lambda _: restored.set())
        running = asyncio.create_task(link.run())
        async with asyncio.timeout(LIMIT_S):
            await link.subscribe(b"news")
            for number in range(100):
                await store.call(command("PUBLISH", b"news", number))
            assert [await heard.get() for _ in range(100)] == [b"%d" % n for n in range(100)]
            restored.clear()
            await store.call(command("CLIENT", "KILL", "TYPE", "pubsub"))
            await restored.wait()
            await store.call(command("PUBLISH", b"news", "again"))
            assert await heard.get() == b"again"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.aclose()
