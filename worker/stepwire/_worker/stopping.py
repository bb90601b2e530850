"""How a worker process ends: when it is told to, in order, and in time whatever user code does."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

logger = logging.getLogger("stepwire.worker")

REACT_S: Final = 3.0
"""So long after the grace time the event loop has to answer."""

END_S: Final = 14.0
"""So long it may take to end runs, store that, shut the application down (six seconds of it), and
close connections; most of the rest is for a Redis that does not answer."""

LEAVE_S: Final = 2.0
"""So long threads and ``atexit`` handlers of user code may keep the process after that."""

_SAY_S: Final = 1.0

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Hears of SIGTERM and SIGINT, and ends the process when its time is over.

    From a thread of its own, which the C-level handler of a signal wakes: so neither a blocked
    event loop nor a main thread that is inside foreign code keeps it from doing so. (Code that
    holds the interpreter's lock for good does: only SIGKILL ends that.)
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        grace_s: float,
        on_told: Callable[[], object],
    ) -> None:
        """``on_told`` is called on the loop when the process is told to stop."""
        self._loop = loop
        self._grace_s = grace_s
        self._on_told = on_told
        self._deadline = float("inf")
        self._late = (
            "the event loop is blocked by a handler: the process ends, and other workers have its "
            "runs when their leases are over"
        )
        self._code = 1
        self._cause = ""
        self._read_fd, self._write_fd = os.pipe()
        self._heard = self._handled = 0
        self._is_told = False

    @property
    def is_told(self) -> bool:
        """Whether the process was told to stop."""
        return self._is_told

    def watch(self) -> None:
        """Hear signals from now on, until the process ends; called in the main thread."""
        for fd in (self._read_fd, self._write_fd):
            os.set_blocking(fd, False)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        _keep_from_children()
        threading.Thread(target=self._watch, name="stepwire-stopping", daemon=True).start()

    def because(self, cause: str) -> None:
        """Record why the process ends: its last log line, also if it cannot end in order."""
        self._cause = cause

    def end_within(self, limit_s: float) -> None:
        """The loop answers, and the process is ending: it has this long to do so in order."""
        self._late = "the worker cannot end in order: the process ends without"
        self._until(time.monotonic() + limit_s)

    def leave(self, code: int) -> None:
        """All is stored and closed: the process is ended with ``code`` unless it ends by itself."""
        self._code = code
        self._late = "a thread or an atexit handler of user code keeps the process: it is ended"
        self._until(time.monotonic() + LEAVE_S)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Beside the pipe: an event loop on which user code handles signals takes that over."""
        del number, frame
        self._handled += 1
        self._wake()

    def _until(self, deadline: float) -> None:
        self._deadline = deadline
        self._wake()

    def _wake(self) -> None:
        # A full pipe wakes as well.
        with suppress(BlockingIOError):
            os.write(self._write_fd, b"\0")

    def _watch(self) -> None:
        while True:
            left_s = max(0.0, self._deadline - time.monotonic())
            timeout = None if left_s == float("inf") else left_s
            if select.select([self._read_fd], [], [], timeout)[0]:
                self._heard += sum(byte in _SIGNALS for byte in os.read(self._read_fd, 4096))
            # Each signal comes one way or both.
            told = max(self._heard, self._handled)
            if told > 1:
                self._exit(1, "told twice to stop: the process ends at once")
            if told and not self._is_told:
                self._tell_loop()
            if time.monotonic() >= self._deadline:
                self._exit(self._code, self._late)

    def _tell_loop(self) -> None:
        self._is_told = True
        self._deadline = min(self._deadline, time.monotonic() + self._grace_s + REACT_S)
        # First, so that it does not come after the last line, which says why a worker ends.
        _say(logging.INFO, "told to stop")
        # Closed: it is about to end anyway.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._on_told)

    def _exit(self, code: int, reason: str) -> None:
        _say(logging.WARNING, f"{reason}; it ends since {self._cause}" if self._cause else reason)
        os._exit(code)


def _keep_from_children() -> None:
    """Keep the signals of forked children out of our pipe, which they share: one to a child, as by
    ``multiprocessing.Process.terminate``, would stop the worker."""
    before = threading.local()

    def hold() -> None:
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def go_on() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def forget() -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        go_on()

    os.register_at_fork(before=hold, after_in_parent=go_on, after_in_child=forget)


def _say(level: int, text: str) -> None:
    """Log it, unless what is blocked holds a handler of the log."""

    def say() -> None:
        logger.log(level, text)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    thread.join(_SAY_S)
