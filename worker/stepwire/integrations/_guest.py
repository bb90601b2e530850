"""Hooks in a library's code: put in place once, taken back, and never in the way."""

from __future__ import annotations

import logging
import threading
from contextlib import ContextDecorator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

logger = logging.getLogger("stepwire.integrations")


class Guard(ContextDecorator):
    """``with guard:`` or ``@guard`` around our code in a library's call: failures stay inside.

    One is logged with its traceback, the first time of each kind. Cancellations go on.
    """

    def __init__(self, library: str) -> None:
        self._library = library
        self._said: set[type[BaseException]] = set()

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(exc, Exception):
            return False
        if type(exc) not in self._said:
            self._said.add(type(exc))
            logger.warning(
                "a step could not be shown; more of this kind are not logged",
                extra={"library": self._library},
                exc_info=exc,
            )
        return True


class Switch:
    """Something that is put in place once, however often it is asked for, and taken back once.

    Args:
        put: Puts it in place; returns what takes it back.
    """

    def __init__(self, put: Callable[[], Callable[[], None]]) -> None:
        self._put = put
        self._undo: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def on(self) -> Callable[[], None]:
        """Put it in place; returns :meth:`off`."""
        with self._lock:
            if self._undo is None:
                self._undo = self._put()
        return self.off

    def off(self) -> None:
        """Take it back; does nothing if it is not in place."""
        with self._lock:
            undo, self._undo = self._undo, None
        if undo is not None:
            undo()
