"""Reads of many callers in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from stepwire_core.redis.commands import Call

AT_ONCE: Final = 100
"""The most calls of one round trip."""


class Gathering:
    """Gathers what is asked for in one turn of the event loop, and asks for it together.

    When a thousand clients come at once, a call by itself costs several times what Redis needs for
    it: a connection, a task's turns, a write, a read. A caller that is alone waits for nothing but
    the end of the turn.

    A caller that is cancelled stops no other one.
    """

    def __init__(self, replies: Callable[[Sequence[Call]], Awaitable[Sequence[Any]]]) -> None:
        """``replies`` makes the calls: the reply of each, or the error that it came to."""
        self._replies = replies
        self._waiting: list[tuple[Call, asyncio.Future[Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def reply(self, call: Call) -> Any:
        """The reply to one call.

        Raises: what ``replies`` raises, or returns for it.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._begin)
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((call, future))
        return await future

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), AT_ONCE):
            task = asyncio.create_task(self._make(waiting[start : start + AT_ONCE]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _make(self, waiting: Sequence[tuple[Call, asyncio.Future[Any]]]) -> None:
        replies: Sequence[Any]
        try:
            replies = await self._replies([call for call, _ in waiting])
        except asyncio.CancelledError:
            for _, future in waiting:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised where each of them waits
            replies = [error] * len(waiting)
        for (_, future), reply in zip(waiting, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, BaseException):
                future.set_exception(reply)
            else:
                future.set_result(reply)
