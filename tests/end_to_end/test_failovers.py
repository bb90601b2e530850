"""Another primary in the middle of runs: behind Sentinels, where log and queue are on it, and in a
cluster. What was lost with the old one is told by a new epoch, and runs go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from cluster import Cluster, Watched, cluster, cut_off_replicas, frozen, sentinels
from outage import (
    APP,
    BehindSentinels,
    OnCluster,
    Place,
    begin,
    following,
    is_over,
    output,
    slot,
    text_of,
)
from proxy import Proxy
from sse import Client, assert_dense
from stack import Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from topologies import FULL

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

SESSIONS = 50 if FULL else 4
EACH = ["sentinel", "cluster"]


@pytest.fixture(params=EACH)
def place(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Place]:
    """All of it keeps an append-only file."""
    if request.param == "sentinel":
        with sentinels(append_only=True) as watched:
            yield BehindSentinels(watched)
    else:
        with cluster(replicas=True, append_only=True) as nodes:
            yield OnCluster(nodes, server)


@pytest.fixture
def stack(tmp_path: Path, place: Place, server: EmbeddedServer) -> Iterator[Stack]:
    with Stack(tmp_path, server.url) as running:
        running.env |= place.settings() | {"STEPWIRE_LEASE_S": "2", "STEPWIRE_MAX_ATTEMPTS": "9"}
        yield running


class Talks:
    """Conversations under way, each with a client that follows it."""

    def __init__(self, stack: Stack, tokens: int = 150) -> None:
        # The first must not be over when the last begins.
        self._tokens = tokens + 20 * SESSIONS
        stack.worker(APP, STEPWIRE_MAX_JOBS=str(SESSIONS))
        self.gateway = stack.gateway()
        self.sessions = [self.gateway.create_session() for _ in range(SESSIONS)]

    async def begin(self, clients: list[Client]) -> None:
        await begin(self.gateway, self.sessions, clients, self._tokens)

    def assert_right(self, session: str, client: Client) -> None:
        """The run has ended well, with all of its text, and its client has seen each event once."""
        snapshot = self.gateway.snapshot(session)
        assert snapshot["runs"][-1]["status"] == "ok"
        assert output(snapshot) == text_of(self._tokens)
        assert_dense(client.received)


def epochs_of(client: Client) -> set[int]:
    return {event.cursor.epoch for event in client.received}


async def heard(client: Client, more: int) -> None:
    """Wait until it has received that many more events."""
    until = len(client.received) + more
    while len(client.received) < until:  # noqa: ASYNC110 - another process's event
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("place", EACH if FULL else ["cluster"], indirect=True)
async def test_a_tail_that_no_replica_has_is_told_and_stored_again_where_its_producer_still_runs(
    place: Place, stack: Stack
) -> None:
    talks = Talks(stack)
    session = talks.sessions[-1]
    primary, replica = place.primary(session), place.replica(session)
    asked_late = next(
        other
        for other in (talks.gateway.create_session() for _ in range(100))
        if place.primary(other) is primary
    )
    concerned = [each for each in talks.sessions if place.primary(each) is primary]
    async with following(talks.gateway, talks.sessions) as clients:
        await talks.begin(clients)
        cut_off_replicas(primary)
        await heard(clients[-1], 20)
        late = await asyncio.to_thread(talks.gateway.send, asked_late, "5")
        await heard(clients[-1], 1)
        primary.kill()
        epochs = [max(event.cursor.epoch for event in client.received) for client in clients]
        were_over = [is_over(client) for client in clients]
    for each, client, epoch, was_over in zip(
        talks.sessions, clients, epochs, were_over, strict=True
    ):
        talks.assert_right(each, client)
        # Each one that has lost something is told: a client must not go on from there.
        is_told = client.received[-1].cursor.epoch > epoch
        assert is_told or was_over or each not in concerned
    assert place.primary(session) is replica
    # A message that was acknowledged and lost with its run is executed when it is sent again. One
    # whose run was on another server is stored by the run.
    again = talks.gateway.send(asked_late, "5", id=late["message_id"])
    assert again == late
    assert talks.gateway.wait_for_end(asked_late, again["run_id"])["status"] == "ok"
    steps = talks.gateway.snapshot(asked_late)["steps"]
    assert [step["name"] for step in steps] == ["User", "agent", "model", "tool", "Assistant"]
    assert steps[1]["parent_id"] == steps[0]["id"] == late["message_id"]


@pytest.mark.parametrize("place", EACH if FULL else ["sentinel"], indirect=True)
async def test_another_primary_and_back_again_while_sessions_stream(
    place: Place, stack: Stack
) -> None:
    """A, B and A again. The old primary takes writes until it is told, and these may be lost: a run
    that has ended there ends once more."""
    talks = Talks(stack, 500)
    session = talks.sessions[0]
    first = place.primary(session)
    async with following(talks.gateway, talks.sessions) as clients:
        await talks.begin(clients)
        await asyncio.to_thread(place.hand_over, session)
        assert place.primary(session) is not first
        # Clients are told of a server only if something was written there.
        while not (was_over := is_over(clients[0])) and len(epochs_of(clients[0])) == 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await asyncio.to_thread(place.hand_over, session)
        assert place.primary(session) is first
    for each, client in zip(talks.sessions, clients, strict=True):
        talks.assert_right(each, client)
        # It is not always the last epoch that it was told of: that may be lost with its server.
        etag = talks.gateway.client.get(f"/v1/sessions/{each}").headers["etag"]
        assert etag.strip('W/"') == str(client.view.cursor)
    assert was_over or len(epochs_of(clients[0])) > 1
    run = talks.gateway.send(session, "1")["run_id"]
    assert talks.gateway.wait_for_end(session, run)["status"] == "ok"


@pytest.mark.long
async def test_a_primary_that_was_frozen_does_what_it_was_told_and_nobody_sees_it(
    place: Place, stack: Stack
) -> None:
    """Its host comes back when another one is the primary."""
    talks = Talks(stack)
    session = talks.sessions[0]
    old = place.primary(session)
    async with following(talks.gateway, talks.sessions) as clients:
        await talks.begin(clients)
        with frozen(old):
            replaced = partial(wait_until, lambda: place.primary(session) is not old, "another one")
            await asyncio.to_thread(replaced)
    for each, client in zip(talks.sessions, clients, strict=True):
        talks.assert_right(each, client)
    with Redis(port=old.port) as redis:
        wait_until(lambda: role_of(redis) == "slave", "it follows the new one")


@pytest.mark.parametrize("place", EACH if FULL else ["cluster"], indirect=True)
async def test_all_servers_are_killed_at_once_and_started_again(place: Place, stack: Stack) -> None:
    """They keep an append-only file: nothing that was acknowledged is missing."""
    talks = Talks(stack)
    async with following(talks.gateway, talks.sessions) as clients:
        await talks.begin(clients)
        under_way = next(client for client in clients if not is_over(client))
        last = under_way.view.cursor
        for server in place.servers():
            server.kill()
        for server in place.servers():
            server.start()
    assert last is not None
    for each, client in zip(talks.sessions, clients, strict=True):
        talks.assert_right(each, client)
    snapshots = [event for event in under_way.received if event.type == "snapshot"]
    assert snapshots[-1].cursor.epoch > last.epoch
    assert snapshots[-1].cursor.seq >= last.seq


def role_of(redis: Redis) -> str:
    info = cast("dict[str, str]", redis.info("replication"))
    return info["role"]


@pytest.mark.long
class TestAPrimaryThatIsCutOff:
    """Its clients reach it, and neither Sentinels nor replica do, so that another one is chosen."""

    @pytest.fixture
    def proxy(self) -> Iterator[Proxy]:
        with Proxy(0) as running:
            yield running

    @pytest.fixture
    def watched(self, proxy: Proxy) -> Iterator[Watched]:
        with sentinels(before=proxy) as running:
            yield running

    @pytest.fixture
    def place(self, watched: Watched) -> Place:
        return BehindSentinels(watched)

    @pytest.mark.parametrize("wants_replicas", [False, True])
    async def test_its_clients_leave_it_for_the_one_that_sentinels_name(
        self, proxy: Proxy, watched: Watched, stack: Stack, wants_replicas: bool
    ) -> None:
        """What it has taken meanwhile is lost, and told; with ``min-replicas-to-write`` it takes
        little."""
        old = watched.primary
        talks = Talks(stack, 500)
        with Redis(port=old.port) as redis:
            if wants_replicas:
                redis.config_set("min-replicas-max-lag", 1)
                redis.config_set("min-replicas-to-write", 1)
            async with following(talks.gateway, talks.sessions) as clients:
                await talks.begin(clients)
                were_over = [is_over(client) for client in clients]
                proxy.silences = lambda data: any(word in data for word in BETWEEN_SERVERS)
                replaced = partial(wait_until, lambda: watched.primary is not old, "another one")
                await asyncio.to_thread(replaced)
                await asyncio.to_thread(wait_until, lambda: readers(redis) == 0, "nobody stays")
            assert role_of(redis) == "master"
            for each, client, was_over in zip(talks.sessions, clients, were_over, strict=True):
                talks.assert_right(each, client)
                epochs = {event.cursor.epoch for event in client.received}
                assert len(epochs) > 1 or was_over
                assert client.view.cursor is not None
                assert client.view.cursor.epoch == max(epochs)
            proxy.silences = lambda _: False
            proxy.cut_all()
            wait_until(lambda: role_of(redis) == "slave", "it follows the new one")
        run = talks.gateway.send(talks.sessions[0], "1")["run_id"]
        assert talks.gateway.wait_for_end(talks.sessions[0], run)["status"] == "ok"


@pytest.mark.long
class TestAPrimaryOfAClusterThatIsCutOff:
    """Its clients reach it, and no node does, so that its replica takes its place. It stops taking
    writes by itself, and keeps saying that its slots are its own (redis/redis#3138)."""

    @pytest.fixture
    def nodes(self) -> Iterator[Cluster]:
        with cluster(replicas=True, proxied=True) as running:
            yield running

    @pytest.fixture
    def place(self, nodes: Cluster, server: EmbeddedServer) -> Place:
        return OnCluster(nodes, server)

    async def test_its_clients_leave_it_for_the_one_that_the_others_name(
        self, place: Place, nodes: Cluster, stack: Stack
    ) -> None:
        talks = Talks(stack, 500)
        # The first of the address: a process that starts asks it first.
        old = nodes.primaries[0]
        concerned = {each for each in talks.sessions if place.primary(each) is old}
        session = min(concerned)
        others = [node for node in nodes.nodes if node is not old]

        def is_replaced() -> bool:
            return all(node.owner_of(slot(session)) != old.port for node in others)

        with Redis(port=old.port) as redis:

            def nobody_stays() -> bool:
                return not redis.execute_command("PUBSUB SHARDCHANNELS", "stepwire:*")

            async with following(talks.gateway, talks.sessions) as clients:
                await talks.begin(clients)
                were_over = [is_over(client) for client in clients]
                cut_off_replicas(old)
                nodes.cut_off(old)
                await asyncio.to_thread(wait_until, is_replaced, "another one")
                await asyncio.to_thread(wait_until, nobody_stays, "nobody stays")
            assert role_of(redis) == "master"
            assert old.owner_of(slot(session)) == old.port
            for each, client, was_over in zip(talks.sessions, clients, were_over, strict=True):
                talks.assert_right(each, client)
                epochs = {event.cursor.epoch for event in client.received}
                assert len(epochs) > 1 or was_over or each not in concerned
            # As long as the node is cut off, and says so, clients do not go by it.
            for gateway in (talks.gateway, stack.gateway()):
                for each in talks.sessions:
                    # On a busy machine nodes may take one another for down, for a moment.
                    shown = partial(gateway.client.get, f"/v1/sessions/{each}")
                    wait_until(lambda shown=shown: shown().is_success, "it is shown")  # type: ignore[misc]
                run = gateway.send(session, "1")["run_id"]
                assert gateway.wait_for_end(session, run)["status"] == "ok"
            nodes.join_again()
            wait_until(lambda: role_of(redis) == "slave", "it follows the new one")
        run = talks.gateway.send(session, "1")["run_id"]
        assert talks.gateway.wait_for_end(session, run)["status"] == "ok"


@pytest.mark.long
@pytest.mark.parametrize("place", ["sentinel"], indirect=True)
async def test_an_operator_swaps_two_servers_and_tells_no_sentinel(
    place: Place, stack: Stack
) -> None:
    """The Sentinels name the old one, which keeps its connections and says ``READONLY``, until they
    have found out by themselves."""
    talks = Talks(stack, 300)
    session = talks.sessions[0]
    old, new = place.primary(session), place.replica(session)
    async with following(talks.gateway, talks.sessions) as clients:
        await talks.begin(clients)
        with Redis(port=new.port) as redis:
            redis.replicaof("NO", "ONE")
        with Redis(port=old.port) as redis:
            redis.replicaof("127.0.0.1", new.port)
            await asyncio.to_thread(wait_until, lambda: role_of(redis) == "slave", "it follows")
            assert place.primary(session) is old
    assert place.primary(session) is new
    for each, client in zip(talks.sessions, clients, strict=True):
        talks.assert_right(each, client)


BETWEEN_SERVERS = (b"REPLCONF", b"__sentinel__", b"sentinel-")
"""What replicas and Sentinels say to a primary."""


def readers(redis: Redis) -> int:
    """How many channels of ours have a subscriber on this server."""
    return len(cast("list[bytes]", redis.pubsub_channels("stepwire:*")))
