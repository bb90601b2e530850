"""Clients that come at once, a few in each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

A_TURN: Final = 32
"""So many begin in one turn: together they take it for some ten milliseconds."""


class Newcomers:
    """Lets those in who come, in their order, so that thousands do not hold up those who are there.

    A client that comes alone does not wait.
    """

    def __init__(self) -> None:
        self._left = A_TURN
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_counting = False

    async def turn(self) -> None:
        """Return when it is this one's turn."""
        loop = asyncio.get_running_loop()
        if not self._is_counting:
            self._is_counting = True
            loop.call_soon(self._next_turn)
        if self._left > 0:
            self._left -= 1
            return
        future = loop.create_future()
        self._waiting.append(future)
        await future

    def _next_turn(self) -> None:
        self._left = A_TURN
        while self._waiting and self._left > 0:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                self._left -= 1
        self._is_counting = bool(self._waiting)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next_turn)
