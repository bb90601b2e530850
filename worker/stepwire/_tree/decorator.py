"""``@cl.step``: a function whose every call is a step."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import aclosing, closing, contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from stepwire._scope.context import leave_frame
from stepwire._tree.attachments import checked_elements
from stepwire._tree.rendering import piece_of
from stepwire._tree.step import Step

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence

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


class _Call(Step):
    """The step of one call of a decorated function, with the arguments as input."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        options: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        # Every call shows elements of its own.
        given = checked_elements(options.get("elements") or (), "elements", "step")
        options = options | {"elements": [element._again() for element in given]}
        super().__init__(name=name, **options)
        try:
            arguments = dict(inspect.signature(function).bind(*args, **kwargs).arguments)
        except TypeError:
            # The call itself is about to raise this.
            return
        # People want to read the arguments, not the object that has the method.
        arguments.pop("self", None)
        arguments.pop("cls", None)
        if arguments:
            self.input = arguments

    def returned(self, value: object) -> None:
        """What the function has returned is the output, unless it has set one itself."""
        if value is not None and not self.output:
            self.output = value

    # -- for generators ---------------------------------------------------------------------------

    @contextmanager
    def lifetime(self) -> Iterator[None]:
        """Started now, ended with the block; code nests under it only inside :meth:`resumed`."""
        self._started()
        try:
            yield
        except BaseException as exc:
            self._leave(exc)
            raise
        self._leave(None)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """A stretch of the generator's code; between two items its caller must not nest here."""
        token = self._enter()
        try:
            yield
        finally:
            leave_frame(token)

    async def attach(self) -> None:
        """Store the elements that were put into it."""
        await self._store_elements()

    def attach_sync(self) -> None:
        """The same, for code without an event loop."""
        self._store_elements_sync()

    async def room(self) -> None:
        """Wait for room for the next event."""
        await self._room()

    def room_sync(self) -> None:
        """The same, for code without an event loop."""
        self._room_sync()

    def yielded(self, item: object) -> None:
        """Append what the generator has yielded to the output; never waits."""
        self._add(piece_of(item), "output", replace=False)


_Make = Callable[[tuple[Any, ...], dict[str, Any]], _Call]


def _coroutine(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = make(args, kwargs)
        async with call:
            result = await function(*args, **kwargs)
            call.returned(result)
        return result

    return wrapper


def _plain(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = make(args, kwargs)
        with call:
            result = function(*args, **kwargs)
            call.returned(result)
        return result

    return wrapper


def _generator(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
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


def _async_generator(function: Callable[..., Any], make: _Make) -> Callable[..., Any]:
    @functools.wraps(function)
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
                    await step.stream_token(piece_of(item))
                    try:
                        resume = functools.partial(inner.asend, (yield item))
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # noqa: BLE001 - the inner generator decides
                        resume = functools.partial(inner.athrow, thrown)

    return wrapper
