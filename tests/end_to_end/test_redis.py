"""Moments of Redis, on real servers and processes: what passes is waited for, what does not ends
the process with one line, and a connection that is of no use any more is found out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from proxy import Proxy
from sse import first_of, is_empty_stream, reading
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server

ANSWERS = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("at work") as step:
            await asyncio.sleep(float(message.content))
            step.output = "done"
"""

ENV = {"STEPWIRE_LEASE_S": "2"}


@pytest.fixture
def own() -> Iterator[EmbeddedServer]:
    """A server of one test, which may spoil it."""
    with embedded_server() as running:
        yield running


@pytest.fixture
def stack(tmp_path: Path, own: EmbeddedServer) -> Iterator[Stack]:
    with Stack(tmp_path, own.url) as running:
        yield running


@pytest.fixture
def proxy(own: EmbeddedServer) -> Iterator[Proxy]:
    with Proxy(own.port) as running:
        yield running


def last_line(child: Child) -> str:
    return child.output.rstrip().rpartition("\n")[2]


def answers(gateway: Gateway, session: str, content: str = "0") -> None:
    run = gateway.send(session, content)["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "ok"


def why_not_ready(gateway: Gateway) -> str:
    """What ``/readyz`` says; empty if it is ready."""
    answer = gateway.client.get("/readyz")
    return "" if answer.is_success else str(answer.json()["detail"])


def info(redis: Redis, section: str) -> dict[str, Any]:
    # redis-py types its commands for both of its clients at once.
    return cast("dict[str, Any]", redis.info(section))


# -- what passes -----------------------------------------------------------------------------------


def too_few_replicas(_own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    redis.config_set("min-replicas-to-write", 1)
    return lambda: redis.config_set("min-replicas-to-write", 0)


def no_disk(own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    shutil.rmtree(own.directory)
    redis.config_set("save", "3600 1")
    redis.bgsave()
    wait_until(
        lambda: info(redis, "persistence")["rdb_last_bgsave_status"] == "err", "it cannot be saved"
    )
    return lambda: redis.config_set("stop-writes-on-bgsave-error", "no")


def no_memory(_own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    redis.config_set("maxmemory", 1)
    return lambda: redis.config_set("maxmemory", 0)


def long_script(own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    redis.config_set("busy-reply-threshold", 50)

    def run() -> None:
        with Redis.from_url(own.url) as other, suppress(RedisError):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> None:
        redis.script_kill()
        thread.join()

    return end


def demoted(_own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    redis.replicaof("127.0.0.1", "1")
    return lambda: redis.replicaof("NO", "ONE")


def demoted_and_alone(own: EmbeddedServer, redis: Redis) -> Callable[[], object]:
    redis.config_set("replica-serve-stale-data", "no")
    return demoted(own, redis)


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        (too_few_replicas, "NOREPLICAS"),
        (no_disk, "MISCONF"),
        pytest.param(no_memory, "maxmemory", marks=pytest.mark.long),
        (long_script, "BUSY"),
        (demoted, "read only replica"),
        pytest.param(demoted_and_alone, "MASTER is down|read only replica", marks=pytest.mark.long),
    ],
    ids=["NOREPLICAS", "MISCONF", "OOM", "BUSY", "READONLY", "MASTERDOWN"],
)
def test_worker_and_gateway_go_on_after_a_moment_in_which_redis_refuses(
    stack: Stack,
    own: EmbeddedServer,
    moment: Callable[[EmbeddedServer, Redis], Callable[[], object]],
    says: str,
) -> None:
    worker = stack.worker(ANSWERS, **ENV)
    gateway = stack.gateway()
    session = gateway.create_session()
    answers(gateway, session)
    with reading(gateway.client, f"/v1/sessions/{session}/events", timeout=60) as stream:
        first_of(stream, "snapshot")
        over = moment(own, stack.redis)
        try:
            wait_until(lambda: bool(re.search(says, why_not_ready(gateway))), "/readyz says it")
            wait_until(lambda: bool(re.search(says, worker.output)), "the worker says it")
            # Its check of the pub/sub connection is every half a second here.
            wait_until(lambda: gateway.child.output.count("the log takes no writes") > 2, "checks")
        finally:
            over()
        wait_until(gateway.ready, "the gateway is ready again", 10)
        answers(gateway, session)
        first_of(stream, "run.end")
    assert (worker.exit_code, gateway.child.exit_code) == (None, None)


# -- what does not ---------------------------------------------------------------------------------


def user_url(stack: Stack, own: EmbeddedServer) -> str:
    stack.redis.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
    return f"redis://app:pw@127.0.0.1:{own.port}/0"


@pytest.mark.parametrize(
    "taken",
    [
        *("resetchannels", "-blpop", "-zadd"),
        *(
            pytest.param(one, marks=pytest.mark.long)
            for one in ("-subscribe", "-zrange", "resetkeys")
        ),
    ],
)
def test_a_worker_whose_right_is_taken_away_ends_with_a_line_that_says_which(
    stack: Stack, own: EmbeddedServer, taken: str
) -> None:
    worker = stack.worker(ANSWERS, STEPWIRE_REDIS_URL=user_url(stack, own), **ENV)
    stack.redis.execute_command("ACL", "SETUSER", "app", taken)
    stack.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until(lambda: worker.exit_code is not None, "the worker ends", 20)
    assert worker.exit_code == 1
    assert "ACL SETUSER" in last_line(worker)
    assert "Traceback" not in worker.output


@pytest.mark.parametrize("taken", ["resetchannels", "-lpushx"])
def test_a_gateway_whose_right_is_taken_away_ends_with_a_line_that_says_which(
    stack: Stack, own: EmbeddedServer, taken: str
) -> None:
    """Its streams are ended in order, so that their clients go to others."""
    gateway = stack.gateway(STEPWIRE_REDIS_URL=user_url(stack, own))
    session = gateway.create_session()
    with gateway.client.stream("GET", f"/v1/sessions/{session}/events", timeout=60) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("event: snapshot"))
        stack.redis.execute_command("ACL", "SETUSER", "app", taken)
        stack.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert any(line.startswith("retry: ") for line in lines)
    wait_until(lambda: gateway.child.exit_code is not None, "the gateway ends", 20)
    assert gateway.child.exit_code == 1
    assert "ACL SETUSER" in last_line(gateway.child)
    assert "Traceback" not in gateway.child.output


def test_what_redis_refuses_to_a_stream_is_not_final_for_its_client(
    stack: Stack, own: EmbeddedServer
) -> None:
    """An EventSource gives up for good on 503."""
    gateway = stack.gateway(STEPWIRE_REDIS_URL=user_url(stack, own))
    session = gateway.create_session()
    stack.redis.execute_command("ACL", "SETUSER", "app", "-hgetall", "-hkeys", "-xrange")
    answer = gateway.client.get(f"/v1/sessions/{session}/events")
    assert answer.status_code == 200
    assert is_empty_stream(answer.text, "store_refused")
    assert gateway.client.get(f"/v1/sessions/{session}").json()["code"] == "store_refused"


# -- silence ---------------------------------------------------------------------------------------


def test_a_worker_whose_connections_fall_silent_goes_on_within_seconds(
    stack: Stack, proxy: Proxy
) -> None:
    """It takes jobs again, and receives cancellations."""
    worker = stack.worker(ANSWERS, STEPWIRE_REDIS_URL=proxy.url, **ENV)
    gateway = stack.gateway()
    session = gateway.create_session()
    answers(gateway, session)
    proxy.silence_all()
    run = gateway.send(session, "60")["run_id"]
    wait_until(lambda: gateway.run(session, run) is not None, "the run begins", 15)
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    assert worker.exit_code is None


def test_a_worker_that_cannot_ask_for_jobs_is_stalled(stack: Stack, proxy: Proxy) -> None:
    """What it says of itself goes over another connection."""
    stack.worker(ANSWERS, STEPWIRE_REDIS_URL=proxy.url, **ENV)
    wait_until(lambda: states(stack) == ["ready"], "it takes runs")
    proxy.silences = lambda data: b"ZRANGE\r\n" in data or b"BLPOP\r\n" in data
    wait_until(lambda: states(stack) == ["stalled"], "it says so")
    proxy.silences = lambda _: False
    wait_until(lambda: states(stack) == ["ready"], "it takes runs again")


def states(stack: Stack) -> list[str]:
    listed = command(stack, "workers", "--json")
    return [worker["state"] for worker in json.loads(listed.stdout)]


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stepwire_cli", *arguments],
        env=stack.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_process_is_healthy_while_redis_is_away(
    stack: Stack, proxy: Proxy, tmp_path: Path
) -> None:
    """A supervisor that restarted it would kill its runs."""
    files = [tmp_path / "worker", tmp_path / "gateway"]
    stack.worker(ANSWERS, STEPWIRE_REDIS_URL=proxy.url, STEPWIRE_HEALTH_FILE=str(files[0]), **ENV)
    gateway = stack.gateway(STEPWIRE_REDIS_URL=proxy.url, STEPWIRE_HEALTH_FILE=str(files[1]))
    proxy.silences = lambda _: True
    wait_until(lambda: not gateway.ready(), "the gateway notices")
    for file in files:
        os.utime(file, (0, 0))
    wait_until(lambda: all(file.stat().st_mtime > 0 for file in files), "both are touched")
    assert gateway.client.get("/healthz").is_success
    proxy.silences = lambda _: False
    wait_until(gateway.ready, "all is well again")
    gateway.child.stop()
    assert not files[1].exists()


def test_requests_over_connections_that_a_nat_has_forgotten_are_answered_at_once(
    stack: Stack, proxy: Proxy
) -> None:
    before = connections(stack.redis)
    gateway = stack.gateway(STEPWIRE_REDIS_URL=proxy.url, STEPWIRE_TAIL_CHECK_S="600")
    its = connections(stack.redis).keys() - before.keys()
    worker = stack.worker(ANSWERS, STEPWIRE_REDIS_URL=proxy.url, **ENV)
    session = gateway.create_session()
    answers(gateway, session)

    def ask(_: int) -> httpx.Response:
        return httpx.post(f"{gateway.url}/v1/sessions", json={}, timeout=20)

    with ThreadPoolExecutor(30) as pool:
        assert {answer.status_code for answer in pool.map(ask, range(30))} == {201}

        def idle() -> bool:
            return all(
                idle_s >= 3 for id_, idle_s in connections(stack.redis).items() if id_ in its
            )

        wait_until(idle, "its connections are idle")
        proxy.silence_all()
        begun = time.monotonic()
        assert {answer.status_code for answer in pool.map(ask, range(30))} == {201}
        assert time.monotonic() - begun < 9
    answers(gateway, session)
    assert worker.exit_code is None


def connections(redis: Redis) -> dict[str, int]:
    """The connections that calls are made over, with the seconds for which each was silent."""
    clients = cast("list[dict[str, str]]", redis.client_list(_type="normal"))
    return {client["id"]: int(client["idle"]) for client in clients}


# -- an address that moves -------------------------------------------------------------------------


@pytest.fixture
def other(own: EmbeddedServer, stack: Stack) -> Iterator[EmbeddedServer]:
    """A replica of the server."""
    with embedded_server() as running, Redis.from_url(running.url) as redis:
        stack.redis.config_set("repl-diskless-sync-delay", 0)
        redis.replicaof("127.0.0.1", str(own.port))
        wait_until(
            lambda: info(redis, "replication").get("master_link_status") == "up", "it follows"
        )
        yield running


def fail_over(stack: Stack, other: EmbeddedServer) -> None:
    """The other one is the primary; the old one keeps its connections, and does not follow it."""
    with Redis.from_url(other.url) as redis:
        redis.replicaof("NO", "ONE")
    stack.redis.replicaof("127.0.0.1", "1")


def test_a_failover_behind_one_address_is_followed_though_the_old_connections_stay(
    stack: Stack, proxy: Proxy, other: EmbeddedServer
) -> None:
    worker = stack.worker(ANSWERS, STEPWIRE_REDIS_URL=proxy.url, **ENV)
    gateway = stack.gateway(STEPWIRE_REDIS_URL=proxy.url)
    session = gateway.create_session()
    answers(gateway, session)
    with reading(gateway.client, f"/v1/sessions/{session}/events", timeout=60) as stream:
        first_of(stream, "snapshot")
        with Redis.from_url(other.url) as redis:
            wait_until(lambda: stack.redis.wait(1, 100) == 1, "the replica has all")
            fail_over(stack, other)
            proxy.target = other.port
            # The first write is refused, and made once more where the address leads to now.
            answers(gateway, session)
            channel = f"stepwire:{{{session}}}"
            wait_until(
                lambda: (
                    redis.pubsub_numsub(channel, "stepwire:cancel")
                    == [(channel.encode(), 1), (b"stepwire:cancel", 1)]
                ),
                "the news come from the new primary",
            )
        # What came while the server changed is in a snapshot of the new epoch.
        answers(gateway, session)
        first_of(stream, "run.end")
    assert gateway.ready()
    assert (worker.exit_code, gateway.child.exit_code) == (None, None)


def test_a_gateway_is_not_ready_while_its_address_leads_to_the_old_primary(
    stack: Stack, proxy: Proxy, other: EmbeddedServer
) -> None:
    gateway = stack.gateway(STEPWIRE_REDIS_URL=proxy.url)
    fail_over(stack, other)
    assert "read only replica" in why_not_ready(gateway)
    proxy.target = other.port
    wait_until(gateway.ready, "it follows", 10)
