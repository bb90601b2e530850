"""The seam between stepwire and Redis: all that the rest of the code asks of it.

Outside of this folder no module imports ``redis``. In it, this module and those of scripts, keys
and commands do not either: redis-py, with all that it imports in turn, is loaded by the process
that opens a store, when it does so. One contract test runs over every implementation:
``tests/core/test_store.py``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import command

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from stepwire_core.redis.commands import Call
    from stepwire_core.redis.pubsub import OnMessage, OnRestored

QUICK_S: Final = 3.0
"""The time limit of a call that costs Redis next to nothing, or that is repeated afterwards."""


ONE_OF_MANY_S: Final = 1.0
"""How long one of several servers may take to show that it is there: those that ask load balancers
and orchestrators have little time, and the others are there."""


class Store(Protocol):
    """Where sessions, or a queue, are kept; for one asyncio event loop.

    A call that the server refuses or does not answer raises an error of ours:

    - :class:`StoreUnavailable`: the same call, a little later, may succeed. Whether the server has
      executed this one is unknown.
    - :class:`StoreRefused`: it fails until a person changes something.

    Any other refusal is a fault of the call itself, and is raised as Redis has put it. A script
    that the server does not have is loaded, and called again. A cancellation is never swallowed.
    What is asked for in one turn of the event loop shares a round trip.
    """

    @property
    def server(self) -> str:
        """Which server it is: one call may have keys of all stores that say the same."""
        ...

    async def primaries(self) -> Sequence[Store]:
        """A store for each server that takes writes: itself, or the nodes of a cluster.

        Raises:
            StoreUnavailable, StoreRefused: a cluster does not answer, or no node has some of its
                slots.
        """
        ...

    async def call(self, call: Call, *, within_s: float | None = None) -> Any:
        """Execute a call once, and return its reply, within ten seconds or ``within_s``.

        It is repeated only when the server has surely not executed it.
        """
        ...

    async def read(self, *calls: Call) -> list[Any]:
        """Execute calls that change nothing, in one round trip, and return their replies.

        If no answer has come for some seconds, or the connection has broken, they are executed
        once more over another connection. What they read may be of different instants. Several
        calls must all be commands: a script that is missing is loaded for a single call alone.
        """
        ...

    def probe_keys(self, key: str) -> Mapping[str, str]:
        """For each server that takes writes, as far as is known, a key that it has: ``key``, or
        that with something behind it. Of one with braces there is only itself."""
        ...

    def place_of(self, key: str) -> Hashable:
        """Tells keys apart that may be on different servers, as far as is known; no server is
        asked."""
        ...

    def listen(self, on_message: OnMessage, on_restored: OnRestored) -> Link:
        """Connections of its own for messages, which :meth:`Link.run` makes and keeps up.

        ``on_message`` gets the channel and what was published, in the order of each channel;
        ``on_restored`` gets the channels of which messages may have been lost, when more come.
        """
        ...


class Link(Protocol):
    """Listens to channels. It is lossy: a caller that needs every message reads it elsewhere when
    ``on_restored`` is called, and now and then."""

    @property
    def reconnects(self) -> int:
        """How often there was a connection, the first time included."""
        ...

    @property
    def unreadable(self) -> int:
        """Messages that were passed over."""
        ...

    @property
    def problem(self) -> str | None:
        """Why messages may be lost now, of all channels; None while connections are confirmed."""
        ...

    @property
    def partial_problems(self) -> Sequence[str]:
        """Why messages of some channels may be lost now: of those on a node that is away."""
        ...

    async def subscribe(self, channel: bytes) -> object:
        """Messages that are published after this returns are handed over.

        Raises:
            StoreUnavailable: no confirmation in time; the subscription stays wanted.
        """
        ...

    async def unsubscribe(self, channel: bytes) -> None:
        """Hear no more of it."""
        ...

    async def run(self) -> None:
        """Read until cancelled; reconnect whenever a connection is lost.

        Raises:
            StoreRefused: Redis does not let us subscribe.
        """
        ...

    async def check(self) -> None:
        """Call now and then: drops connections that are of no use any more."""
        ...


class OwnLink(Link, Protocol):
    """One whose own channel can still be named otherwise."""

    def put_before_own_channel(self, prefix: str) -> None:
        """Put that before the channel of the messages to ourselves; before it runs."""
        ...


class OwnStore(Store, Protocol):
    """One with connections of its own."""

    def listen(self, on_message: OnMessage, on_restored: OnRestored) -> OwnLink: ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


class BlockingStore(Protocol):
    """The same for code without an event loop; any thread may use it.

    Errors, loading of scripts and repetitions are those of :class:`Store`.
    """

    def call(self, call: Call) -> Any:
        """Execute a call once, and return its reply."""
        ...

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Execute calls in one round trip; for each, its reply or the error that it came to.

        Calls with the same keys are executed in their order, and one that fails stops none of
        them: who needs that a later one fails, too, says so in what it sends.

        Raises:
            StoreUnavailable, StoreRefused: none of them has got an answer.
        """
        ...

    def read(self, *calls: Call) -> list[Any]:
        """Execute calls that change nothing, in one round trip, and return their replies.

        They are executed once more if the connection has broken, not after a silence. Several must
        all be commands, as in :meth:`Store.read`.
        """
        ...

    def close(self) -> None:
        """Close its connections."""
        ...


async def probe(store: Store, key: str) -> Sequence[str]:
    """Return when the store takes writes: each of its servers is asked for one that does nothing.

    Returns what is wrong at those of a cluster that do not take it, a line for each.

    Raises:
        StoreUnavailable: none of them answers, or takes writes for the moment.
        StoreRefused: none of them lets us write.
    """
    keys = store.probe_keys(key)
    within_s = QUICK_S if len(keys) == 1 else ONE_OF_MANY_S
    # Refused where a write would be: by a replica, without enough replicas, disk or memory. The
    # list is not there, and then this makes none.
    replies = await asyncio.gather(
        *(store.call(command("LPUSHX", own, ""), within_s=within_s) for own in keys.values()),
        return_exceptions=True,
    )
    problems = {
        server: reply
        for server, reply in zip(keys, replies, strict=True)
        if isinstance(reply, BaseException)
    }
    for problem in problems.values():
        if len(problems) == len(keys) or not isinstance(problem, StoreUnavailable | StoreRefused):
            raise problem
    return [f"{server}: {problem}" for server, problem in problems.items()]
