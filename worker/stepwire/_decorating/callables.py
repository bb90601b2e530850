"""The result of calling something: a value, a coroutine, or a generator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["plain", "coroutine", "generator", "async generator"]


def kind_of(function: Callable[..., Any]) -> Kind:
    """What the callable itself says about its calls.

    A ``plain`` one may return anything, as a lambda returns the coroutine of another function.
    """
    target = _function_behind(function)
    if inspect.isasyncgenfunction(target):
        return "async generator"
    if inspect.isgeneratorfunction(target):
        return "generator"
    if inspect.iscoroutinefunction(target):
        return "coroutine"
    return "plain"


def name_of(function: Callable[..., Any]) -> str:
    """Its name; of an object that is called, the name of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


class Callee:
    """A function that is called again and again: its parameters are looked up once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @functools.cached_property
    def _signature(self) -> inspect.Signature | None:
        try:
            return inspect.signature(self.function)
        except ValueError:
            # Some builtins do not tell: `max`, `range`.
            return None

    @functools.cached_property
    def _owner(self) -> str | None:
        """The parameter that is the object which a method belongs to."""
        signature = self._signature
        first = "" if signature is None else next(iter(signature.parameters), "")
        return first if first in ("self", "cls") and _is_in_class(self.function) else None

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by their names, defaults among them, without the object that a
        method belongs to.

        Raises:
            TypeError: the function does not take them.
        """
        signature = self._signature
        if signature is None:
            return {"args": list(args), **kwargs} if args else dict(kwargs)
        bound = signature.bind(*args, **kwargs)
        given = set(bound.arguments)
        bound.apply_defaults()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        arguments = {
            name: value
            for name, value in bound.arguments.items()
            if name in given or signature.parameters[name].kind not in variable
        }
        if self._owner is not None:
            arguments.pop(self._owner, None)
        return arguments


def _function_behind(function: Callable[..., Any]) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    # An object that is called: it is as its class says.
    return getattr(type(function), "__call__", function)  # noqa: B004 - looked at, not called


def _is_in_class(function: Callable[..., Any]) -> bool:
    """Whether it is defined in the body of a class."""
    outer, _, _ = getattr(function, "__qualname__", "").rpartition(".")
    return bool(outer) and not outer.endswith("<locals>")
