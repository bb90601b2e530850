"""``@cl.step``: a function whose every call is a step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from stepwire._decorating.call_wrappers import wrapped
from stepwire._decorating.callables import Callee, kind_of, name_of
from stepwire._decorating.decorated_call import call_of
from stepwire._tree.step import Step
from stepwire._values.attributes import flag
from stepwire_core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from stepwire._elements.element_base import Element

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
    id: str | UUID | None = None,
    parent_id: str | UUID | None = None,
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
    durable: bool = False,
    key: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def step(
    original_function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    durable: bool = False,
    **options: Any,
) -> Callable[..., Any]:
    """Make every call of a function a :class:`Step`, bare or with the step's parameters.

    The step is named after the function. Its input are the arguments by name, its output what the
    function returns, unless the function has set the output itself. Generators and async generators
    stream what they yield as text, except None; their step lives until they are exhausted or
    closed. Of a function that returns a coroutine, a generator or a future, the step lives until
    that has ended.

    A ``durable`` step that has ended well is not done again: where a later attempt of its run makes
    the same call, it gets the result that was stored, and the step says so (``from_attempt``). The
    same call is one of the same function with the same arguments, those that are data; of several
    in one run, the one with the same place among them. With a ``key`` the arguments do not count:
    it is the call with the same place among those of that key. The result must be JSON, of
    ``STEPWIRE_MAX_EVENT_BYTES`` at most, and is stored before the call returns; otherwise the call
    raises InvalidArgument, and the step shows the result with that error. Outside of runs nothing
    is stored. Generators cannot be durable.

    Outside any session a call raises :class:`NoActiveSession`; with
    ``STEPWIRE_STEPS_OUTSIDE_SESSIONS=ignore`` it only runs the function.

    Everything that can be called is taken: methods (also under ``@staticmethod`` and
    ``@classmethod``), lambdas, ``functools.partial``, classes, objects with ``__call__``.

    Raises:
        InvalidArgument: it cannot be called, or a parameter has a value that cannot be shown or
            stored; said by the decorator, before any call.
    """
    # Arguments that a call would refuse are refused here.
    Step(name, **options)
    durable = flag(durable, "durable", "step") or options.get("key") is not None

    def decorate(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(decorate(function.__func__))
        if not callable(function):
            raise InvalidArgument(f"@cl.step takes a function, not {type(function).__name__}")
        if durable and kind_of(function) in ("generator", "async generator"):
            raise InvalidArgument(
                f"{name_of(function)!r} is a generator, and what it streams cannot be stored as a "
                "result: return the value instead of 'yield', or leave 'durable' and 'key' out"
            )
        called = name_of(function) if name is None else name
        given = options | {"durable": True} if durable else options
        return wrapped(function, functools.partial(call_of, Callee(function), called, given))

    return decorate if original_function is None else decorate(original_function)
