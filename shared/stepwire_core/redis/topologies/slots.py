"""Which node of a cluster has which key, as the cluster tells it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis.crc import key_slot

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import Call, command, key_places
from stepwire_core.redis.failures import reason, word_of

SLOTS: Final = 16_384

HOPS: Final = 5
"""How often a call goes on to the node that another one has named."""

ANSWER_S: Final = 1.0
"""How long a node may take to say who has which slots; then the next one is asked."""

LOOK_S: Final = 3.0
"""How long all of them may take together: a call waits for it."""

ASK_AGAIN_S: Final = 0.2
"""How long at least between two such questions."""

Node = tuple[str, int]
"""Host and port."""


def place(node: Node) -> str:
    """As people write it."""
    return f"{node[0]}:{node[1]}"


ABOUT: Final = command("CLUSTER INFO")
"""The call that asks a node how much it knows, before :data:`TOLD`."""

TOLD: Final = command("CLUSTER SLOTS")
"""The call that asks a node for all of them."""


def slot_of(call: Call) -> int | None:
    """The slot of the keys of a call; None if it has none, so that any node may execute it."""
    places = key_places(call.words)
    if not places:
        return None
    key = call.words[places.start]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


Problem = StoreRefused | StoreUnavailable


class View(NamedTuple):
    """The state of the cluster as one node reports it."""

    by: Node
    is_up: bool
    """Whether the node holds the cluster for complete: one that is cut off does not."""
    epoch: int
    """The epoch of the cluster: a node that missed a failover has an older one."""
    slots: Sequence[Sequence[Any]]

    @classmethod
    def of(cls, by: Node, about: Mapping[str, Any], told: Sequence[Sequence[Any]]) -> View:
        """From its replies to :data:`ABOUT` and :data:`TOLD`."""
        is_up = about.get("cluster_state") == "ok"
        return cls(by, is_up, int(about.get("cluster_current_epoch", 0)), told)


class SlotMap:
    """The primaries of a cluster and their slots. It is a guess: the nodes know better.

    The store of either kind asks the nodes, and tells it what they have said.
    """

    def __init__(self, hosts: Sequence[Node]) -> None:
        """``hosts`` are asked while no other node is known."""
        self._hosts = tuple(hosts)
        self.nodes: tuple[Node, ...] = ()
        """Those that have slots."""
        self._of_slot: list[Node | None] = [None] * SLOTS
        self._problem: Problem | None = None
        self._is_stale = True
        self._asked_at = float("-inf")
        self._epoch = 0
        self._doubted: list[View] = []

    @property
    def is_due(self) -> bool:
        """Whether the nodes are to be asked anew before anything is looked up."""
        return self._is_stale and time.monotonic() - self._asked_at > ASK_AGAIN_S

    @property
    def known(self) -> frozenset[Node]:
        """The nodes that may be asked something."""
        return frozenset((*self.nodes, *self._hosts))

    def to_ask(self) -> Iterator[Node]:
        """The nodes to ask for all slots, one after another, for :data:`LOOK_S` at most."""
        began = time.monotonic()
        for node in dict.fromkeys((*random.sample(self.nodes, len(self.nodes)), *self._hosts)):
            if time.monotonic() - began > LOOK_S:
                return
            yield node

    def learn(self, view: View) -> bool:
        """A node has answered; whether that is what to go by. If not, ask on: another one may know
        more. A primary that is cut off from the others says for ever that its slots are its own."""
        if not view.is_up or view.epoch < self._epoch:
            self._doubted.append(view)
            return False
        self._go_by(view)
        return True

    def learn_from_the_rest(self, problems: Sequence[Problem]) -> None:
        """No node has answered what to go by; these are the reasons of those that were silent."""
        if self._doubted:
            self._go_by(max(self._doubted, key=lambda view: (view.is_up, view.epoch)))
        else:
            self._learn_nothing(problems)

    def _go_by(self, view: View) -> None:
        of_slot: list[Node | None] = [None] * SLOTS
        for first, last, (host, port, *_), *_ in view.slots:
            # A node that does not know its own address is where it was asked.
            node = (host.decode() if host else view.by[0], int(port))
            of_slot[first : last + 1] = [node] * (last + 1 - first)
        self._of_slot = of_slot
        self.nodes = tuple(dict.fromkeys(node for node in of_slot if node is not None))
        self._problem = None
        self._is_stale = False
        self._asked_at = time.monotonic()
        self._epoch = view.epoch
        self._doubted.clear()

    def _learn_nothing(self, problems: Sequence[Problem]) -> None:
        said = "; ".join(dict.fromkeys(str(problem) for problem in problems))
        unavailable = StoreUnavailable(f"no node of the cluster answers: {said}")
        refusals = (problem for problem in problems if isinstance(problem, StoreRefused))
        self._problem = next(refusals, unavailable)
        self._asked_at = time.monotonic()

    def sends_on(self, error: Problem, by: Node) -> bool:
        """Whether a node has executed nothing, and says that another one has the slot.

        That is noted, and that the map may be wrong after any error.
        """
        self.doubt()
        return error.__cause__ is not None and self.moved(error.__cause__, by) is not None

    def doubt(self) -> None:
        """Something has failed: the map may be wrong."""
        self._is_stale = True

    def moved(self, reply: BaseException, by: Node) -> int | None:
        """The slot of which a reply says that another node has it, which is noted."""
        if word_of(reply) != "MOVED":
            return None
        _, slot, place = reason(reply).split(" ")
        host, _, port = place.rpartition(":")
        node = (host or by[0], int(port))
        self._of_slot[int(slot)] = node
        if node not in self.nodes:
            self.nodes = (*self.nodes, node)
        return int(slot)

    def node_of(self, slot: int | None) -> Node:
        """The node to ask about a slot, any one for None.

        Raises:
            StoreUnavailable, StoreRefused: none is known; that is the reason, if there is one.
        """
        if slot is None and self.nodes:
            return random.choice(self.nodes)  # noqa: S311 - no secret
        node = None if slot is None else self._of_slot[slot]
        if node is None:
            self._raise_problem()
            raise StoreUnavailable(f"no node of the cluster has slot {slot}")
        return node

    def place_of(self, slot: int) -> Node | None:
        """The node that has a slot as far as is known; no node is asked."""
        return self._of_slot[slot]

    def any_node(self) -> Node:
        """A node that may be there."""
        return random.choice(self.nodes or self._hosts)  # noqa: S311 - no secret

    def require_all(self) -> None:
        """Return if every slot has a node.

        Raises:
            StoreUnavailable, StoreRefused: some have none, or no node can say.
        """
        self._raise_problem()
        if missing := self._of_slot.count(None):
            raise StoreUnavailable(f"no node of the cluster has {missing} of its slots")

    def _raise_problem(self) -> None:
        if self._problem is not None:
            # A new one: each caller has a traceback of its own.
            raise type(self._problem)(str(self._problem)) from self._problem.__cause__


def sent_on() -> StoreUnavailable:
    """The error of a call that finds no node which takes it."""
    return StoreUnavailable("the nodes of the cluster do not agree who has its keys")


def guarded(call: Call) -> Call:
    """The call in the form for a cluster, which may be executed while the slot of its keys moves.

    A script uses keys that it has not declared. While a slot moves, some of these can be on another
    node already: the script would end in its middle, with a half of it written.
    """
    script = call.script
    if script is None or call.words[2] == 0:
        return call
    safe = script.on_cluster
    return Call((call.words[0], safe.callee, *call.words[2:]), safe)
