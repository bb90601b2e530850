"""Threads: one for each piece of user code, and a few for our own short calls.

asyncio's default executor has a handful of threads for everybody: what blocks there keeps all the
others from starting. So it is left to user code alone, which reaches it with ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, WeakSet

P = ParamSpec("P")
R = TypeVar("R")

CALLS_AT_ONCE: Final = 8
"""Threads of one event loop for short calls to Redis."""

_numbers = itertools.count(1)
_left: WeakSet[threading.Thread] = WeakSet()
_executors: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()


async def in_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a blocking function, from a thread of its own with a copy of the context.

    It starts at once, however many others block, and a thread that never ends keeps neither another
    one nor the end of the process waiting. A cancellation leaves the thread behind: its result is
    dropped.

    Raises:
        RuntimeError: the system gives this process no more threads.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()
    work = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
    name = f"stepwire-run-{next(_numbers)}"
    thread = threading.Thread(target=_work, args=(loop, done, work), name=name, daemon=True)
    thread.start()
    try:
        return await done
    except asyncio.CancelledError:
        if not done.done() or done.cancelled():
            _left.add(thread)
        raise


def threads_left() -> int:
    """How many threads go on although no caller awaits them any more."""
    return sum(thread.is_alive() for thread in list(_left))


def _work(loop: asyncio.AbstractEventLoop, done: asyncio.Future[R], work: Callable[[], R]) -> None:
    try:
        tell: Callable[[], object] = functools.partial(_settle, done, result=work())
    except BaseException as error:  # noqa: BLE001 - all that user code raises goes to the awaiter
        tell = functools.partial(_settle, done, error=error)
    # The loop is closed: no caller awaits this any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)


def _settle(
    done: asyncio.Future[Any], *, result: object = None, error: BaseException | None = None
) -> None:
    if done.done():
        return
    if isinstance(error, StopIteration):
        # A future cannot raise it, since it would end the coroutine that awaits.
        replacement = RuntimeError("a function in a thread raised StopIteration")
        replacement.__cause__ = error
        error = replacement
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


async def short_call(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a blocking call that is bounded in time, such as one to Redis; never for user
    code, nor for what takes as long as a file is large."""
    loop = asyncio.get_running_loop()
    executor = _executors.get(loop)
    if executor is None:
        # One of each loop: a forked child, which has none of its parent's threads, has a new loop.
        executor = _executors[loop] = ThreadPoolExecutor(CALLS_AT_ONCE, "stepwire-call")
    return await loop.run_in_executor(executor, functools.partial(function, *args, **kwargs))
