"""How long to wait before the next attempt."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from ``first_s`` up to ``longest_s``, each shortened by up to a half.

    Many processes lose one server in one moment: the shortening spreads their return.
    """

    def __init__(self, first_s: float = 0.05, longest_s: float = 2.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        """The next delay."""
        delay_s, self._next_s = self._next_s, min(self._next_s * 2, self._longest_s)
        return delay_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing

    def reset(self) -> None:
        """An attempt has succeeded: begin with ``first_s`` again."""
        self._next_s = self._first_s
