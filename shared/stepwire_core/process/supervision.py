"""Side tasks that a process cannot do without: none of them ends silently."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

from stepwire_core.errors import SideTaskFailed, StepwireError

logger = logging.getLogger("stepwire")

Fail = Callable[[StepwireError], object]
"""Ends the process, in order, because of that."""


def stop_process(error: StepwireError) -> None:
    """Ask this process to stop as its supervisor would: what is under way ends in order."""
    logger.critical("this process ends: %s", error)
    os.kill(os.getpid(), signal.SIGTERM)


def as_reason(part: str, error: BaseException) -> StepwireError:
    """Why a process ends; an unforeseen error is logged with its traceback."""
    if isinstance(error, StepwireError):
        return error
    logger.error("%s has failed", part, exc_info=error)
    return SideTaskFailed(part, f"{type(error).__name__}: {error}")


class Supervisor:
    """Runs side tasks while the block runs; ``fail`` is called when one of them ends by an error,
    or is cancelled by somebody else.

    A task that returns is over and done with. Tasks that still run when the block ends are
    cancelled and awaited.
    """

    def __init__(self, fail: Fail) -> None:
        self._fail: Final = fail
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_over = False

    def start(self, work: Coroutine[Any, Any, object], name: str) -> asyncio.Task[Any]:
        """Begin a side task, on the running event loop."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if self._is_over:
            return
        if task.cancelled():
            self._fail(SideTaskFailed(task.get_name(), "it was cancelled"))
        elif (error := task.exception()) is not None:
            self._fail(as_reason(task.get_name(), error))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
