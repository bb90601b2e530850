"""The event loop of a worker, which user code shares with us."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from stepwire._transport.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextvars import Context

logger = logging.getLogger("stepwire.worker")


class WorkerLoop(asyncio.SelectorEventLoop):
    """An event loop on which user code cannot reach what is not its own: the tasks of others, and
    the threads that look names up."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """The ones that are not done."""
        return {task for task in list(self._tasks) if not task.done()}

    def create_task(
        self,
        coro: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        """As asyncio's; but ``asyncio.all_tasks()`` does not have it. Code that ends a program of
        its own cancels all that it finds there: here, the runs of others and the worker.
        """
        task = super().create_task(coro, name=name, context=context)
        # Documented for tasks of other kinds: "Extending asyncio".
        asyncio._unregister_task(task)  # noqa: SLF001
        self._tasks.add(task)
        return task

    async def getaddrinfo(  # type: ignore[override]
        self,
        host: str | None,
        port: str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As ``socket.getaddrinfo``.

        asyncio uses the default executor for it. User code that blocks all threads of that would
        keep this process from connecting to Redis anew.
        """
        return await in_thread(socket.getaddrinfo, host, port, family, type, proto, flags)


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a worker; another one than asyncio's own, if the user's module has set a
    policy that makes others."""
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop:
        return loop
    loop.close()
    return WorkerLoop()


def run_through(loop: asyncio.AbstractEventLoop, main: asyncio.Task[Any]) -> None:
    """Run the loop until ``main`` is done, whatever user code does to it.

    asyncio lets a ``SystemExit`` or ``KeyboardInterrupt`` of any task or callback out of the loop,
    and anybody may call ``loop.stop()``. What was ready to run is still ready, so the loop goes on.

    Raises: what ``main`` raises.
    """
    while not main.done():
        try:
            loop.run_until_complete(main)
        except (SystemExit, KeyboardInterrupt):
            logger.exception(
                "a task or callback of user code tried to end the process: the worker goes on"
            )
        except RuntimeError:
            if main.done() or loop.is_closed():
                raise
            logger.error("user code stopped the event loop: the worker goes on")  # noqa: TRY400
    main.result()
