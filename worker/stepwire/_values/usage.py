"""The usage of a step, as users give it."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Real
from operator import index
from typing import Any, Final

from stepwire._values.rendering import cut
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.text import whole
from stepwire_core.wire.documents import COST_DIGITS, Usage

MOST: Final = 2**53
"""Beyond it, numbers of JavaScript are not exact."""


def usage_of(
    before: Usage | None, input_tokens: Any, output_tokens: Any, cost: Any, model: Any
) -> Usage:
    """``before``, with the given values in place of its own.

    Raises:
        InvalidArgument: a value is not a number, or is negative; the model is not a string.
    """
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
        raise InvalidArgument(f"{name} is a whole number of tokens, 0 or more, not {value!r:.100}")
    return count


def _cost(value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, (Real, Decimal)) and not isinstance(value, bool)
    cost = float(value) if is_number else math.nan
    if not 0 <= cost <= MOST:
        raise InvalidArgument(f"cost is a number, 0 or more, not {value!r:.100}")
    return round(cost, COST_DIGITS)


def _model(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value and cut(whole(value))
    raise InvalidArgument(f"model is the name of a model, not {type(value).__name__}")
