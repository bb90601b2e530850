"""Which node of a cluster has which key, as the cluster tells it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.crc import key_slot

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import Call, command, key_places
from stepwire_core.redis.failures import reason, word_of

SLOTS: Final = 16_384

HOPS: Final = 5
"""How often a call goes on to the node that another one has named."""

ANSWER_S: Final = 1.0
"""How long a node may take to say who has which slots; then the next one is asked."""

ASK_AGAIN_S: Final = 0.2
"""How long at least between two such questions."""

Node = tuple[str, int]
"""Host and port."""

TOLD: Final = command("CLUSTER SLOTS")
"""The call that asks a node for all of them."""


def slot_of(call: Call) -> int | None:
    """The slot of the keys of a call; None if it has none, so that any node may execute it."""
    places = key_places(call.words)
    if not places:
        return None
    key = call.words[places.start]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


@dataclass(slots=True)
class SlotMap:
    """The primaries of a cluster and their slots. It is a guess: the nodes know better."""

    nodes: tuple[Node, ...] = ()
    """Those that have slots."""
    _of_slot: list[Node | None] = field(default_factory=lambda: [None] * SLOTS)

    @classmethod
    def told(cls, reply: Sequence[Sequence[Any]], by: Node) -> SlotMap:
        """What a node has answered to :data:`TOLD`."""
        told = cls()
        for first, last, (host, port, *_), *_ in reply:
            # A node that does not know its own address is where it was asked.
            node = (host.decode() if host else by[0], int(port))
            told._of_slot[first : last + 1] = [node] * (last + 1 - first)
        told.nodes = tuple(dict.fromkeys(node for node in told._of_slot if node is not None))
        return told

    def node_of(self, slot: int | None, problem: StoreRefused | StoreUnavailable | None) -> Node:
        """The node to ask about a slot, any one for None.

        Raises:
            StoreUnavailable, StoreRefused: none is known; that is the reason, if there is one.
        """
        if slot is None and self.nodes:
            return random.choice(self.nodes)  # noqa: S311 - no secret
        node = None if slot is None else self._of_slot[slot]
        if node is None:
            if problem is not None:
                raise again(problem)
            raise StoreUnavailable(f"no node of the cluster has slot {slot}")
        return node

    def move(self, slot: int, to: Node) -> None:
        """A node has said that another one has this slot."""
        self._of_slot[slot] = to
        if to not in self.nodes:
            self.nodes = (*self.nodes, to)

    @property
    def missing(self) -> int:
        """How many slots nobody has."""
        return self._of_slot.count(None)


def moved_to(error: StoreRefused | StoreUnavailable, by: Node) -> tuple[int, Node] | None:
    """The slot that a node says is elsewhere, and where: it has executed nothing."""
    reply = error.__cause__
    if reply is None or word_of(reply) != "MOVED":
        return None
    _, slot, place = reason(reply).split(" ")
    host, _, port = place.rpartition(":")
    return int(slot), (host or by[0], int(port))


def problem_of(
    problems: Sequence[StoreRefused | StoreUnavailable],
) -> StoreRefused | StoreUnavailable:
    """Why no node has said who has which slots."""
    for problem in problems:
        if isinstance(problem, StoreRefused):
            return problem
    said = "; ".join(dict.fromkeys(str(problem) for problem in problems))
    return StoreUnavailable(f"no node of the cluster answers: {said}")


def again(problem: StoreRefused | StoreUnavailable) -> StoreRefused | StoreUnavailable:
    """An error that was found out before, as a new one: each caller has its own traceback."""
    fresh = type(problem)(str(problem))
    fresh.__cause__ = problem.__cause__
    return fresh


def sent_on() -> StoreUnavailable:
    """The error of a call that finds no node which takes it."""
    return StoreUnavailable("the nodes of the cluster do not agree who has its keys")


def guarded(call: Call) -> Call:
    """The call in the form that a cluster may execute while the slot of its keys moves.

    A script uses keys that it has not declared. While a slot moves, some of these can be on another
    node already: the script would end in its middle, with a half of it written.
    """
    script = call.script
    if script is None or call.words[2] == 0:
        return call
    safe = script.guarded
    return Call((call.words[0], safe.callee, *call.words[2:]), safe)
