"""A process of a benchmark's own that does what it is told over a pipe."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from ctypes import c_uint64
from multiprocessing.connection import Connection
from typing import Any, Final

CONTEXT: Final = multiprocessing.get_context("spawn")

ANSWER_TIMEOUT_S: Final = 120.0


def counter() -> c_uint64:
    """A number that several processes see; one of them writes it."""
    return CONTEXT.RawValue(c_uint64, 0)


class Remote:
    """Runs ``serve(pipe, *args)`` in another process: one object answers each message."""

    def __init__(self, serve: Callable[..., None], *args: object) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=serve, args=(theirs, *args), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        if pid is None:
            raise RuntimeError("the process has not been started")
        return pid

    def tell(self, *message: object) -> Any:
        """The answer to a message.

        Raises:
            RuntimeError: no answer came in time, or the process has died; its output says why.
        """
        self._pipe.send(message)
        if not self._pipe.poll(ANSWER_TIMEOUT_S):
            raise RuntimeError(f"no answer to {message[0]!r} for {ANSWER_TIMEOUT_S:g} s")
        try:
            return self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"the process died over {message[0]!r}") from None

    def close(self) -> None:
        self._process.kill()
        self._process.join()


Pipe = Connection
