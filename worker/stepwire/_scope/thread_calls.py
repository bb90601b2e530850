"""The calls of one run's threads that wait for its event loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future


class Calls:
    """Calls that end with their run: a thread cannot be stopped, but it need not wait for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()
        self.is_closed = False

    def add(self, call: Future[Any]) -> None:
        """Cancel this call when the run ends; at once if it has ended."""
        with self._lock:
            self._waiting.add(call)
            is_closed = self.is_closed
        if is_closed:
            call.cancel()

    def remove(self, call: Future[Any]) -> None:
        """The call is over."""
        with self._lock:
            self._waiting.discard(call)

    def close(self) -> None:
        """The run has ended."""
        with self._lock:
            self.is_closed = True
            waiting = list(self._waiting)
        # Outside of the lock, which the waiting thread takes next.
        for call in waiting:
            call.cancel()
