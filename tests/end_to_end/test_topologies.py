"""A Redis Cluster for the log, and Sentinels for both, under real workers and gateways: slots that
move while sessions stream, primaries that are killed in the middle of runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.crc import key_slot

from cluster import Cluster, Watched, cluster, sentinels
from sse import Client, Received, assert_dense
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.redis.keys import SessionKeys
from topologies import FULL

pytestmark = pytest.mark.anyio

SESSIONS = 50 if FULL else 8
LIMIT_S = 120

APP = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("agent", type="run"):
            async with cl.Step("model", type="llm") as step:
                for number in range(int(message.content)):
                    await step.stream_token(f"{number} ")
                    await asyncio.sleep(0.02)
            async with cl.Step("tool", type="tool") as step:
                step.output = "found"
        await cl.Message("done").send()
"""


def text_of(tokens: int) -> str:
    return "".join(f"{number} " for number in range(tokens))


def output(snapshot: dict[str, Any]) -> str:
    [text] = [step["output"] for step in snapshot["steps"] if step["name"] == "model"]
    return str(text)


def slot(session: str) -> int:
    return key_slot(SessionKeys.of(session).log.encode())


@asynccontextmanager
async def following(gateway: Gateway, sessions: list[str]) -> AsyncIterator[list[Client]]:
    """A client on each session, which comes back until it has seen the end of a run; all have when
    the block is left."""
    limits = httpx.Limits(max_connections=len(sessions) + 5)
    async with (
        asyncio.timeout(LIMIT_S),
        httpx.AsyncClient(base_url=gateway.url, timeout=LIMIT_S, limits=limits) as http,
        asyncio.TaskGroup() as group,
    ):

        async def follow(client: Client, session: str) -> None:
            def has_ended(_: Received | None = None) -> bool:
                # Told by an event, or by a snapshot after a loss.
                runs = client.view.runs.values()
                return any(run["status"] != "running" and not run["will_retry"] for run in runs)

            while not has_ended():
                await client.read(http, f"/v1/sessions/{session}/events", has_ended)
                await asyncio.sleep(0.05)

        clients = [Client() for _ in sessions]
        for client, session in zip(clients, sessions, strict=True):
            group.create_task(follow(client, session))
        for client in clients:
            await client.connected.wait()
        yield clients


def assert_whole(gateway: Gateway, session: str, client: Client, tokens: int) -> None:
    """Nothing is missing, nothing came twice, and both see the same."""
    snapshot = gateway.snapshot(session)
    assert [run["status"] for run in snapshot["runs"]] == ["ok"]
    assert output(snapshot) == text_of(tokens)
    assert_dense(client.received)
    assert client.view.same_as(snapshot)


@pytest.fixture
def on_cluster(tmp_path: Path, server: EmbeddedServer) -> Iterator[tuple[Stack, Cluster]]:
    """The log on a cluster with replicas, the queue on a server of its own."""
    with cluster(replicas=True) as nodes, Stack(tmp_path, server.url) as stack:
        stack.env |= {
            "STEPWIRE_REDIS_URL": nodes.url,
            "STEPWIRE_QUEUE_URL": server.url,
            "STEPWIRE_LEASE_S": "2",
        }
        yield stack, nodes


async def test_slots_move_while_sessions_stream(on_cluster: tuple[Stack, Cluster]) -> None:
    stack, nodes = on_cluster
    stack.worker(APP, STEPWIRE_MAX_JOBS=str(SESSIONS))
    gateway = stack.gateway()
    sessions = [gateway.create_session() for _ in range(SESSIONS)]
    async with following(gateway, sessions) as clients:
        for session in sessions:
            await asyncio.to_thread(gateway.send, session, "150")
        for client in clients:
            await client.underway.wait()
        for turn in range(2):
            for number, session in enumerate(sessions):
                others = [p for p in nodes.primaries if p is not nodes.owner(slot(session))]
                to = others[(number + turn) % len(others)]
                await asyncio.to_thread(nodes.move, slot(session), to)
            await asyncio.to_thread(nodes.settle)
    for session, client in zip(sessions, clients, strict=True):
        assert_whole(gateway, session, client, 150)


async def test_a_slot_that_stays_on_its_way_holds_up_its_sessions_alone(
    on_cluster: tuple[Stack, Cluster],
) -> None:
    """Some of its keys are on either node: nothing may be written until they are together."""
    stack, nodes = on_cluster
    stack.worker(APP)
    gateway = stack.gateway()
    moving = gateway.create_session()
    source = nodes.owner(slot(moving))
    other = next(
        session
        for session in (gateway.create_session() for _ in range(100))
        if nodes.owner(slot(session)) is not source
    )
    async with following(gateway, [moving, other]) as clients:
        await asyncio.to_thread(gateway.send, moving, "100")
        await clients[0].underway.wait()
        to = next(node for node in nodes.primaries if node is not source)
        nodes.begin_move(slot(moving), to)
        assert nodes.move_keys(slot(moving), source, to, 2) == 2
        run = await asyncio.to_thread(gateway.send, other, "5")
        await asyncio.to_thread(gateway.wait_for_end, other, run["run_id"])
        while nodes.move_keys(slot(moving), source, to):
            pass
        nodes.end_move(slot(moving), to)
    assert_whole(gateway, moving, clients[0], 100)
    assert_whole(gateway, other, clients[1], 5)


async def test_a_primary_of_the_cluster_is_killed_in_the_middle_of_runs(
    on_cluster: tuple[Stack, Cluster],
) -> None:
    stack, nodes = on_cluster
    stack.worker(APP, STEPWIRE_MAX_JOBS=str(SESSIONS))
    gateway = stack.gateway()
    sessions = [gateway.create_session() for _ in range(SESSIONS)]
    async with following(gateway, sessions) as clients:
        for session in sessions:
            await asyncio.to_thread(gateway.send, session, "100")
        for client in clients:
            await client.underway.wait()
        nodes.owner(slot(sessions[0])).kill()
    for session, client in zip(sessions, clients, strict=True):
        snapshot = gateway.snapshot(session)
        assert snapshot["runs"][-1]["status"] == "ok"
        assert client.view.same_as(snapshot)
        assert_dense(client.received)
    assert len({nodes.owner(slot(session)).port for session in sessions}) > 1


@pytest.fixture
def watched() -> Iterator[Watched]:
    with sentinels() as running:
        yield running


async def test_sentinels_name_another_primary_in_the_middle_of_runs(
    tmp_path: Path, watched: Watched
) -> None:
    """Log and queue are on it."""
    with Stack(tmp_path, watched.servers[1].url) as stack:
        stack.env |= {"STEPWIRE_REDIS_URL": watched.url, "STEPWIRE_LEASE_S": "2"}
        stack.worker(APP)
        gateway = stack.gateway()
        session = gateway.create_session()
        async with following(gateway, [session]) as [client]:
            await asyncio.to_thread(gateway.send, session, "100")
            await client.underway.wait()
            watched.primary.kill()
        snapshot = gateway.snapshot(session)
        assert snapshot["runs"][-1]["status"] == "ok"
        assert client.view.same_as(snapshot)
        assert_dense(client.received)
        wait_until(gateway.ready, "the gateway is ready again")
        run = gateway.send(session, "3")["run_id"]
        assert gateway.wait_for_end(session, run)["status"] == "ok"
