"""What a process listens to on a cluster: a connection to each node with channels that it wants.

The channel of a session is in the slot of the session's keys, and only the node that has the slot
carries its messages. When a slot goes to another node, Redis takes its channels away from their
subscribers (an unasked ``sunsubscribe``) and says nothing about where they are now. When a node
dies, its connection breaks. Each of these is a reason to doubt where a slot is, and a doubt is
settled in one place, :meth:`ClusterLink._settle`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from redis.crc import key_slot

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.backoff import Backoff
from stepwire_core.redis.commands import SHARDED
from stepwire_core.redis.failures import Remedy, remedy, word_of
from stepwire_core.redis.keys import is_of_session
from stepwire_core.redis.pubsub import Subscriptions
from stepwire_core.redis.topologies.slots import HOPS, Node, SlotMap, place, sent_on

if TYPE_CHECKING:
    from redis.exceptions import ResponseError

    from stepwire_core.redis.pubsub import OnMessage, OnRestored, PubSubLink
    from stepwire_core.redis.sockets import Watched


class Nodes(Protocol):
    """The nodes of a cluster, and who of them has which slots."""

    @property
    def slots(self) -> SlotMap: ...

    async def node_of(self, slot: int | None) -> Node: ...

    async def refresh(self) -> None: ...

    def connection_to(self, node: Node) -> Watched: ...


class ShardLink(Subscriptions):
    """The channels that are subscribed at one node.

    ``on_restored`` gets each channel as soon as it is confirmed anew: one that the node refuses
    holds up no other one.
    """

    def __init__(
        self,
        make_connection: Callable[[], Watched],
        on_message: OnMessage,
        on_restored: OnRestored,
        in_doubt: Callable[[Collection[bytes], ResponseError | None], None],
    ) -> None:
        """``in_doubt`` is called with channels that may be at another node now, and with what the
        node has said, if it has."""
        super().__init__(make_connection, on_message, on_restored, SHARDED)
        self._in_doubt = in_doubt
        self._restoring: set[bytes] = set()

    @property
    def is_idle(self) -> bool:
        return not self._channels

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def take(self, channels: Iterable[bytes]) -> list[bytes]:
        """Want channels that were wanted at another node, or here before; those to :meth:`ask`
        for."""
        new = [channel for channel in channels if channel not in self._confirmed]
        self._channels.update(new)
        self._restoring.update(new)
        for channel in new:
            # A refusal does not say of what it is: what was asked for before no longer counts.
            self._asked.pop(channel, None)
        return new

    async def ask(self, channels: Sequence[bytes]) -> None:
        """Return before they are confirmed."""
        await self._ask(channels)

    def give_up(self, channels: Iterable[bytes]) -> list[bytes]:
        """They are at another node: a caller that waits for a confirmation is told. Returns the
        channels to :meth:`leave`."""
        left = [one for one in channels if one in self._confirmed or self._asked[one] > 0]
        for channel in channels:
            self._channels.discard(channel)
            self._confirmed.discard(channel)
            self._restoring.discard(channel)
            self._asked.pop(channel, None)
            if waiting := self._waiting.pop(channel, None):
                waiting.set_result(False)
        return left

    async def leave(self, channels: Sequence[bytes]) -> None:
        """Have the node send no more of them: a demoted one would, and all would come twice."""
        await self._send_for(self._words.unsubscribe, channels)

    def _groups(self, channels: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
        # A command takes channels of one slot only.
        groups: defaultdict[int, list[bytes]] = defaultdict(list)
        for channel in channels:
            groups[key_slot(channel)].append(channel)
        return groups.values()

    def _is_restoring(self) -> bool:
        return bool(self._restoring)

    def _on_open(self) -> None:
        self._restoring = set(self._channels)
        self.reconnects += 1

    def _on_loss(self) -> None:
        self._in_doubt(self._channels, None)

    def _on_confirmed(self, channel: bytes) -> None:
        self._backoff.reset()
        if channel in self._restoring:
            self._restoring.discard(channel)
            self._on_restored((channel,))

    def _on_left(self, channel: bytes) -> None:
        # Of one that was left and is wanted again this may be the answer to the leaving: then it
        # is asked for twice, which does no harm.
        self._confirmed.discard(channel)
        if channel in self._channels:
            self._in_doubt((channel,), None)

    def _on_refusal(self, error: ResponseError) -> None:
        if remedy(error) is not Remedy.REPEAT and word_of(error) != "MOVED":
            raise error
        # It does not say which channel it means.
        self._in_doubt(self._channels - self._confirmed, error)


class ClusterLink:
    """The :class:`Link` of a cluster: to the channels of sessions at the nodes that have them, and
    to all others at any one node.

    A channel that moves is asked for at its new node, and then ``on_restored`` gets it: what was
    said in between was not heard.
    """

    def __init__(
        self, nodes: Nodes, plain: PubSubLink, on_message: OnMessage, on_restored: OnRestored
    ) -> None:
        self._nodes = nodes
        self._plain = plain
        self._on_message = on_message
        self._on_restored = on_restored
        self._wanted: defaultdict[int, set[bytes]] = defaultdict(set)
        """The channels of each slot."""
        self._at: dict[int, Node] = {}
        """Where those of a slot are asked for."""
        self._links: dict[Node, ShardLink] = {}
        self._tasks: dict[Node, asyncio.Task[None]] = {}
        self._doubtful: set[int] = set()
        self._settling: set[int] = set()
        self._doubt = asyncio.Event()
        self._failure: asyncio.Future[None] | None = None
        self._closed_reconnects = 0
        self._closed_unreadable = 0

    def put_before_own_channel(self, prefix: str) -> None:
        self._plain.put_before_own_channel(prefix)

    @property
    def reconnects(self) -> int:
        # The first connection to a node is not a reconnect.
        of_nodes = sum(max(0, link.reconnects - 1) for link in self._links.values())
        return self._plain.reconnects + of_nodes + self._closed_reconnects

    @property
    def unreadable(self) -> int:
        of_nodes = sum(link.unreadable for link in self._links.values())
        return self._plain.unreadable + of_nodes + self._closed_unreadable

    @property
    def problem(self) -> str | None:
        problems = list(self._problems())
        return None if None in problems else problems[0]

    @property
    def partial_problems(self) -> Sequence[str]:
        problems = [problem for problem in self._problems() if problem is not None]
        if lost := self._doubtful | self._settling:
            problems.append(f"the node of {len(lost)} slots is being looked for")
        return problems

    def _problems(self) -> Iterator[str | None]:
        yield self._plain.problem
        for node, link in self._links.items():
            if not link.is_idle:
                yield link.problem and f"{place(node)}: {link.problem}"

    async def subscribe(self, channel: bytes) -> None:
        if not is_of_session(channel):
            await self._plain.subscribe(channel)
            return
        slot = key_slot(channel)
        self._wanted[slot].add(channel)
        for _ in range(HOPS):
            try:
                link = await self._link_of(slot)
            except (StoreUnavailable, StoreRefused):
                self._note([slot])
                raise
            if await link.subscribe(channel):
                return
        raise sent_on()

    async def unsubscribe(self, channel: bytes) -> None:
        if not is_of_session(channel):
            await self._plain.unsubscribe(channel)
            return
        slot = key_slot(channel)
        wanted = self._wanted[slot]
        wanted.discard(channel)
        node = self._at.get(slot)
        if not wanted:
            del self._wanted[slot]
            self._at.pop(slot, None)
        if node is not None:
            await self._links[node].unsubscribe(channel)

    async def run(self) -> None:
        """Read until cancelled; reconnect whenever a connection is lost.

        Raises:
            StoreRefused: Redis does not let us subscribe.
        """
        self._failure = asyncio.get_running_loop().create_future()
        always = [self._started(self._plain.run()), self._started(self._settle())]
        for node, link in self._links.items():
            self._tasks[node] = self._started(link.run())
        try:
            await self._failure
        finally:
            self._failure = None
            ending = [*always, *self._tasks.values()]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def check(self) -> None:
        """Call now and then: drops connections that are of no use any more, and finds slots that
        have moved without a word."""
        # A silent node takes its time, and must not delay the checks of the others.
        await asyncio.gather(self._plain.check(), self._check_nodes())

    async def _check_nodes(self) -> None:
        if not self._links:
            return
        await self._nodes.refresh()
        for slot, node in self._at.items():
            if self._nodes.slots.place_of(slot) not in (node, None):
                self._note([slot])
        for node, link in list(self._links.items()):
            if link.is_idle:
                self._close(node)
            else:
                await link.check()

    def _started(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failure is None or self._failure.done():
            return
        if (error := task.exception()) is not None:
            self._failure.set_exception(error)

    # -- where the channels are -------------------------------------------------------------------

    async def _link_of(self, slot: int) -> ShardLink:
        node = self._at.get(slot)
        if node is None:
            found = await self._nodes.node_of(slot)
            # Another caller may have been quicker.
            node = self._at.setdefault(slot, found)
        return self._link_to(node)

    def _link_to(self, node: Node) -> ShardLink:
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = ShardLink(
                lambda: self._nodes.connection_to(node),
                self._on_message,
                self._on_restored,
                lambda channels, error: self._hear_doubt(node, channels, error),
            )
            if self._failure is not None:
                self._tasks[node] = self._started(link.run())
        return link

    def _close(self, node: Node) -> None:
        link = self._links.pop(node)
        self._closed_reconnects += max(0, link.reconnects - 1)
        self._closed_unreadable += link.unreadable
        if (task := self._tasks.pop(node, None)) is not None:
            task.cancel()

    def _hear_doubt(
        self, node: Node, channels: Collection[bytes], error: ResponseError | None
    ) -> None:
        moved = None if error is None else self._nodes.slots.moved(error, node)
        if moved is not None:
            self._note([moved])
            return
        self._nodes.slots.doubt()
        self._note({key_slot(channel) for channel in channels})

    def _note(self, slots: Collection[int]) -> None:
        self._doubtful.update(slots)
        if self._doubtful:
            self._doubt.set()

    async def _settle(self) -> None:
        """Ask for the channels of slots that are in doubt where they are now, again and again."""
        pause = Backoff(0.05, 0.5)
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            self._settling, self._doubtful = self._doubtful, set()
            if await self._place(self._settling):
                pause.reset()
            self._settling = set()
            # Nodes may disagree for a while, and send on to one another; or a node is away.
            await asyncio.sleep(pause.next_s())

    async def _place(self, slots: Collection[int]) -> bool:
        """Ask for the channels of slots where they are; whether any could be asked for."""
        found = {}
        for slot in slots:
            if slot not in self._wanted:
                continue
            try:
                found[slot] = await self._nodes.node_of(slot)
            except (StoreUnavailable, StoreRefused):
                self._note([slot])
        taken: defaultdict[ShardLink, list[bytes]] = defaultdict(list)
        left: defaultdict[ShardLink, list[bytes]] = defaultdict(list)
        for slot, node in found.items():
            channels = self._wanted.get(slot, ())
            if not channels:
                continue
            before = self._at.get(slot)
            self._at[slot] = node
            if before is not None and before != node:
                left[self._links[before]] += self._links[before].give_up(channels)
            link = self._link_to(node)
            taken[link] += link.take(channels)
            if not link.is_connected:
                # It may never come back, while another node takes its place.
                self._nodes.slots.doubt()
                self._note([slot])
        for link, asked in taken.items():
            await link.ask(asked)
        for link, channels_there in left.items():
            await link.leave(channels_there)
        return any(link.is_connected for link in taken)
