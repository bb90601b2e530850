"""``@cl.step``: a function whose every call is a step."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from stepwire._tree.node import checked_elements
from stepwire._tree.rendering import piece_of
from stepwire._tree.step import Step

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping, Sequence

    from stepwire._tree.element_base import Element

P = ParamSpec("P")
R = TypeVar("R")


@overload
def step(original_function: Callable[P, R]) -> Callable[P, R]: ...


@overload
def step(
    original_function: None = None,
    *,
    name: str | None = None,
    type: str = "undefined",
    id: str | None = None,
    parent_id: str | None = None,
    elements: Sequence[Element] | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    language: str | None = None,
    icon: str | None = None,
    show_input: bool | str = False,
    default_open: bool = False,
    auto_collapse: bool = False,
    root: bool = False,
    disable_feedback: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def step(
    original_function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    **options: Any,
) -> Callable[..., Any]:
    """Make every call of a function a :class:`Step`, bare or with the step's parameters.

    The step is named after the function. Its input are the arguments by name, its output what the
    function returns, unless the function has set the output itself. Generators and async generators
    stream what they yield as text; their step lives until they are exhausted or closed.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        make = functools.partial(_Call, function, name or function.__name__, options)
        if inspect.isasyncgenfunction(function):
            return _async_generator(function, make)
        if inspect.isgeneratorfunction(function):
            return _generator(function, make)
        if inspect.iscoroutinefunction(function):
            return _coroutine(function, make)
        return _plain(function, make)

    return decorate if original_function is None else decorate(original_function)


class _Call:
    """One call of a decorated function: its step, with the arguments as input."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        options: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        # Every call shows elements of its own.
        given = checked_elements(options.get("elements") or (), "step")
        options = options | {"elements": [element._again() for element in given]}
        self.step = Step(name=name, **options)
        try:
            arguments = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
        except TypeError:
            # The call itself is about to raise this.
            return
        # What a person reads are the arguments, not the object that has the method.
        arguments.pop("self", None)
        arguments.pop("cls", None)
        if arguments:
            self.step.input = arguments

    def returned(self, value: object) -> None:
        if value is not None and not self.step.output:
            self.step.output = value


_Make = Callable[[tuple[Any, ...], dict[str, Any]], _Call]


def _coroutine(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = make(args, kwargs)
        async with call.step:
            result = await function(*args, **kwargs)
            call.returned(result)
        return result

    return wrapper


def _plain(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = make(args, kwargs)
        with call.step:
            result = function(*args, **kwargs)
            call.returned(result)
        return result

    return wrapper


def _generator(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        step = make(args, kwargs).step
        step._store_elements_sync()
        with step._lifetime(), closing(function(*args, **kwargs)) as inner:
            resume = functools.partial(next, inner)
            while True:
                step._room_sync()
                try:
                    with step._resumed():
                        item = resume()
                except StopIteration as end:
                    step._store_elements_sync()
                    return end.value
                step._add(piece_of(item), "output", replace=False)
                try:
                    resume = functools.partial(inner.send, (yield item))
                except GeneratorExit:
                    raise
                except BaseException as thrown:  # noqa: BLE001 - the inner generator decides
                    resume = functools.partial(inner.throw, thrown)

    return wrapper


def _async_generator(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        step = make(args, kwargs).step
        await step._store_elements()
        with step._lifetime():
            await step._room()
            async with aclosing(function(*args, **kwargs)) as inner:
                resume = functools.partial(anext, inner)
                while True:
                    try:
                        with step._resumed():
                            item = await resume()
                    except StopAsyncIteration:
                        await step._store_elements()
                        return
                    await step.stream_token(piece_of(item))
                    try:
                        resume = functools.partial(inner.asend, (yield item))
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # noqa: BLE001 - the inner generator decides
                        resume = functools.partial(inner.athrow, thrown)

    return wrapper
