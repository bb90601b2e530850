"""How often somebody has done something, counted for all gateways together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepwire_core.redis.connections import translated
from stepwire_core.redis.keys import rate_key
from stepwire_core.redis.scripts import lua_source, script_args

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Rates:
    """Counts in fixed windows; one begins with the first call after the last one has ended.

    So a window's limit holds within it, and over the border of two up to twice as much may come.
    """

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(lua_source("redis/count"))

    async def count(self, what: str, who: str, window_s: int) -> tuple[int, float]:
        """Count one; how many there are in this window, and the seconds until it ends.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        args = script_args("redis/count", window_ms=window_s * 1000)
        async with translated():
            count, left_ms = await self._script(keys=[rate_key(what, who)], args=args)
        return int(count), int(left_ms) / 1000
