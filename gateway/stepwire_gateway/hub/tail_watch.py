"""What pub/sub cannot promise: the ends of the logs are looked at now and then."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stepwire_gateway.hub.feed import Feed
    from stepwire_gateway.hub.log_source import LogSource

logger = logging.getLogger("stepwire.hub")

_TAILS_PER_CALL: Final = 500
_CHECKS_PER_FULL_ONE: Final = 20


class TailWatch:
    """Compares feeds with the ends of their logs.

    A lost last message has nothing after it that reveals it. A feed that has had news since the
    last look is looked at only at the next one: news reveals what was lost before it, and a look at
    each of thousands of busy feeds is far from free.
    """

    def __init__(
        self,
        source: LogSource,
        every_s: float,
        *,
        feeds: Callable[[], Iterable[Feed]],
        catch_up: Callable[[Feed], None],
    ) -> None:
        self._source = source
        self._every_s = every_s
        self._feeds = feeds
        self._catch_up = catch_up
        self._restored = asyncio.Event()

    def look_at_all(self) -> None:
        """Messages were lost while the connection was away: look at every log, now."""
        self._restored.set()

    async def run(self) -> None:
        """Look again and again, until this is cancelled."""
        for check in itertools.count(1):
            with suppress(TimeoutError):
                async with asyncio.timeout(self.next_check_s()):
                    await self._restored.wait()
            # A session that expires says nothing: the quiet ones are looked at, too, if rarely.
            everyone = self._restored.is_set() or check % _CHECKS_PER_FULL_ONE == 0
            self._restored.clear()
            await self.check([feed for feed in self._feeds() if feed.is_due() or everyone])

    def next_check_s(self) -> float:
        """When to look again; gateways that were started together do not all look at once."""
        return self._every_s * random.uniform(0.8, 1.2)  # noqa: S311 - spread

    async def check(self, feeds: list[Feed]) -> None:
        """Make feeds that are not at the end of their log read it, and close those of no session.

        Raises:
            StoreRefused: Redis refuses it.
        """
        for start in range(0, len(feeds), _TAILS_PER_CALL):
            chunk = feeds[start : start + _TAILS_PER_CALL]
            positions = [feed.position for feed in chunk]
            tops = await self._source.tops([feed.session_id for feed in chunk])
            for feed, before, top in zip(chunk, positions, tops, strict=True):
                feed.quiet_checks += 1
                if top is None:
                    feed.close()
                elif not feed.is_read:
                    # A reader may be about to join that has read before the messages were lost.
                    if feed.position == before:
                        feed.position = top
                else:
                    # Ahead of the log, too: a server may come back without its tail.
                    if feed.position != top:
                        self._catch_up(feed)
                    feed.drop_ahead_of(top)
