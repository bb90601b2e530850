"""One timer of the event loop for thousands of things that have to be looked at now and then."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Final, Protocol

logger = logging.getLogger("stepwire.hub")

TICK_S: Final = 0.05
"""Everything is looked at this much late at the most, beside what the event loop is."""

_AT_ONCE: Final = 200
"""So many are looked at before the event loop gets its turn."""


class Timed(Protocol):
    """Something that has to be looked at at a certain time."""

    def on_time(self, now_s: float) -> float | None:
        """It is time, by the clock of the event loop; when it is again, or None: never."""
        ...


class TimerWheel:
    """Looks at what it was given when that is due.

    A timer of the event loop for each of ten thousand streams is a kilobyte of each. Nothing is
    taken off: what is over says so when its time comes. What fails is logged, and not looked at
    again.
    """

    def __init__(self) -> None:
        self._slots: dict[int, list[Timed]] = {}
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, timed: Timed, at_s: float) -> None:
        """Look at it then, by the clock of the event loop."""
        tick = math.ceil(at_s / TICK_S)
        self._slots.setdefault(tick, []).append(timed)
        if tick < self._next:
            self._arm(tick)

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = tick
        self._timer = asyncio.get_running_loop().call_at(tick * TICK_S, self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        tick, self._next, self._timer = self._next, math.inf, None
        slot = self._slots.pop(int(tick), [])
        now_s = loop.time()
        for timed in slot[:_AT_ONCE]:
            try:
                at_s = timed.on_time(now_s)
            except Exception:  # the boundary to each: all others are still to be looked at
                logger.exception("a stream could not be looked at")
                continue
            if at_s is not None:
                # Never in the slot that is being looked at.
                self.add(timed, max(at_s, now_s + TICK_S))
        if rest := slot[_AT_ONCE:]:
            self._slots[int(tick)] = rest + self._slots.get(int(tick), [])
        if self._slots and (first := min(self._slots)) < self._next:
            self._arm(first)
