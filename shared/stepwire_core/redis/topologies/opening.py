"""Opens the store of an address, whatever stands there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis import Redis as SyncRedis
from redis.asyncio import Redis

from stepwire_core.redis.connections import (
    SOCKET_TIMEOUT_S,
    checked_address,
    new_pool,
    new_sync_pool,
)
from stepwire_core.redis.standalone import BlockingStandaloneStore, StandaloneStore
from stepwire_core.redis.topologies.cluster import ClusterStore
from stepwire_core.redis.topologies.cluster_blocking import BlockingClusterStore
from stepwire_core.redis.topologies.prefixed import BlockingPrefixedStore, PrefixedStore
from stepwire_core.redis.topologies.sentinel import BlockingSentinels, Sentinels
from stepwire_core.values.addresses import Topology

if TYPE_CHECKING:
    from stepwire_core.redis.sockets import Pool, SyncPool
    from stepwire_core.redis.store import BlockingStore, OwnStore
    from stepwire_core.values.addresses import RedisAddress


def open_pool(url: str) -> Pool:
    """The connections of a client of one server: that of the address, or the primary that the
    Sentinels there name.

    Raises:
        SettingsError: the address is wrong; one of the settings was checked already.
    """
    address = checked_address(url)
    if address.topology is Topology.SENTINEL:
        return new_pool(address.server("", 0), Sentinels(address))
    return new_pool(address.client_url)


def store_of(redis: Redis, url: str) -> OwnStore:
    """A store with a client of its own, which leads to that address."""
    return _prefixed(StandaloneStore(redis, url), url)


def connect_to(url: str) -> OwnStore:
    """A store with connections of its own for the current event loop; it connects on first use.

    Raises:
        SettingsError: as :func:`open_pool`.
    """
    address = checked_address(url)
    if address.topology is Topology.CLUSTER:
        return _prefixed(ClusterStore(address, url), url)
    return store_of(Redis.from_pool(open_pool(url)), url)


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[OwnStore]:
    """The same, closed in the end."""
    store = connect_to(url)
    try:
        yield store
    finally:
        await store.aclose()


def connect_blocking_to(url: str, *, timeout_s: float = SOCKET_TIMEOUT_S) -> BlockingStore:
    """A blocking store; it connects on first use, and gives up a call after ``timeout_s``.

    Raises:
        SettingsError: as :func:`open_pool`.
    """
    address = checked_address(url)
    store: BlockingStore
    if address.topology is Topology.CLUSTER:
        store = BlockingClusterStore(address, timeout_s=timeout_s)
    else:
        store = BlockingStandaloneStore(SyncRedis.from_pool(_blocking_pool(address, timeout_s)))
    return BlockingPrefixedStore(store, address.prefix) if address.prefix else store


def _blocking_pool(address: RedisAddress, timeout_s: float) -> SyncPool:
    if address.topology is Topology.SENTINEL:
        locator = BlockingSentinels(address)
        return new_sync_pool(address.server("", 0), timeout_s=timeout_s, locator=locator)
    return new_sync_pool(address.client_url, timeout_s=timeout_s)


def _prefixed(store: OwnStore, url: str) -> OwnStore:
    prefix = checked_address(url).prefix
    return PrefixedStore(store, prefix) if prefix else store
