"""A server that fails its data in the middle of runs: it deletes everything, its memory or its disk
is full, it lacks replicas, or its clock goes back. Where tests take minutes, this is done behind
Sentinels too, and to one node of a cluster, whose other nodes then go on."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, cast

import pytest
from redis import Redis

from cluster import cluster, sentinels
from outage import (
    APP,
    Alone,
    AnyPlace,
    BehindSentinels,
    OnCluster,
    assert_whole,
    begin,
    following,
)
from servers.programs import missing
from sse import first_of, reading
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server, server_program
from stepwire_core.redis.rates import Rates
from stepwire_core.redis.topologies.opening import open_store
from topologies import FULL

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOM = 64 * 1024 * 1024


PLACES: Final = ["standalone", "sentinel", "cluster"] if FULL else ["standalone"]
SESSIONS: Final = 20 if FULL else 3


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A server for which a limit on the size of its files is an error, as a full disk is, and not
    its end."""
    program = tmp_path / "server"
    program.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {server_program()} \"$@\"\n")
    program.chmod(0o755)
    return program


@pytest.fixture(params=PLACES)
def place(
    request: pytest.FixtureRequest, program: Path, server: EmbeddedServer
) -> Iterator[AnyPlace]:
    """Servers of one test, which keep append-only files."""
    if request.param == "standalone":
        with embedded_server(append_only=True, program=program) as own:
            yield Alone(own)
    elif request.param == "sentinel":
        with sentinels(append_only=True, program=program) as watched:
            yield BehindSentinels(watched)
    else:
        with cluster(replicas=True, append_only=True, program=program) as nodes:
            yield OnCluster(nodes, server)


@pytest.fixture
def stack(tmp_path: Path, place: AnyPlace) -> Iterator[Stack]:
    settings = place.settings()
    queue = settings.get("STEPWIRE_QUEUE_URL") or place.primary("").url
    with Stack(tmp_path, queue) as running:
        running.env |= settings | {"STEPWIRE_LEASE_S": "2"}
        yield running


def sessions_by(place: AnyPlace, gateway: Gateway) -> tuple[EmbeddedServer, list[str], list[str]]:
    """A server, and the sessions that are on it and elsewhere: on a cluster there are both."""
    here = place.primary(gateway.create_session())
    on_it: list[str] = []
    elsewhere: list[str] = []
    for _ in range(200):
        session = gateway.create_session()
        (on_it if place.primary(session) is here else elsewhere).append(session)
        if len(on_it) >= SESSIONS and (elsewhere or not isinstance(place, OnCluster)):
            return here, on_it, elsewhere
    raise AssertionError("the sessions are not spread over the nodes")


Fill = Callable[[EmbeddedServer, Redis, str], Callable[[], object]]
"""Lets a server take no writes until what it returns is called; the key is one that it has."""


def no_room_in_memory(own: EmbeddedServer, redis: Redis, key: str) -> Callable[[], object]:
    """Another program has filled it up, and goes."""
    memory = cast("dict[str, int]", redis.info("memory"))
    # Data on its way to replicas does not count as used memory.
    counted = memory["used_memory"] - memory["mem_not_counted_for_evict"]
    redis.set(key, b"x" * ROOM)
    redis.config_set("maxmemory", counted + ROOM // 2)
    return lambda: redis.delete(key)


def no_room_on_the_disk(own: EmbeddedServer, redis: Redis, key: str) -> Callable[[], object]:
    """Its append-only file cannot grow."""
    assert own.process is not None
    pid = own.process.pid
    # With "always" Redis ends when it cannot write; with this it refuses.
    redis.config_set("appendfsync", "everysec")
    [file] = own.directory.glob("appendonlydir/*.incr.aof")
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (file.stat().st_size + 10, limits[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def no_replicas(own: EmbeddedServer, redis: Redis, key: str) -> Callable[[], object]:
    """It has too few of them to take writes."""
    redis.config_set("min-replicas-to-write", 9)
    return lambda: redis.config_set("min-replicas-to-write", 0)


REFUSALS: Final = [
    (no_room_in_memory, "maxmemory"),
    (no_room_on_the_disk, "MISCONF"),
    *([(no_replicas, "NOREPLICAS")] if FULL else []),
]


@pytest.mark.parametrize(("fills", "says"), REFUSALS)
async def test_while_there_is_no_room_sessions_wait_and_then_they_are_whole(
    stack: Stack,
    place: AnyPlace,
    fills: Fill,
    says: str,
) -> None:
    worker = stack.worker(APP, STEPWIRE_MAX_JOBS="100")
    gateway = stack.gateway()
    own, sessions, others = sessions_by(place, gateway)
    async with following(gateway, [*sessions, *others]) as clients:
        await begin(gateway, [*sessions, *others], clients, 150)
        with Redis(port=own.port) as redis:
            make_room = fills(own, redis, f"{{{sessions[0]}}}:another")

            def is_told() -> bool:
                answer = gateway.client.get("/readyz")
                is_ready = answer.status_code == 200
                says_so = says in answer.text and says in worker.output
                return says_so and is_ready == isinstance(place, OnCluster)

            def others_have_ended() -> bool:
                runs = [gateway.snapshot(session)["runs"][-1] for session in others]
                return all(run["status"] == "ok" for run in runs)

            await asyncio.to_thread(wait_until, is_told, "both say why")
            await asyncio.to_thread(wait_until, others_have_ended, "the others have ended")
            make_room()
    for session, client in zip([*sessions, *others], clients, strict=True):
        assert_whole(gateway, session, client, 150)
        assert len({event.cursor.epoch for event in client.received}) == 1


async def test_all_is_flushed_in_the_middle_of_runs(stack: Stack, place: AnyPlace) -> None:
    """A session that is gone is not shown as an empty one, and comes back as another one."""
    worker = stack.worker(APP)
    gateway = stack.gateway()
    own, [session, *_], others = sessions_by(place, gateway)
    run = gateway.send(session, "10000")["run_id"]
    of_others = {other: gateway.send(other, "100")["run_id"] for other in others[:5]}
    with reading(gateway.client, f"/v1/sessions/{session}/events", timeout=60) as stream:
        seen = first_of(stream, "step.delta")
        with Redis(port=own.port) as redis:
            redis.flushall()
        for event in stream:
            seen = event
    assert gateway.client.get(f"/v1/sessions/{session}").status_code == 404
    wait_until(lambda: run in worker.output, "the worker gives the run up")
    gateway.create_session(session)
    again = gateway.send(session, "3")["run_id"]
    assert gateway.wait_for_end(session, again)["status"] == "ok"
    path = f"/v1/sessions/{session}/events"
    with reading(gateway.client, path, after=str(seen.cursor), timeout=60) as stream:
        assert next(stream).type == "snapshot"
    assert [run["run_id"] for run in gateway.snapshot(session)["runs"]] == [again]
    for other, of_other in of_others.items():
        assert gateway.wait_for_end(other, of_other)["status"] == "ok"
    wait_until(lambda: not stack.redis.exists(stack.queue), "no job is left")
    assert (worker.exit_code, gateway.child.exit_code) == (None, None)


class TestAClockThatGoesBack:
    """By an hour: an operator has set it, or the new primary is on a host whose clock is behind."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> Path:
        """A server that adds to the time what stands in a file beside its data."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
        if library is None:
            missing("no libfaketime here: apt-get install libfaketime")
        settings = f"LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE=$PWD/clock FAKETIME_NO_CACHE=1"
        program = tmp_path / "server"
        # A monotonic clock does not go back.
        settings += " DONT_FAKE_MONOTONIC=1"
        start = f'echo +0 > clock\nexec env {settings} {server_program()} "$@"'
        program.write_text(f"#!/bin/sh\n{start}\n")
        program.chmod(0o755)
        return program

    def set_back(self, own: EmbeddedServer) -> None:
        with Redis(port=own.port) as redis:
            before = cast("tuple[int, int]", redis.time())[0]
            (own.directory / "clock").write_text("-3600")

            def is_back() -> bool:
                return cast("tuple[int, int]", redis.time())[0] < before - 3000

            wait_until(is_back, "it is back")

    async def test_sessions_stream_on_within_their_epoch(
        self, stack: Stack, place: AnyPlace
    ) -> None:
        stack.worker(APP)
        gateway = stack.gateway()
        session = gateway.create_session()
        async with following(gateway, [session]) as [client]:
            await asyncio.to_thread(gateway.send, session, "150")
            await client.underway.wait()
            self.set_back(place.primary(session))
        assert_whole(gateway, session, client, 150)
        assert len({event.cursor.epoch for event in client.received}) == 1

    def test_what_waits_and_what_a_dead_worker_had_is_taken_up(
        self, stack: Stack, place: AnyPlace
    ) -> None:
        dies = stack.worker(APP, STEPWIRE_MAX_ATTEMPTS="2", STEPWIRE_MAX_JOBS="1")
        gateway = stack.gateway()
        lost, waits = gateway.create_session(), gateway.create_session()
        run = gateway.send(lost, "200")["run_id"]
        wait_until(lambda: gateway.run(lost, run) is not None, "it runs")
        waiting = gateway.send(waits, "1")["run_id"]
        dies.kill()
        self.set_back(place.primary(lost))
        stack.worker(APP, STEPWIRE_MAX_ATTEMPTS="2")
        assert gateway.wait_for_end(waits, waiting)["status"] == "ok"
        ended = gateway.wait_for_end(lost, run)
        assert (ended["status"], ended["attempt"]) == ("ok", 2)

    @pytest.mark.parametrize("place", ["standalone"], indirect=True)
    async def test_who_has_used_up_a_rate_waits_no_longer_than_its_window(
        self, place: AnyPlace
    ) -> None:
        own = place.primary("")
        async with open_store(own.url) as store:
            rates = Rates(store)
            await rates.count("messages", "ada", 60)
            self.set_back(own)
            count, left_s = await rates.count("messages", "ada", 60)
        assert (count, left_s <= 60) == (2, True)
