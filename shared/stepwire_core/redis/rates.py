"""How often a caller has done something, counted for all gateways together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepwire_core.redis.commands import Script
from stepwire_core.redis.keys import rate_key
from stepwire_core.redis.scripts import lua_source, script_args

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store

_COUNT: Final = Script(lua_source("redis/count"))


class Rates:
    """Counts in fixed windows; one begins with the first call after the last one has ended.

    So a window's limit holds within it, and over the border of two up to twice as much may come.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def count(self, what: str, who: str, window_s: int) -> tuple[int, float]:
        """Count one; how many there are in this window, and the seconds until it ends.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        args = script_args("redis/count", window_ms=window_s * 1000)
        # As a read, which is repeated if its connection breaks: a limit reached one call too
        # early is better than an error.
        [(count, left_ms)] = await self._store.read(_COUNT.on([rate_key(what, who)], args))
        return int(count), int(left_ms) / 1000
