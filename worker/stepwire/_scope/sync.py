"""Between asynchronous and synchronous code."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, ParamSpec, TypeVar

from stepwire._scope.context import current_frame
from stepwire._transport.threads import in_thread
from stepwire_core.errors import InvalidArgument, RunEnded

P = ParamSpec("P")
R = TypeVar("R")


_NOTHING: Final[Generator[Any, Any, None]] = iter(())  # type: ignore[assignment]
"""It has ended, so that one serves all."""


class Emitting(Coroutine[Any, Any, None]):
    """A coroutine whose work was done when it was made: what is left is to wait for room.

    So asynchronous code awaits it, and synchronous code, which has waited already, leaves it. Type
    checkers, which complain of a coroutine that is left, take it for an object like any other.
    """

    def __init__(self, rest: Coroutine[Any, Any, None] | None = None) -> None:
        self._rest = rest

    def __await__(self) -> Generator[Any, Any, None]:
        if self._rest is None:
            return _NOTHING
        return self._rest.__await__()

    def send(self, value: Any) -> Any:
        if self._rest is None:
            raise StopIteration
        return self._rest.send(value)

    def throw(self, *error: Any) -> Any:
        if self._rest is None:
            kind, *given = error
            raise kind if not given or given[0] is None else given[0]
        return self._rest.throw(*error)

    def close(self) -> None:
        if self._rest is not None:
            self._rest.close()


EMITTED: Final = Emitting()
"""Nothing is left to wait for; it has no state, so that one serves all."""


def on_loop() -> bool:
    """Whether the running code is on an event loop, and so can await."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def sleep(duration: float) -> None:
    """Wait for some seconds without holding up anything else."""
    await asyncio.sleep(duration)


def make_async(function: Callable[P, R]) -> Callable[P, Awaitable[R]]:
    """A synchronous function as a coroutine function: it runs in a thread, with its place in the
    tree.

    For code that blocks: ``answer = await cl.make_async(slow)(question)``. Each call has a thread
    of its own, so it begins at once, whatever else blocks. A cancellation does not stop the thread:
    its result is dropped, and what it shows after the end of the run raises :class:`RunEnded`
    there.

    Raises:
        InvalidArgument: it is a coroutine function already, or not a function.
    """
    if not callable(function):
        raise InvalidArgument(f"make_async takes a function, not {type(function).__name__}")
    if inspect.iscoroutinefunction(function):
        raise InvalidArgument(
            f"make_async takes a function that blocks; {function.__name__!r} is a coroutine "
            f"function already: await {function.__name__}(…)"
        )

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return await in_thread(function, *args, **kwargs)

    return wrapper


def run_sync(coroutine: Coroutine[Any, Any, R]) -> R:
    """The result of a coroutine, from synchronous code: ``cl.run_sync(cl.Message("hi").send())``.

    In a thread of :func:`make_async` or of a synchronous handler it runs on the handler's event
    loop, so that clients which are bound to that loop work; elsewhere on a loop of its own.

    Raises:
        InvalidArgument: called on the event loop itself, which would wait for itself: await it
            there.
        RunEnded: the run has ended meanwhile, as by its time limit; the coroutine is cancelled.
    """
    if on_loop():
        coroutine.close()
        raise InvalidArgument(
            "run_sync was called in asynchronous code: await the coroutine instead"
        )
    scope = current_frame("run_sync").scope
    run = scope.run
    if run is None or not run.loop.is_running():
        return asyncio.run(coroutine)
    call = asyncio.run_coroutine_threadsafe(coroutine, run.loop)
    run.calls.add(call)
    try:
        return call.result()
    except concurrent.futures.CancelledError:
        if not run.calls.is_closed:
            raise
        raise RunEnded(scope.session_id, scope.run_id) from None
    finally:
        run.calls.remove(call)
