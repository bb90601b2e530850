"""What is heard on a cluster while its slots move and its nodes go: each message, or that some were
missed. Several of these are reports of users of other clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from redis.crc import key_slot

from cluster import Cluster, ClusterNode, cluster, frozen
from stack import wait_until
from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import SHARDED, command
from stepwire_core.redis.store import Link, OwnStore, probe
from stepwire_core.redis.topologies.opening import open_store
from stepwire_core.values.ids import new_id

pytestmark = pytest.mark.anyio

LIMIT_S = 60


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster(replicas=True) as running:
        for node in running.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        yield running


class Listener:
    """A process that listens; it publishes over the same store."""

    def __init__(self, store: OwnStore) -> None:
        self.store = store
        self.heard: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.restored: set[bytes] = set()
        self._news = asyncio.Event()
        self.link: Link = store.listen(self._hear, self._restore)

    def _hear(self, channel: bytes, payload: bytes) -> None:
        self.heard.put_nowait((channel, payload))

    def _restore(self, channels: object) -> None:
        assert isinstance(channels, (tuple, set))
        self.restored.update(channels)
        self._news.set()

    async def until_restored(self, *channels: bytes) -> None:
        while not self.restored.issuperset(channels):
            await self._news.wait()
            self._news.clear()

    async def say(self, channel: bytes, text: bytes) -> None:
        """Publish as a script does, until the cluster takes it."""
        while True:
            try:
                await self.store.call(command(SHARDED.publish, channel, text), within_s=1)
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                return

    async def hears(self, *channels: bytes) -> None:
        """What is said now comes, once."""
        text = new_id().encode()
        for channel in channels:
            await self.say(channel, text)
        expected = {(channel, text) for channel in channels}
        assert {await self.heard.get() for _ in channels} == expected
        assert self.heard.empty()


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    async with open_store(url) as store, asyncio.timeout(LIMIT_S):
        listener = Listener(store)
        running = asyncio.create_task(listener.link.run())
        try:
            yield listener
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def channel() -> bytes:
    return f"stepwire:{{{new_id()}}}".encode()


def channels_of(nodes: Cluster, owner: ClusterNode, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        name = channel()
        if nodes.owner(key_slot(name)) is owner:
            found.append(name)
    return found


def subscribers(node: ClusterNode, name: bytes) -> int:
    [_, number] = node.ask("PUBSUB", "SHARDNUMSUB", name)
    return int(number)


def is_subscribed(node: ClusterNode, name: bytes) -> bool:
    return subscribers(node, name) == 1


def another(nodes: Cluster, owner: ClusterNode) -> ClusterNode:
    return next(node for node in nodes.leaders() if node is not owner)


async def until(true: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, true, what)


async def checking(link: Link) -> None:
    """What a gateway does every few seconds."""
    while True:
        await link.check()
        await asyncio.sleep(0.3)


async def test_channels_of_sessions_are_at_their_nodes_and_others_at_any(nodes: Cluster) -> None:
    async with listening(nodes.url) as one:
        names = [channel() for _ in range(30)]
        for name in (*names, b"stepwire:cancel"):
            await one.link.subscribe(name)
        await one.hears(*names)
        for name in names:
            at, leaders = nodes.owner(key_slot(name)), nodes.leaders()
            assert [subscribers(node, name) for node in leaders] == [
                int(node is at) for node in leaders
            ]
        nodes.leaders()[0].ask("PUBLISH", "stepwire:cancel", "now")
        assert await one.heard.get() == (b"stepwire:cancel", b"now")
        await one.link.unsubscribe(names[0])
        await one.say(names[0], b"not heard")
        await one.hears(names[1])
        assert one.link.problem is None
        assert one.link.partial_problems == []


async def test_a_moved_slot_is_heard_at_its_new_node_and_told_of(nodes: Cluster) -> None:
    """There and back again, key by key."""
    async with listening(nodes.url) as one:
        moving, staying = channel(), channel()
        for name in (moving, staying):
            await one.link.subscribe(name)
        for _ in range(3):
            one.restored.clear()
            to = another(nodes, nodes.owner(key_slot(moving)))
            await asyncio.to_thread(nodes.move, key_slot(moving), to)
            await one.until_restored(moving)
            await one.hears(moving, staying)
            assert one.restored == {moving}
            assert subscribers(to, moving) == 1
            await asyncio.to_thread(nodes.settle)


async def test_a_subscription_finds_a_slot_that_has_moved_unnoticed(nodes: Cluster) -> None:
    """As in redis/ioredis#1987: the answer is MOVED."""
    async with listening(nodes.url) as one:
        before, name = channel(), channel()
        await one.link.subscribe(before)
        to = another(nodes, nodes.owner(key_slot(name)))
        await asyncio.to_thread(nodes.move, key_slot(name), to)
        await one.link.subscribe(name)
        await one.hears(before, name)
        await asyncio.to_thread(nodes.settle)


async def test_channels_of_many_slots_come_back_with_a_connection(nodes: Cluster) -> None:
    """As in redis/node-redis#2902: one command for all of them is CROSSSLOT. One of them has moved
    meanwhile."""
    async with listening(nodes.url) as one:
        owner = nodes.leaders()[1]
        names = channels_of(nodes, owner, 40)
        for name in names:
            await one.link.subscribe(name)
        one.restored.clear()
        owner.ask("CLIENT", "KILL", "TYPE", "pubsub")
        to = another(nodes, owner)
        await asyncio.to_thread(nodes.move, key_slot(names[7]), to)
        await one.until_restored(*names)
        # The connection may have been back before the slot had moved.
        await until(lambda: is_subscribed(to, names[7]), "the moved channel is asked for anew")
        await one.hears(*names)
        assert one.link.reconnects > 1
        await asyncio.to_thread(nodes.settle)


async def test_channels_that_are_left_while_their_slot_moves_leave_no_confusion(
    nodes: Cluster,
) -> None:
    """As in valkey-io/valkey#1066 and StackExchange/StackExchange.Redis#2969: an unasked
    sunsubscribe looks like the answer to our own, and the answer is then an error."""
    async with listening(nodes.url) as one:
        kept, left = channel(), channel()
        await one.link.subscribe(kept)
        for _ in range(5):
            await one.link.subscribe(left)
            to = another(nodes, nodes.owner(key_slot(left)))
            moving = asyncio.to_thread(nodes.move, key_slot(left), to)
            async with asyncio.TaskGroup() as group:
                group.create_task(moving)
                for _ in range(20):
                    await one.link.unsubscribe(left)
                    await asyncio.sleep(0.002)
                    await one.link.subscribe(left)
            # It may be on its way to its new node.
            await until(partial(is_subscribed, to, left), "it is there")
            await one.hears(kept, left)
            await one.link.unsubscribe(left)
            await asyncio.to_thread(nodes.settle)
        assert one.link.problem is None


async def test_a_node_that_loses_all_its_slots_and_goes_is_forgotten() -> None:
    """As in redis/lettuce#3213, where a shard was removed. A slot without a node hurts no other."""
    with cluster(primaries=2) as two:
        for node in two.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
        async with listening(two.url) as one:
            gone, stays = two.primaries
            names = channels_of(two, gone, 3)
            for name in (*names, *channels_of(two, stays, 1)):
                await one.link.subscribe(name)
            one.restored.clear()
            for node in two.primaries:
                node.ask("CLUSTER", "DELSLOTS", *map(key_slot, names))
            await until(lambda: bool(one.link.partial_problems), "it is told of")
            for name in names[1:]:
                stays.ask("CLUSTER", "ADDSLOTS", key_slot(name))
            gone.kill()
            await one.until_restored(*names[1:])
            await one.hears(*names[1:])
            await one.link.check()
            # The node of the slot that has none is still looked for.
            one.restored.clear()
            stays.ask("CLUSTER", "ADDSLOTS", key_slot(names[0]))
            await one.until_restored(names[0])
            await one.hears(*names)


async def test_a_slot_that_moves_at_once_with_all_it_has_is_heard_on(nodes: Cluster) -> None:
    """The atomic migration of Valkey 9."""
    if not nodes.can_migrate_at_once():
        pytest.skip("the server here moves slots key by key")
    async with listening(nodes.url) as one:
        owner = nodes.leaders()[0]
        names = channels_of(nodes, owner, 5)
        for name in names:
            await one.link.subscribe(name)
        for to in (another(nodes, owner), owner):
            one.restored.clear()
            slots = [key_slot(name) for name in names]
            await asyncio.to_thread(nodes.migrate_at_once, slots, to)
            await one.until_restored(*names)
            await one.hears(*names)
            await asyncio.to_thread(nodes.settle)


async def test_a_demoted_primary_that_lives_on_is_left(nodes: Cluster) -> None:
    """As in redis/jedis#3548: a failover by hand, after which the old node still takes
    subscriptions."""
    async with listening(nodes.url) as one:
        primary = nodes.leaders()[0]
        replica = nodes.replica_of(primary)
        names = channels_of(nodes, primary, 5)
        for name in names:
            await one.link.subscribe(name)
        one.restored.clear()
        replica.ask("CLUSTER", "FAILOVER")
        await until(lambda: nodes.owner(key_slot(names[0])) is replica, "it has taken over")
        await one.until_restored(*names)
        checks = asyncio.create_task(checking(one.link))
        await until(lambda: all(is_subscribed(replica, name) for name in names), "all are there")
        # From a node that is still listened to, too, all would be heard twice.
        await until(lambda: not any(subscribers(primary, name) for name in names), "it is left")
        checks.cancel()
        await one.hears(*names)


async def test_a_node_that_says_nothing_hides_no_other_and_is_told_of(nodes: Cluster) -> None:
    """Its process is paused; another one takes its place."""
    async with listening(nodes.url) as one:
        primary = nodes.leaders()[0]
        other = another(nodes, primary)
        names, others = channels_of(nodes, primary, 3), channels_of(nodes, other, 3)
        for name in (*names, *others):
            await one.link.subscribe(name)
        one.restored.clear()
        # On a busy machine an answer may come too late.
        while await probe(one.store, "stepwire:probe"):
            pass
        with frozen(primary):
            problems = await probe(one.store, "stepwire:probe")
            place = f"127.0.0.1:{primary.port}: "
            assert any(problem.startswith(place) for problem in problems)
            checks = asyncio.create_task(checking(one.link))
            await one.hears(*others)
            await one.until_restored(*names)
            await one.hears(*names, *others)
            checks.cancel()
        await asyncio.gather(checks, return_exceptions=True)
        follows = partial(primary.ask, "INFO", "replication")
        await until(lambda: follows()["role"] == "slave", "it follows the new one")


async def test_a_killed_primary_is_heard_where_it_comes_back(nodes: Cluster) -> None:
    async with listening(nodes.url) as one:
        primary = nodes.leaders()[0]
        other = another(nodes, primary)
        name = channels_of(nodes, primary, 1)[0]
        await one.link.subscribe(name)
        one.restored.clear()
        primary.kill()
        await one.until_restored(name)
        await one.hears(name)
        assert nodes.owner(key_slot(name)) not in (primary, other)


async def test_a_node_that_refuses_subscriptions_ends_the_listening() -> None:
    """The right is missing: a person must give it."""
    with cluster(primaries=2) as two:
        for node in two.primaries:
            node.ask("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-ssubscribe")
        async with open_store(two.url.replace("://", "://app:pw@")) as store:
            link = store.listen(lambda *_: None, lambda _: None)
            asked = asyncio.create_task(link.subscribe(channel()))
            async with asyncio.timeout(LIMIT_S):
                with pytest.raises(StoreRefused, match="ssubscribe"):
                    await link.run()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
