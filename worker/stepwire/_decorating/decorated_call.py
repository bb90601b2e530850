"""The step of one call of a decorated function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from stepwire._decorating.call_identity import identity
from stepwire._elements.attachments import checked_elements
from stepwire._elements.element_base import Element
from stepwire._scope.context import leave_frame, own_frame
from stepwire._tree.node import Node
from stepwire._tree.step import Step
from stepwire._values.rendering import piece_of
from stepwire_core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from stepwire._decorating.callables import Callee


class DecoratedCall(Step):
    """The step of one call, with the arguments as input and the result as output."""

    def __init__(
        self,
        callee: Callee,
        name: str,
        options: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        # Every call shows elements of its own.
        given = checked_elements(options.get("elements") or (), "elements", "step")
        options = options | {"elements": [element._again() for element in given]}
        self.is_durable: bool = options.pop("durable", False) or options.get("key") is not None
        self._identity: str | None = None
        super().__init__(name=name, **options)
        self._is_handed_on = False
        try:
            arguments = callee.arguments(args, kwargs)
        except TypeError:
            # The call itself is about to raise this.
            return
        if arguments:
            self.input = arguments
        if self.is_durable and self.key is None:
            self._identity = identity(callee.function, name, arguments)

    @property
    def _stored_as(self) -> str | None:
        return self._identity if self.key is None else self.key

    def returned(self, value: Any) -> Any:
        """What the function has returned is the output, unless it has set one itself.

        A step, message or element is not: people see it where it was sent. Returns what the caller
        gets: of a durable step, what a later attempt would get.

        Raises:
            InvalidArgument: the step is durable, and the value cannot be stored.
        """
        if value is not None and not self.output and not _is_shown_itself(value):
            self.output = value
        if self._stored_as is None:
            return value
        self.result = value
        return self.result

    def require_value(self, result: object) -> None:
        """Return when a durable function has returned something that can be stored at all.

        Raises:
            InvalidArgument: it is work that is yet to be done.
        """
        if not self.is_durable:
            return
        if inspect.isawaitable(result) or isinstance(result, (Generator, AsyncGenerator)):
            if inspect.iscoroutine(result):
                result.close()
            raise InvalidArgument(
                f"the durable step {self.name!r} has returned {type(result).__name__}, which "
                "cannot be stored: decorate the 'async def' itself, or return the value"
            )

    def hand_on(self) -> None:
        """The function has returned work that is yet to be done: that ends the step."""
        self._is_handed_on = True

    def finish(self, error: BaseException | None) -> None:
        """That work has ended."""
        self._is_handed_on = False
        self._leave(error)

    def _leave(self, exc: BaseException | None) -> None:
        if exc is not None or not self._is_handed_on:
            super()._leave(exc)

    @contextmanager
    def lifetime(self) -> Iterator[None]:
        """Started now, ended with the block; code nests under it only inside :meth:`resumed`."""
        self._is_handed_on = False
        self._started()
        try:
            yield
        except BaseException as exc:
            self._leave(exc)
            raise
        self._leave(None)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """A stretch of the function's code; of a generator, not the code of its caller."""
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
        """Append what a generator has yielded to the output; never waits."""
        if not _is_shown_itself(item):
            self._add(piece_of(item), "output", replace=False)


class NoStep:
    """In place of the step of a call outside any session, where that is to do nothing."""

    is_reused = False
    result: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing has begun."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing has begun."""

    def returned(self, value: Any) -> Any:
        """As of :class:`DecoratedCall`, and so are the others: the caller gets the value."""
        return value

    def require_value(self, result: object) -> None:
        """Nothing is stored, so everything is right."""

    def yielded(self, item: object) -> None:
        """Shows nothing."""

    def hand_on(self) -> None:
        """Ends nothing later, either."""

    def finish(self, error: BaseException | None) -> None:
        """Ends nothing."""

    def lifetime(self) -> AbstractContextManager[None]:
        return nullcontext()

    def resumed(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def attach(self) -> None:
        """Stores nothing."""

    def attach_sync(self) -> None:
        """Stores nothing."""

    async def room(self) -> None:
        """Waits for nothing."""

    def room_sync(self) -> None:
        """Waits for nothing."""


def call_of(
    callee: Callee,
    name: str,
    options: dict[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> DecoratedCall | NoStep:
    """The step of a call; where the code is in no session, and so says the setting, none."""
    if own_frame() is None and ignored_outside():
        return NoStep()
    return DecoratedCall(callee, name, options, args, kwargs)


@functools.cache
def ignored_outside() -> bool:
    """Whether calls outside any session show nothing, instead of raising."""
    # Here, so that `import stepwire` loads no settings.
    from stepwire_core.settings import load_settings

    ignored: bool = load_settings().steps_outside_sessions == "ignore"
    return ignored


def _is_shown_itself(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(part, (Element, Node)) for part in value[:100])
    return isinstance(value, (Element, Node))
