"""Counters and gauges: the module that counts something declares it, in one line.

``/metrics`` shows all that is declared, and docs/operations.md lists it (``make tables``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Values = Mapping[tuple[str, ...], float]
"""Numbers by the values of their labels; of a metric without labels by the empty tuple."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One name of ``/metrics``, and what it means; the numbers are those of :class:`Metrics`."""

    name: str
    kind: Literal["counter", "gauge"]
    about: str
    labels: tuple[str, ...]


_DECLARED: Final[dict[str, Metric]] = {}


def counter(name: str, about: str, *, labels: tuple[str, ...] = ()) -> Metric:
    """Declare something that is counted. No label may carry an id or a token.

    Raises:
        ValueError: there is one of that name.
    """
    return _declared(Metric(name, "counter", about, labels))


def gauge(name: str, about: str, *, labels: tuple[str, ...] = ()) -> Metric:
    """Declare something that rises and falls. No label may carry an id or a token.

    Raises:
        ValueError: there is one of that name.
    """
    return _declared(Metric(name, "gauge", about, labels))


def _declared(metric: Metric) -> Metric:
    if metric.name in _DECLARED:
        raise ValueError(f"the metric {metric.name!r} is declared twice")
    _DECLARED[metric.name] = metric
    return metric


def declared() -> list[Metric]:
    """All that the imported modules have declared, by name."""
    return sorted(_DECLARED.values(), key=lambda metric: metric.name)


class Metrics:
    """The numbers of one gateway."""

    def __init__(self) -> None:
        # Not a Counter: that has a method for its deletions in Python, and so each of its
        # assignments goes through Python, too, at six times the price.
        self._counted: dict[Metric, defaultdict[tuple[str, ...], int]] = {}
        self._watched: dict[Metric, Callable[[], Values]] = {}
        self._set: dict[Metric, Values] = {}

    def add(self, metric: Metric, *labels: str, amount: int = 1) -> None:
        """Count so many more.

        Raises:
            ValueError: these are not the labels of the metric.
        """
        if len(labels) != len(metric.labels):
            raise ValueError(f"the labels of {metric.name!r} are {metric.labels}, not {labels}")
        self.counts(metric)[labels] += amount

    def counts(self, metric: Metric) -> defaultdict[tuple[str, ...], int]:
        """The numbers themselves, by the values of their labels, for what counts every event."""
        counted = self._counted.get(metric)
        if counted is None:
            counted = self._counted[metric] = defaultdict(int)
        return counted

    def watch(self, metric: Metric, read: Callable[[], Values]) -> None:
        """Ask ``read`` for the numbers each time that they are shown, instead of counting."""
        self._watched[metric] = read

    def set(self, metric: Metric, values: Values) -> None:
        """What the numbers are from now on; none: they are not known, and none is shown."""
        self._set[metric] = values

    def values(self, metric: Metric) -> Values:
        """The numbers now. Of a counter without labels there is always one."""
        if metric in self._set:
            return self._set[metric]
        watched = self._watched.get(metric)
        values = self._counted.get(metric, {}) if watched is None else watched()
        return values or ({} if metric.labels else {(): 0})

    def value(self, metric: Metric, *labels: str) -> float:
        """One number; 0 if nothing has been counted."""
        return self.values(metric).get(labels, 0)
