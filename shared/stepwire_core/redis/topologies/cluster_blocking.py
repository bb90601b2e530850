"""A store on a Redis Cluster, for threads: as :mod:`stepwire_core.redis.topologies.cluster`."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import Call
from stepwire_core.redis.standalone import BlockingStandaloneStore, connect_blocking
from stepwire_core.redis.topologies.slots import (
    ANSWER_S,
    ASK_AGAIN_S,
    HOPS,
    TOLD,
    Node,
    SlotMap,
    guarded,
    moved_to,
    problem_of,
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
        """Around the map of the slots, and the stores of the nodes."""
        self._stores: dict[Node, BlockingStandaloneStore] = {}
        self._slots = SlotMap()
        self._asked_at = float("-inf")
        self._is_stale = True
        self._problem: StoreRefused | StoreUnavailable | None = None

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
        for node, indexes in self._by_node(calls, range(len(calls))).items():
            try:
                part = self._store(node).call_many([guarded(calls[index]) for index in indexes])
            except (StoreRefused, StoreUnavailable) as error:
                self._is_stale = True
                if len(indexes) == len(calls):
                    raise
                part = [error] * len(indexes)
            for index, reply in zip(indexes, part, strict=True):
                replies[index] = self._learned(reply, node)
        return replies

    def read(self, *calls: Call) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        left: Sequence[int] = range(len(calls))
        for _ in range(HOPS):
            again = []
            for node, indexes in self._by_node(calls, left).items():
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

    def _by_node(self, calls: Sequence[Call], indexes: Sequence[int]) -> dict[Node, list[int]]:
        of_node: defaultdict[Node, list[int]] = defaultdict(list)
        for index in indexes:
            of_node[self._node_of(slot_of(calls[index]))].append(index)
        return of_node

    def _ask(
        self, node: Node, question: Callable[[BlockingStandaloneStore], Any]
    ) -> tuple[Any, bool]:
        """The reply of a node, and whether it has none but sends the call on to another one."""
        try:
            return question(self._store(node)), False
        except (StoreRefused, StoreUnavailable) as error:
            self._is_stale = True
            moved = moved_to(error, node)
            if moved is None:
                raise
            self._slots.move(*moved)
            return None, True

    def _learned(self, reply: Any, node: Node) -> Any:
        """The reply to one of many calls. One that is sent on fails for now: calls with the same
        keys that came after it may have been executed where they were sent."""
        if isinstance(reply, (StoreRefused, StoreUnavailable)):
            self._is_stale = True
            if (moved := moved_to(reply, node)) is not None:
                self._slots.move(*moved)
                return StoreUnavailable("its keys are on another node of the cluster by now")
        return reply

    def _node_of(self, slot: int | None) -> Node:
        if self._is_stale and time.monotonic() - self._asked_at > ASK_AGAIN_S:
            with self._lock:
                if self._is_stale and time.monotonic() - self._asked_at > ASK_AGAIN_S:
                    self._look()
        return self._slots.node_of(slot, self._problem)

    def _look(self) -> None:
        problems: list[StoreRefused | StoreUnavailable] = []
        known = random.sample(self._slots.nodes, len(self._slots.nodes))
        for node in dict.fromkeys((*known, *self._address.hosts)):
            # A store of its own: the limit in time is its socket's.
            asked = connect_blocking(self._address.server(*node), timeout_s=ANSWER_S)
            try:
                reply = asked.call(TOLD)
            except (StoreRefused, StoreUnavailable) as error:
                problems.append(error)
                continue
            finally:
                asked.close()
            self._slots = SlotMap.told(reply, node)
            self._is_stale = False
            self._problem = None
            break
        else:
            self._problem = problem_of(problems)
        self._asked_at = time.monotonic()

    def _store(self, node: Node) -> BlockingStandaloneStore:
        if (store := self._stores.get(node)) is None:
            made = connect_blocking(self._address.server(*node), timeout_s=self._timeout_s)
            store = self._stores.setdefault(node, made)
        return store
