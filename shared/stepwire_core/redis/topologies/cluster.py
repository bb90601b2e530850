"""A store on a Redis Cluster, for an event loop.

redis-py's own client is not used. When one connection breaks, it closes those of all nodes, with
the calls that are under way; when all are busy, it fails instead of waiting; and it repeats calls
that may have been executed. Here a node is a store of its own, with the limits in time of any
single server, and this class only chooses which one is asked.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from redis.crc import key_slot
from redis.exceptions import RedisError

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import Call
from stepwire_core.redis.pubsub import PubSubLink
from stepwire_core.redis.standalone import StandaloneStore, connect
from stepwire_core.redis.store import ONE_OF_MANY_S
from stepwire_core.redis.topologies.cluster_link import ClusterLink
from stepwire_core.redis.topologies.slots import (
    ABOUT,
    ANSWER_S,
    HOPS,
    TOLD,
    Node,
    Problem,
    SlotMap,
    View,
    guarded,
    place,
    sent_on,
    slot_of,
)

if TYPE_CHECKING:
    from stepwire_core.redis.pubsub import OnMessage, OnRestored
    from stepwire_core.redis.sockets import Watched
    from stepwire_core.values.addresses import RedisAddress


class ClusterStore:
    """The :class:`Store` of a Redis Cluster."""

    def __init__(self, address: RedisAddress, url: str) -> None:
        self._address = address
        self._url = url
        self._stores: dict[Node, StandaloneStore] = {}
        self._retired: list[StandaloneStore] = []
        self.slots: Final = SlotMap(address.hosts)
        self._asking: asyncio.Task[None] | None = None

    @property
    def server(self) -> str:
        # Never that of another store: keys of two kinds are in two slots.
        return f"{self._url} {id(self)}"

    async def call(self, call: Call, *, within_s: float | None = None) -> Any:
        safe = guarded(call)
        slot = slot_of(call)
        for _ in range(HOPS):
            node = await self.node_of(slot)
            reply, went_on = await self._ask(node, lambda s: s.call(safe, within_s=within_s))
            if not went_on:
                return reply
        raise sent_on()

    async def read(self, *calls: Call) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        left = list(range(len(calls)))
        for _ in range(HOPS):
            of_node: defaultdict[Node, list[int]] = defaultdict(list)
            for index in left:
                of_node[await self.node_of(slot_of(calls[index]))].append(index)
            parts = await asyncio.gather(
                *(
                    self._read_at(node, [calls[index] for index in indexes])
                    for node, indexes in of_node.items()
                ),
                return_exceptions=True,
            )
            left = []
            for indexes, part in zip(of_node.values(), parts, strict=True):
                if isinstance(part, BaseException):
                    raise part
                if part is None:
                    left += indexes
                    continue
                for index, reply in zip(indexes, part, strict=True):
                    replies[index] = reply
            if not left:
                return replies
        raise sent_on()

    def probe_keys(self, key: str) -> Mapping[str, str]:
        if "{" in key:
            return {self._url: key}
        missing = set(self.slots.nodes)
        keys = {}
        for number in count():
            if not missing:
                break
            # What stands in braces alone decides the slot.
            own = f"{key}:{{{number}}}"
            node = self.slots.place_of(key_slot(own.encode()))
            if node in missing:
                missing.discard(node)
                keys[place(node)] = own
        return keys or {self._url: key}

    def place_of(self, key: str) -> Hashable:
        return self.slots.place_of(key_slot(key.encode()))

    def listen(self, on_message: OnMessage, on_restored: OnRestored) -> ClusterLink:
        # At any node: every one carries what is published on plain channels.
        plain = PubSubLink(
            lambda: self.connection_to(self.slots.any_node()),
            lambda call: self.call(call, within_s=ONE_OF_MANY_S),
            on_message,
            on_restored,
        )
        return ClusterLink(self, plain, on_message, on_restored)

    async def primaries(self) -> Sequence[StandaloneStore]:
        await self.refresh()
        self.slots.require_all()
        return [self._store(node) for node in self.slots.nodes]

    async def aclose(self) -> None:
        """Close its connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for store in (*self._stores.values(), *self._retired):
            await store.aclose()

    async def _read_at(self, node: Node, calls: Sequence[Call]) -> list[Any] | None:
        """The replies of one node; None if a key is at another one."""
        safe = [guarded(call) for call in calls]
        replies, went_on = await self._ask(node, lambda store: store.read(*safe))
        return None if went_on else replies

    async def _ask(
        self, node: Node, question: Callable[[StandaloneStore], Awaitable[Any]]
    ) -> tuple[Any, bool]:
        """The reply of a node, and whether it has none but sends the call on to another one."""
        try:
            return await question(self._store(node)), False
        except (StoreRefused, StoreUnavailable) as error:
            if not self.slots.sends_on(error, node):
                raise
            return None, True

    async def node_of(self, slot: int | None) -> Node:
        """The node to ask about a slot; the others are asked first if that is in doubt.

        Raises:
            StoreUnavailable, StoreRefused: none is known.
        """
        if self.slots.is_due:
            await self.refresh()
        return self.slots.node_of(slot)

    async def refresh(self) -> None:
        """Ask the nodes who has which slots."""
        # One question for all callers that wait, even if some of them are cancelled.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._look())
        await asyncio.shield(self._asking)

    async def _look(self) -> None:
        problems: list[Problem] = []
        for node in self.slots.to_ask():
            try:
                about, told = [
                    await self._store(node).call(call, within_s=ANSWER_S) for call in (ABOUT, TOLD)
                ]
            except (StoreRefused, StoreUnavailable) as error:
                problems.append(error)
                continue
            if self.slots.learn(View.of(node, about, told)):
                break
        else:
            self.slots.learn_from_the_rest(problems)
        await self._retire()

    async def _retire(self) -> None:
        """Close the connections to nodes that are not there any more, once they had time to end."""
        for store in self._retired:
            # The node is gone: how its connections end concerns no caller.
            with suppress(RedisError, OSError):
                await store.aclose()
        gone = self._stores.keys() - self.slots.known
        self._retired = [self._stores.pop(node) for node in gone]

    def _store(self, node: Node) -> StandaloneStore:
        if (store := self._stores.get(node)) is None:
            store = self._stores[node] = connect(self._address.server(*node))
        return store

    def connection_to(self, node: Node) -> Watched:
        """A connection of its own to a node."""
        return self._store(node).make_separate()
