"""Sessions on a cluster stream on through what happens to its nodes, by what is heard alone: the
look at the ends of the logs, which would find it later, is as good as switched off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from cluster import Cluster, ClusterNode, cluster
from outage import APP, assert_ended_well, assert_whole, begin, following, slot
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.redis.keys import INDEX

pytestmark = pytest.mark.anyio

SESSIONS = 9
NEVER = "3600"


@pytest.fixture
def on_cluster(tmp_path: Path, server: EmbeddedServer) -> Iterator[tuple[Stack, Cluster]]:
    with cluster(replicas=True) as nodes, on(nodes, tmp_path, server) as stack:
        yield stack, nodes


def on(nodes: Cluster, folder: Path, queue: EmbeddedServer) -> Stack:
    stack = Stack(folder, queue.url)
    stack.env |= {
        "STEPWIRE_REDIS_URL": nodes.url,
        "STEPWIRE_QUEUE_URL": queue.url,
        "STEPWIRE_LEASE_S": "2",
        "STEPWIRE_TAIL_CHECK_S": NEVER,
    }
    return stack


def heard_by(nodes: Cluster) -> int:
    """How many messages the nodes have sent one another for plain channels."""
    stats = [node.ask("CLUSTER INFO") for node in nodes.primaries]
    return sum(int(stat.get("cluster_stats_messages_publish_sent", 0)) for stat in stats)


async def test_slots_that_move_with_all_they_have_interrupt_no_session(
    on_cluster: tuple[Stack, Cluster],
) -> None:
    """Those of every session, one node after another, while they stream; and what they say goes to
    no other node."""
    stack, nodes = on_cluster
    if not nodes.can_migrate_at_once():
        pytest.skip("the server here moves slots key by key")
    stack.worker(APP, STEPWIRE_MAX_JOBS=str(SESSIONS))
    gateway = stack.gateway()
    sessions = [gateway.create_session() for _ in range(SESSIONS)]
    before = heard_by(nodes)
    async with following(gateway, sessions) as clients:
        await begin(gateway, sessions, clients, 150)
        for _ in range(2):
            of_node: dict[int, list[int]] = {}
            for session in sessions:
                of_node.setdefault(nodes.owner(slot(session)).port, []).append(slot(session))
            for port, slots in of_node.items():
                to = next(node for node in nodes.primaries if node.port != port)
                await asyncio.to_thread(nodes.migrate_at_once, slots, to)
                await asyncio.to_thread(nodes.settle)
    for session, client in zip(sessions, clients, strict=True):
        assert_whole(gateway, session, client, 150)
    # Changes of the list of sessions, and no events: each has several hundreds.
    assert heard_by(nodes) - before < SESSIONS * 40


@pytest.mark.long
async def test_a_failover_by_hand_and_a_death_interrupt_no_session(
    on_cluster: tuple[Stack, Cluster],
) -> None:
    stack, nodes = on_cluster
    stack.worker(APP, STEPWIRE_MAX_JOBS=str(SESSIONS))
    gateway = stack.gateway()
    sessions = [gateway.create_session() for _ in range(SESSIONS)]
    async with following(gateway, sessions) as clients:
        await begin(gateway, sessions, clients, 150)
        nodes.replicas[0].ask("CLUSTER", "FAILOVER")
        nodes.primaries[1].kill()
    for session, client in zip(sessions, clients, strict=True):
        assert_ended_well(gateway, session, client)


def owners(nodes: Cluster, gateway: Gateway) -> dict[int, str]:
    """A session on each node, by its port."""
    found: dict[int, str] = {}
    while len(found) < len(nodes.primaries):
        session = gateway.create_session()
        found.setdefault(nodes.owner(slot(session)).port, session)
    return found


def away(gateway: Gateway) -> list[str]:
    answer = gateway.client.get("/readyz")
    assert answer.status_code == 200, answer.text
    problems: list[str] = answer.json().get("problems", [])
    return problems


def nodes_away(gateway: Gateway) -> float:
    lines = gateway.client.get("/metrics").text.splitlines()
    [line] = [line for line in lines if line.startswith("stepwire_gateway_log_nodes_away ")]
    return float(line.rpartition(" ")[2])


async def test_a_node_that_is_away_makes_no_gateway_unready_and_is_told_of(
    tmp_path: Path, server: EmbeddedServer
) -> None:
    """It has no replica, and the cluster goes on without its slots."""
    with cluster() as nodes, on(nodes, tmp_path, server) as stack:
        for node in nodes.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        stack.worker(APP)
        gateway = stack.gateway(STEPWIRE_TAIL_CHECK_S="0.2")
        assert gateway.client.get("/readyz").json() == {"status": "ready"}
        sessions = owners(nodes, gateway)
        # The list of sessions is on another one.
        of_index = nodes.owner(key_slot(INDEX.encode()))
        gone: ClusterNode = next(node for node in nodes.primaries if node is not of_index)
        lost = sessions.pop(gone.port)
        async with asyncio.timeout(60):
            reading = asyncio.create_task(follow(gateway, lost))
            gone.kill()
            noticed = "the gateway has noticed"
            await asyncio.to_thread(wait_until, lambda: nodes_away(gateway) == 1, noticed)
            assert any(str(gone.port) in problem for problem in away(gateway))
            async with following(gateway, list(sessions.values())) as clients:
                for session in sessions.values():
                    await asyncio.to_thread(gateway.send, session, "20")
            for session, client in zip(sessions.values(), clients, strict=True):
                assert_whole(gateway, session, client, 20)
            assert gateway.client.get(f"/v1/sessions/{lost}").status_code == 503
            page = gateway.client.get("/v1/sessions").json()
            assert lost in page["unavailable"]
            assert {entry["id"] for entry in page["sessions"]} >= set(sessions.values())
            # Another process starts meanwhile.
            another = stack.gateway()
            assert another.snapshot(next(iter(sessions.values())))["runs"]
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def follow(gateway: Gateway, session: str) -> None:
    """A client of the session whose node goes."""
    async with following(gateway, [session]):
        pass
