"""A store whose keys all have a name in front, so that installations can share a server."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stepwire_core.redis.commands import Argument, Call, key_places

if TYPE_CHECKING:
    from stepwire_core.redis.pubsub import OnMessage, OnRestored
    from stepwire_core.redis.store import BlockingStore, OwnLink, OwnStore, Store


class PrefixedStore:
    """Puts the prefix of an address before the keys of each call.

    Channels have theirs already (:class:`stepwire_core.redis.keys.Channels`).
    """

    def __init__(self, store: OwnStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    @property
    def server(self) -> str:
        return self._store.server

    async def primaries(self) -> Sequence[Store]:
        return await self._store.primaries()

    async def call(self, call: Call, *, within_s: float | None = None) -> Any:
        return await self._store.call(_with(self._prefix, call), within_s=within_s)

    async def read(self, *calls: Call) -> list[Any]:
        return await self._store.read(*(_with(self._prefix, call) for call in calls))

    def probe_keys(self, key: str) -> Mapping[str, str]:
        return self._store.probe_keys(key)

    def place_of(self, key: str) -> Hashable:
        return self._store.place_of(key)

    def listen(self, on_message: OnMessage, on_restored: OnRestored) -> OwnLink:
        link = self._store.listen(on_message, on_restored)
        link.put_before_own_channel(self._prefix)
        return link

    async def aclose(self) -> None:
        """Close its connections."""
        await self._store.aclose()


class BlockingPrefixedStore:
    """The same for threads."""

    def __init__(self, store: BlockingStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def call(self, call: Call) -> Any:
        return self._store.call(_with(self._prefix, call))

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        return self._store.call_many([_with(self._prefix, call) for call in calls])

    def read(self, *calls: Call) -> list[Any]:
        return self._store.read(*(_with(self._prefix, call) for call in calls))

    def close(self) -> None:
        self._store.close()


def _with(prefix: str, call: Call) -> Call:
    places = key_places(call.words)
    words = list(call.words)
    for place in places:
        words[place] = f"{prefix}{_name(words[place])}"
    return Call(tuple(words), call.script)


def _name(key: Argument) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)
