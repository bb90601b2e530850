"""A call of user code: nothing that it raises goes further, and no caller waits for it for ever."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal

from stepwire._decorating.callables import kind_of
from stepwire._transport.threads import in_thread
from stepwire_core.errors import InvalidArgument

logger = logging.getLogger("stepwire.run")

CLEANUP_S: Final = 1.0
"""For this long, code that is cancelled may clean up before its run ends without it."""

Cut = Literal["cancelled", "stopped", "timeout"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call."""

    result: object = None
    error: BaseException | None = None
    """The exception that it raised, which may be a ``SystemExit``."""
    cut: Cut | None = None
    """Why it was cancelled; then it does not count what it has made of that."""
    stopped: asyncio.CancelledError | None = None
    """The cancellation of the task that awaited it."""


class UserCode:
    """User code under way in a task of its own, with the context of the caller.

    The task always ends well: asyncio lets a ``SystemExit`` or ``KeyboardInterrupt`` of a task out
    of the loop, which would end the worker.
    """

    _left_behind: Final[set[asyncio.Task[Outcome]]] = set()
    # asyncio itself keeps no task alive.

    def __init__(
        self, code: Coroutine[Any, Any, object], on_cut: Callable[[Cut], object] | None = None
    ) -> None:
        """``on_cut`` hears why the code is cancelled, right before it is."""
        self._on_cut = on_cut
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(_contained(code))
        self._wish: asyncio.Future[None] = loop.create_future()

    def cancel(self) -> None:
        """Somebody wants it to stop: :meth:`outcome` sees to it."""
        if not self._wish.done():
            self._wish.set_result(None)

    async def outcome(self, limit_s: float) -> Outcome:
        """Its outcome, after ``limit_s`` and the time for cleaning up at the latest.

        It is cancelled when its time is over, when :meth:`cancel` is called, and when the calling
        task is cancelled; this does not raise then, :attr:`Outcome.stopped` has the cancellation.
        Code that does not let itself be cancelled is left behind.
        """
        cut, stopped = None, None
        try:
            both: list[asyncio.Future[Any]] = [self._task, self._wish]
            await asyncio.wait(both, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            stopped = error
        if not self._task.done():
            cut = self._why(stopped)
            if self._on_cut is not None:
                self._on_cut(cut)
            stopped = await self._cancel() or stopped
        if cut is not None:
            return Outcome(cut=cut, stopped=stopped)
        if self._task.cancelled():
            # Before its first step, by another handler.
            return Outcome(error=asyncio.CancelledError(), stopped=stopped)
        ended = self._task.result()
        return Outcome(ended.result, ended.error, stopped=stopped)

    def _why(self, stopped: asyncio.CancelledError | None) -> Cut:
        if self._wish.done():
            return "cancelled"
        return "timeout" if stopped is None else "stopped"

    async def _cancel(self) -> asyncio.CancelledError | None:
        """Cancel it, and give it the time to clean up."""
        stopped = None
        self._task.cancel()
        try:
            await asyncio.wait([self._task], timeout=CLEANUP_S)
        except asyncio.CancelledError as error:
            stopped = error
        if not self._task.done():
            logger.warning("a handler did not end when it was cancelled: it is left behind")
            self._left_behind.add(self._task)
            self._task.add_done_callback(self._left_behind.discard)
        return stopped

    @classmethod
    def left_behind(cls) -> int:
        """How many calls go on although their runs have ended."""
        return len(cls._left_behind)


async def _contained(code: Coroutine[Any, Any, object]) -> Outcome:
    try:
        return Outcome(await code)
    except BaseException as error:  # noqa: BLE001 - the boundary to the user's code
        return Outcome(error=error)


async def invoke(function: Callable[..., Any], *args: Any, **kwargs: Any) -> object:
    """The result of a handler, coroutine function or not."""
    if kind_of(function) == "coroutine":
        return await function(*args, **kwargs)
    # A synchronous handler gets a thread, with the context, so that it blocks only itself.
    result = await in_thread(function, *args, **kwargs)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise InvalidArgument(
            "the handler is a generator, of which nothing has run: write its results with "
            "stream_token, or return them, instead of 'yield'"
        )
    return await result if isinstance(result, Awaitable) else result
