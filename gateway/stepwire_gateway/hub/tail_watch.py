"""What pub/sub cannot promise: the ends of the logs are looked at now and then."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
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
        self._lost: set[Feed] = set()
        self._woken = asyncio.Event()
        self._looks: dict[Hashable, asyncio.Task[None]] = {}

    def look_at(self, feeds: Iterable[Feed]) -> None:
        """Messages of theirs may have been lost: look at their logs, now."""
        self._lost.update(feeds)
        if self._lost:
            self._woken.set()

    async def run(self) -> None:
        """Look again and again, until this is cancelled.

        Raises:
            StoreRefused: Redis refuses it.
        """
        try:
            for check in itertools.count(1):
                await self._look_at_lost_ones(within_s=self.next_check_s())
                # A session that expires says nothing: the quiet ones are looked at, too, if rarely.
                everyone = check % _CHECKS_PER_FULL_ONE == 0
                self._look({feed for feed in self._feeds() if feed.is_due() or everyone})
        finally:
            for look in self._looks.values():
                look.cancel()
            await asyncio.gather(*self._looks.values(), return_exceptions=True)

    async def _look_at_lost_ones(self, *, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    await self._woken.wait()
                    self._woken.clear()
                    lost, self._lost = self._lost, set()
                    self._look(lost)

    def _look(self, feeds: set[Feed]) -> None:
        """Begin to look at feeds, those of each server by itself: one that is away holds up no
        other one, and its feeds are looked at when it is back."""
        of_place: defaultdict[Hashable, list[Feed]] = defaultdict(list)
        for feed in feeds | self._lost:
            if feed.readers:
                of_place[self._source.place_of(feed.session_id)].append(feed)
        self._lost.clear()
        for place, look in list(self._looks.items()):
            if look.done():
                del self._looks[place]
                look.result()
        for place, its in of_place.items():
            if place in self._looks:
                self._lost.update(its)
            else:
                look = self._looks[place] = asyncio.create_task(self.check(its))
                look.add_done_callback(lambda _: self._woken.set())

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
