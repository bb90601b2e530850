"""What the runs of this process come to, in numbers: how many, how long, how long they waited."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

WAIT_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
RUN_BUCKETS_S: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)

OTHER: Final = "other"
"""The handler of runs for which this worker has none: their names may be anything."""


class Histogram:
    """How many values lie between its bounds."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class RunNumbers:
    """Counted on the worker's event loop; read from any thread."""

    def __init__(self, handlers: Container[str]) -> None:
        self._handlers = handlers
        self.attempts: Counter[tuple[str, str]] = Counter()
        """By handler and status."""
        self.failed: Counter[str] = Counter()
        """Runs that have not ended well, and are not tried again, by handler."""
        self.seconds: dict[str, Histogram] = {}
        self.waits: dict[str, Histogram] = {}

    def waited(self, handler: str, seconds: float) -> None:
        """A worker has taken a run this long after it was due."""
        self._of(self.waits, handler, WAIT_BUCKETS_S).add(max(0.0, seconds))

    def ended(self, handler: str, status: str, seconds: float, *, is_final: bool) -> None:
        """An attempt has ended after so long."""
        name = self._label(handler)
        self.attempts[name, status] += 1
        if is_final and status in ("error", "interrupted"):
            self.failed[name] += 1
        self._of(self.seconds, handler, RUN_BUCKETS_S).add(seconds)

    def _of(self, of: dict[str, Histogram], handler: str, bounds: tuple[float, ...]) -> Histogram:
        return of.setdefault(self._label(handler), Histogram(bounds))

    def _label(self, handler: str) -> str:
        return handler if handler in self._handlers else OTHER
