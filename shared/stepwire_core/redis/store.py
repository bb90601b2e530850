"""The seam between stepwire and Redis: all that the rest of the code asks of it.

Outside of this folder no module imports ``redis``. In it, this module and those of scripts, keys
and commands do not either: redis-py, with all that it imports in turn, is loaded by the process
that opens a store, when it does so. One contract test runs over every implementation:
``tests/core/test_store.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from stepwire_core.redis.commands import command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepwire_core.redis.commands import Call
    from stepwire_core.redis.pubsub import PubSubLink

QUICK_S: Final = 3.0
"""The time limit of a call that costs Redis next to nothing, or that is repeated afterwards."""


class Store(Protocol):
    """Where sessions, or a queue, are kept; for one asyncio event loop.

    A call that the server refuses or does not answer raises an error of ours:

    - :class:`StoreUnavailable`: the same call, a little later, may succeed. Whether the server has
      executed this one is unknown.
    - :class:`StoreRefused`: it fails until a person changes something.

    Any other refusal is a fault of the call itself, and is raised as Redis has put it. A script
    that the server does not have is loaded, and called again. A cancellation is never swallowed.
    """

    @property
    def server(self) -> str:
        """Which server it is: one call may have keys of all stores that say the same."""
        ...

    async def primaries(self) -> Sequence[Store]:
        """A store for each server that takes writes: itself, or the nodes of a cluster.

        Raises:
            StoreUnavailable, StoreRefused: a cluster does not say, or nobody has a part of it.
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
        Single calls that are asked for in one turn of the event loop share a round trip.
        """
        ...

    def listen(
        self, on_message: Callable[[bytes, bytes], None], on_restored: Callable[[], None]
    ) -> PubSubLink:
        """A connection of its own for messages, which :meth:`PubSubLink.run` makes and keeps up.

        ``on_message`` gets the channel and what was published, in the order of each channel;
        ``on_restored`` is called after each reconnect, when messages may have been lost.
        """
        ...


class OwnStore(Store, Protocol):
    """One with connections of its own."""

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


async def probe(store: Store, key: str) -> None:
    """Return when the server takes writes; it is asked for one that does nothing.

    Raises:
        StoreUnavailable: it does not answer, or takes no writes for the moment.
        StoreRefused: it does not let us write.
    """
    # Refused where a write would be: by a replica, without enough replicas, disk or memory. The
    # list is not there, and then this makes none.
    await store.call(command("LPUSHX", key, ""), within_s=QUICK_S)
