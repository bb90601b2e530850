"""The usage of a step, as users give it."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral, Real
from operator import index
from typing import TYPE_CHECKING, Any, Final

from stepwire._values.rendering import cut
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.text import whole
from stepwire_core.wire.words import COST_DIGITS

if TYPE_CHECKING:
    from stepwire_core.wire.documents import Usage

MOST: Final = 2**53
"""Beyond it, numbers of JavaScript are not exact."""


def usage_of(
    before: Usage | None, input_tokens: Any, output_tokens: Any, cost: Any, model: Any
) -> Usage:
    """``before``, with the given values in place of its own.

    Raises:
        InvalidArgument: a value is not a number, or is negative; the model is not a string.
    """
    from stepwire_core.wire.documents import Usage

    given = {
        "input_tokens": _tokens("input_tokens", input_tokens),
        "output_tokens": _tokens("output_tokens", output_tokens),
        "cost": _cost(cost),
        "model": _model(model),
    }
    known = {name: value for name, value in given.items() if value is not None}
    return (before or Usage()).model_copy(update=known)


def _tokens(name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        count = index(value)
    except TypeError:
        count = -1
    if isinstance(value, bool) or not 0 <= count <= MOST:
        raise InvalidArgument(f"{name} is a whole number of tokens, 0 or more, not {shown(value)}")
    return count


def _cost(value: Any) -> float | None:
    if value is None:
        return None
    cost = plain_number(value)
    if cost is None:
        raise InvalidArgument(f"cost is a number, 0 or more, not {shown(value)}")
    return round(float(cost), COST_DIGITS)


def plain_number(value: Any) -> int | float | None:
    """A number of any library as one of Python's own; None: it is not one from 0 to MOST."""
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        return None
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
    except (OverflowError, ValueError):
        return None
    return number if 0 <= number <= MOST else None


def shown(value: Any) -> str:
    """A value in a message; Python refuses to write numbers of very many digits."""
    try:
        return f"{value!r:.100}"
    except ValueError:
        return "a number of so many digits"


def _model(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value and cut(whole(value))
    raise InvalidArgument(f"model is the name of a model, not {type(value).__name__}")
