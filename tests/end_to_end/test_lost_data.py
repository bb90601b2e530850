"""A server that fails its data in the middle of runs: it deletes everything, its memory or its disk
is full, or its clock goes back."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from outage import APP, assert_whole, begin, following
from servers.programs import missing
from sse import first_of, reading
from stack import Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server, server_program
from stepwire_core.redis.rates import Rates
from stepwire_core.redis.topologies.opening import open_store

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOM = 64 * 1024 * 1024


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of one test, which keeps an append-only file; a limit on the size of its files is an
    error for it, as a full disk is, and not its end."""
    program = tmp_path / "server"
    program.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {server_program()} \"$@\"\n")
    program.chmod(0o755)
    with embedded_server(append_only=True, program=program) as running:
        yield running


@pytest.fixture
def stack(tmp_path: Path, own: EmbeddedServer) -> Iterator[Stack]:
    with Stack(tmp_path, own.url) as running:
        running.env |= {"STEPWIRE_LEASE_S": "2"}
        yield running


def no_room_in_memory(own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    """Another program has filled it up, and goes."""
    redis.set("another", b"x" * ROOM)
    used = cast("dict[str, int]", redis.info("memory"))["used_memory"]
    redis.config_set("maxmemory", used - ROOM // 2)
    return lambda: redis.delete("another")


def no_room_on_the_disk(own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    """Its append-only file cannot grow."""
    assert own.process is not None
    pid = own.process.pid
    # With "always" Redis ends when it cannot write; with this it refuses.
    redis.config_set("appendfsync", "everysec")
    [file] = own.directory.glob("appendonlydir/*.incr.aof")
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (file.stat().st_size + 10, limits[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("fills", "says"), [(no_room_in_memory, "maxmemory"), (no_room_on_the_disk, "MISCONF")]
)
async def test_while_there_is_no_room_sessions_wait_and_then_they_are_whole(
    stack: Stack,
    own: EmbeddedServer,
    fills: Callable[[EmbeddedServer, Redis], Callable[[], object]],
    says: str,
) -> None:
    worker = stack.worker(APP)
    gateway = stack.gateway()
    sessions = [gateway.create_session() for _ in range(3)]
    async with following(gateway, sessions) as clients:
        await begin(gateway, sessions, clients, 150)
        make_room = fills(own, stack.redis)

        def is_told() -> bool:
            answer = gateway.client.get("/readyz")
            return answer.status_code == 503 and says in answer.text and says in worker.output

        await asyncio.to_thread(wait_until, is_told, "both say why")
        make_room()
    for session, client in zip(sessions, clients, strict=True):
        assert_whole(gateway, session, client, 150)
        assert len({event.cursor.epoch for event in client.received}) == 1


async def test_all_is_flushed_in_the_middle_of_runs(stack: Stack) -> None:
    """A session that is gone is not shown as an empty one, and comes back as another one."""
    worker = stack.worker(APP)
    gateway = stack.gateway()
    session = gateway.create_session("chat")
    run = gateway.send(session, "10000")["run_id"]
    with reading(gateway.client, f"/v1/sessions/{session}/events", timeout=60) as stream:
        seen = first_of(stream, "step.delta")
        stack.redis.flushall()
        for event in stream:
            seen = event
    assert gateway.client.get(f"/v1/sessions/{session}").status_code == 404
    wait_until(lambda: run in worker.output, "the worker gives the run up")
    gateway.create_session("chat")
    again = gateway.send(session, "3")["run_id"]
    assert gateway.wait_for_end(session, again)["status"] == "ok"
    path = f"/v1/sessions/{session}/events"
    with reading(gateway.client, path, after=str(seen.cursor), timeout=60) as stream:
        assert next(stream).type == "snapshot"
    assert [run["run_id"] for run in gateway.snapshot(session)["runs"]] == [again]
    wait_until(lambda: not stack.redis.exists(stack.queue), "no job is left")
    assert (worker.exit_code, gateway.child.exit_code) == (None, None)


class TestAClockThatGoesBack:
    """By an hour: an operator has set it, or the new primary is on a host whose clock is behind."""

    @pytest.fixture
    def clock(self, tmp_path: Path) -> Path:
        """What the server adds to the time, as text."""
        clock = tmp_path / "clock"
        clock.write_text("+0")
        return clock

    @pytest.fixture
    def own(self, tmp_path: Path, clock: Path) -> Iterator[EmbeddedServer]:
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
        if library is None:
            missing("no libfaketime here: apt-get install libfaketime")
        settings = f"LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={clock} FAKETIME_NO_CACHE=1"
        program = tmp_path / "server"
        # A monotonic clock does not go back.
        settings += " DONT_FAKE_MONOTONIC=1"
        program.write_text(f'#!/bin/sh\nexec env {settings} {server_program()} "$@"\n')
        program.chmod(0o755)
        with embedded_server(program=program) as running:
            yield running

    def set_back(self, clock: Path, redis: Redis) -> None:
        before = cast("tuple[int, int]", redis.time())[0]
        clock.write_text("-3600")
        wait_until(lambda: cast("tuple[int, int]", redis.time())[0] < before - 3000, "it is back")

    async def test_sessions_stream_on_within_their_epoch(self, stack: Stack, clock: Path) -> None:
        stack.worker(APP)
        gateway = stack.gateway()
        session = gateway.create_session()
        async with following(gateway, [session]) as [client]:
            await asyncio.to_thread(gateway.send, session, "150")
            await client.underway.wait()
            self.set_back(clock, stack.redis)
        assert_whole(gateway, session, client, 150)
        assert len({event.cursor.epoch for event in client.received}) == 1

    def test_what_waits_and_what_a_dead_worker_had_is_taken_up(
        self, stack: Stack, clock: Path
    ) -> None:
        dies = stack.worker(APP, STEPWIRE_MAX_ATTEMPTS="2", STEPWIRE_MAX_JOBS="1")
        gateway = stack.gateway()
        lost, waits = gateway.create_session(), gateway.create_session()
        run = gateway.send(lost, "200")["run_id"]
        wait_until(lambda: gateway.run(lost, run) is not None, "it runs")
        waiting = gateway.send(waits, "1")["run_id"]
        dies.kill()
        self.set_back(clock, stack.redis)
        stack.worker(APP, STEPWIRE_MAX_ATTEMPTS="2")
        assert gateway.wait_for_end(waits, waiting)["status"] == "ok"
        ended = gateway.wait_for_end(lost, run)
        assert (ended["status"], ended["attempt"]) == ("ok", 2)

    async def test_who_has_used_up_a_rate_waits_no_longer_than_its_window(
        self, own: EmbeddedServer, stack: Stack, clock: Path
    ) -> None:
        async with open_store(own.url) as store:
            rates = Rates(store)
            await rates.count("messages", "ada", 60)
            self.set_back(clock, stack.redis)
            count, left_s = await rates.count("messages", "ada", 60)
        assert (count, left_s <= 60) == (2, True)
