"""A store on a Redis Cluster, for threads: as :mod:`stepwire_core.redis.topologies.cluster`."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import Call
from stepwire_core.redis.standalone import BlockingStandaloneStore, connect_blocking
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
    sent_on,
    slot_of,
)

if TYPE_CHECKING:
    from stepwire_core.values.addresses import RedisAddress


class BlockingClusterStore:
    """The :class:`BlockingStore` of a Redis Cluster."""

    def __init__(self, address: RedisAddress, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        """Around the question who has which slots, and the end of the stores."""
        self._stores: dict[Node, BlockingStandaloneStore] = {}
        self._slots = SlotMap(address.hosts)

    def call(self, call: Call) -> Any:
        safe = guarded(call)
        slot = slot_of(call)
        for _ in range(HOPS):
            node = self._node_of(slot)
            reply, went_on = self._ask(node, lambda store: store.call(safe))
            if not went_on:
                return reply
        raise sent_on()

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        of_node: defaultdict[Node, list[int]] = defaultdict(list)
        for index, call in enumerate(calls):
            try:
                of_node[self._node_of(slot_of(call))].append(index)
            except (StoreRefused, StoreUnavailable) as error:
                # Of those that no node has: the others go on.
                replies[index] = error
        for node, indexes in of_node.items():
            try:
                part = self._store(node).call_many([guarded(calls[index]) for index in indexes])
            except (StoreRefused, StoreUnavailable) as error:
                part = [error] * len(indexes)
            for index, reply in zip(indexes, part, strict=True):
                replies[index] = self._learned(reply, node)
        problems = [reply for reply in replies if isinstance(reply, Problem)]
        if problems and len(problems) == len(replies):
            raise problems[0]
        return replies

    def read(self, *calls: Call) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        left: Sequence[int] = range(len(calls))
        for _ in range(HOPS):
            again = []
            of_node: defaultdict[Node, list[int]] = defaultdict(list)
            for index in left:
                of_node[self._node_of(slot_of(calls[index]))].append(index)
            for node, indexes in of_node.items():
                part = self._read_at(node, [guarded(calls[index]) for index in indexes])
                if part is None:
                    again += indexes
                    continue
                for index, reply in zip(indexes, part, strict=True):
                    replies[index] = reply
            if not again:
                return replies
            left = again
        raise sent_on()

    def close(self) -> None:
        with self._lock:
            for store in self._stores.values():
                store.close()

    def _read_at(self, node: Node, calls: Sequence[Call]) -> list[Any] | None:
        """The replies of one node; None if a key is at another one."""
        replies, went_on = self._ask(node, lambda store: store.read(*calls))
        return None if went_on else replies

    def _ask(
        self, node: Node, question: Callable[[BlockingStandaloneStore], Any]
    ) -> tuple[Any, bool]:
        """The reply of a node, and whether it has none but sends the call on to another one."""
        try:
            return question(self._store(node)), False
        except (StoreRefused, StoreUnavailable) as error:
            if not self._slots.sends_on(error, node):
                raise
            return None, True

    def _learned(self, reply: Any, node: Node) -> Any:
        """The reply to one of many calls. One that is sent on fails for now: calls with the same
        keys that came after it may have been executed where they were sent."""
        if isinstance(reply, Problem) and self._slots.sends_on(reply, node):
            return StoreUnavailable("its keys are on another node of the cluster by now")
        return reply

    def _node_of(self, slot: int | None) -> Node:
        if self._slots.is_due:
            with self._lock:
                if self._slots.is_due:
                    self._look()
        return self._slots.node_of(slot)

    def _look(self) -> None:
        problems: list[Problem] = []
        for node in self._slots.to_ask():
            # A store of its own: the limit in time is its socket's.
            asked = connect_blocking(self._address.server(*node), timeout_s=ANSWER_S)
            try:
                about, told = [asked.call(call) for call in (ABOUT, TOLD)]
            except (StoreRefused, StoreUnavailable) as error:
                problems.append(error)
                continue
            finally:
                asked.close()
            if self._slots.learn(View.of(node, about, told)):
                break
        else:
            self._slots.learn_from_the_rest(problems)

    def _store(self, node: Node) -> BlockingStandaloneStore:
        if (store := self._stores.get(node)) is None:
            made = connect_blocking(self._address.server(*node), timeout_s=self._timeout_s)
            store = self._stores.setdefault(node, made)
        return store
