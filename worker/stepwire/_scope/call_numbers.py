"""Which call of its kind in a run a durable step is: what tells two calls of one name apart."""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict


class CallNumbers:
    """Counts the calls of each name, from 1, in the order in which they begin.

    A call that came to nothing gives its number back, so that the call that is made in its place
    has it: in a loop that calls until it succeeds, the success is the first call in every attempt.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: defaultdict[str, int] = defaultdict(int)
        self._free: dict[str, list[int]] = {}

    def take(self, name: str) -> int:
        """The lowest number of that name that no other call has."""
        with self._lock:
            if free := self._free.get(name):
                return heapq.heappop(free)
            self._taken[name] += 1
            return self._taken[name]

    def give_back(self, name: str, number: int) -> None:
        """The call has kept nothing."""
        with self._lock:
            heapq.heappush(self._free.setdefault(name, []), number)
