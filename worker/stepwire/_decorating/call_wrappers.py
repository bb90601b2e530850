"""Functions around other functions, one for each kind: every call is a step."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, closing, suppress
from typing import TYPE_CHECKING, Any

from stepwire._decorating.callables import kind_of
from stepwire_core.errors import StepwireError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stepwire._decorating.callables import Kind
    from stepwire._decorating.decorated_call import DecoratedCall

Make = Callable[[tuple[Any, ...], dict[str, Any]], "DecoratedCall"]
"""Makes the step of a call, from its arguments."""


def wrapped(function: Callable[..., Any], make: Make) -> Callable[..., Any]:
    """A function that does what ``function`` does, inside a step."""
    wrapper = _WRAPPERS[kind_of(function)](function, make)
    # The attributes of a class or an object are not the wrapper's.
    updated = ("__dict__",) if inspect.isroutine(function) else ()
    return functools.update_wrapper(wrapper, function, updated=updated)


def _coroutine(function: Callable[..., Any], make: Make) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = make(args, kwargs)
        async with call:
            if call.is_reused:
                return call.result
            return call.returned(await function(*args, **kwargs))

    return wrapper


def _plain(function: Callable[..., Any], make: Make) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = make(args, kwargs)
        with call:
            if call.is_reused:
                return call.result
            result = function(*args, **kwargs)
            call.require_value(result)
            if (rest := _rest(call, result)) is None:
                result = call.returned(result)
            else:
                call.hand_on()
        return result if rest is None else rest

    return wrapper


def _generator(function: Callable[..., Any], make: Make) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        step = make(args, kwargs)
        step.attach_sync()
        with step.lifetime(), closing(function(*args, **kwargs)) as inner:
            resume = functools.partial(next, inner)
            while True:
                step.room_sync()
                try:
                    with step.resumed():
                        item = resume()
                except StopIteration as end:
                    step.attach_sync()
                    return end.value
                step.yielded(item)
                try:
                    resume = functools.partial(inner.send, (yield item))
                except GeneratorExit:
                    raise
                except BaseException as thrown:  # noqa: BLE001 - the inner generator decides
                    resume = functools.partial(inner.throw, thrown)

    return wrapper


def _async_generator(function: Callable[..., Any], make: Make) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        step = make(args, kwargs)
        await step.attach()
        with step.lifetime():
            await step.room()
            async with aclosing(function(*args, **kwargs)) as inner:
                resume = functools.partial(anext, inner)
                while True:
                    try:
                        with step.resumed():
                            item = await resume()
                    except StopAsyncIteration:
                        await step.attach()
                        return
                    step.yielded(item)
                    await step.room()
                    try:
                        resume = functools.partial(inner.asend, (yield item))
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # noqa: BLE001 - the inner generator decides
                        resume = functools.partial(inner.athrow, thrown)

    return wrapper


_WRAPPERS: Mapping[Kind, Callable[[Callable[..., Any], Make], Callable[..., Any]]] = {
    "plain": _plain,
    "coroutine": _coroutine,
    "generator": _generator,
    "async generator": _async_generator,
}


def _rest(call: DecoratedCall, result: object) -> Any:
    """What to return instead of a result that is work yet to be done; None: the result itself.

    The step goes on until that work has ended.
    """
    if inspect.iscoroutine(result):
        return _awaited(call, result)
    if asyncio.isfuture(result):
        # It may be cancelled, or asked for its result, by others: it stays what it is.
        result.add_done_callback(functools.partial(_ended_with, call))
        return result
    if inspect.isgenerator(result):
        return _generator(lambda: result, lambda _args, _kwargs: call)()
    if inspect.isasyncgen(result):
        return _async_generator(lambda: result, lambda _args, _kwargs: call)()
    return None


async def _awaited(call: DecoratedCall, work: Coroutine[Any, Any, Any]) -> Any:
    with call.lifetime():
        with call.resumed():
            result = await work
        call.returned(result)
        await call.attach()
    await call.room()
    return result


def _ended_with(call: DecoratedCall, future: asyncio.Future[Any]) -> None:
    """End the step as the future has ended; called by the event loop, where errors go nowhere."""
    error = asyncio.CancelledError() if future.cancelled() else future.exception()
    with suppress(StepwireError):
        if error is None:
            call.returned(future.result())
        call.finish(error)
