"""A Redis Cluster for the log, under real workers and gateways: slots that move while sessions
stream, a primary that is killed in the middle of runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster, cluster
from outage import APP, assert_ended_well, assert_whole, begin, following, slot
from stack import Stack
from stepwire_cli.dev.embedded_server import EmbeddedServer
from topologies import FULL

pytestmark = pytest.mark.anyio

SESSIONS = 50 if FULL else 8


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
        await begin(gateway, sessions, clients, 150)
        for turn in range(2):
            for number, session in enumerate(sessions):
                others = [p for p in nodes.primaries if p is not nodes.owner(slot(session))]
                to = others[(number + turn) % len(others)]
                await asyncio.to_thread(nodes.move, slot(session), to)
            await asyncio.to_thread(nodes.settle)
    for session, client in zip(sessions, clients, strict=True):
        assert_whole(gateway, session, client, 150)


@pytest.mark.long
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
        await begin(gateway, sessions, clients, 100)
        nodes.owner(slot(sessions[0])).kill()
    for session, client in zip(sessions, clients, strict=True):
        assert_ended_well(gateway, session, client)
    assert len({nodes.owner(slot(session)).port for session in sessions}) > 1
