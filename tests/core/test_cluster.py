"""Which node of a cluster is asked, and what a part that is missing costs the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from redis.crc import key_slot

from cluster import Cluster, cluster
from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import command
from stepwire_core.redis.topologies import slots
from stepwire_core.redis.topologies.opening import connect_blocking_to, open_store
from stepwire_core.redis.topologies.slots import SlotMap, View

pytestmark = pytest.mark.anyio

HOSTS = (("a", 1), ("b", 2), ("c", 3))


@pytest.fixture(scope="module")
def torn() -> Iterator[Cluster]:
    """A cluster in which nobody has the slot of the key ``lost``, and that goes on without it."""
    with cluster(primaries=2) as nodes:
        for node in nodes.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
            node.ask("CLUSTER", "DELSLOTS", key_slot(b"lost"))
        yield nodes


async def test_keys_that_no_node_has_cost_the_others_nothing(torn: Cluster) -> None:
    lost, kept = command("SET", "lost", 1), command("SET", "kept", 1)
    with closing(connect_blocking_to(torn.url)) as blocking:
        error, reply = blocking.call_many([lost, kept])
        assert isinstance(error, StoreUnavailable)
        assert reply is True
        with pytest.raises(StoreUnavailable, match="has slot"):
            blocking.call_many([lost, lost])
    async with open_store(torn.url) as store:
        assert await store.call(kept) is True
        with pytest.raises(StoreUnavailable, match="has slot"):
            await store.call(lost)
        with pytest.raises(StoreUnavailable, match="1 of its slots"):
            await store.primaries()


def test_the_nodes_are_asked_within_a_time_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked = []
    for node in SlotMap(HOSTS).to_ask():
        asked.append(node)
        now += slots.LOOK_S * 0.6
    assert asked == [*HOSTS[:2]]


def test_why_nobody_knows_is_said_a_refusal_before_a_silence() -> None:
    map_ = SlotMap(HOSTS)
    assert map_.is_due
    map_.learn_from_the_rest(
        [StoreUnavailable("silent"), StoreRefused("no right"), StoreUnavailable("x")]
    )
    for look in (lambda: map_.node_of(1), map_.require_all):
        with pytest.raises(StoreRefused, match="no right"):
            look()
    map_.learn_from_the_rest([StoreUnavailable("silent"), StoreUnavailable("silent")])
    with pytest.raises(StoreUnavailable, match=r"no node of the cluster answers: silent$"):
        map_.node_of(None)


def test_a_node_without_an_address_of_its_own_is_where_it_was_asked() -> None:
    map_ = SlotMap(HOSTS)
    assert map_.learn(View(("b", 2), True, 1, [[0, 16383, [b"", 7, b"id", []]]]))
    assert map_.node_of(5) == map_.node_of(None) == ("b", 7)
    assert not map_.is_due
    map_.require_all()


def view(by: int, epoch: int, owner: bytes, *, is_up: bool = True) -> View:
    """All slots are this node's."""
    return View(HOSTS[by], is_up, epoch, [[0, 16383, [owner, 1, b"id", []]]])


def test_a_node_that_has_not_heard_of_a_failover_is_not_believed() -> None:
    map_ = SlotMap(HOSTS)
    assert map_.learn(view(0, 3, b"old"))
    assert map_.learn(view(1, 4, b"new"))
    assert not map_.learn(view(0, 3, b"old"))
    assert map_.node_of(5) == ("new", 1)
    # If no other one answers, what it says is better than nothing.
    map_.learn_from_the_rest([StoreUnavailable("silent")])
    assert map_.node_of(5) == ("old", 1)
    # Answers from an earlier look are forgotten.
    assert map_.learn(view(1, 4, b"new"))
    map_.learn_from_the_rest([StoreUnavailable("silent")])
    assert map_.node_of(5) == ("new", 1)


def test_a_node_that_is_cut_off_is_not_believed_by_a_process_that_starts() -> None:
    """As in redis/redis#3138: a primary in the minority keeps saying that it has its slots."""
    map_ = SlotMap(HOSTS)
    assert not map_.learn(view(0, 9, b"old", is_up=False))
    assert map_.learn(view(1, 4, b"new"))
    assert map_.node_of(5) == ("new", 1)
    # If no node reports a complete cluster, the slots that have a node are used anyway.
    for epoch, owner in ((5, b"one"), (6, b"two")):
        assert not map_.learn(view(0, epoch, owner, is_up=False))
    map_.learn_from_the_rest([])
    assert map_.node_of(5) == ("two", 1)
