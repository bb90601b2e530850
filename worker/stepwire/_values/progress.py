"""The progress of a step, as users give it."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

from stepwire._values.rendering import cut
from stepwire._values.usage import MOST
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.text import whole
from stepwire_core.wire.documents import Progress


def progress_of(done: Any, total: Any, text: Any) -> Progress:
    """The progress, checked. A total of 0 and a ``done`` beyond the total happen, and are allowed.

    Raises:
        InvalidArgument: a value is not a number, or is negative; the text is not a string.
    """
    if text is not None and not isinstance(text, str):
        raise InvalidArgument(f"the text of a progress is text, not {type(text).__name__}")
    return Progress(
        done=_count("done", done),
        total=None if total is None else _count("total", total),
        text=text and cut(whole(text)),
    )


def _count(name: str, value: Any) -> int | float:
    is_number = isinstance(value, (Real, Decimal)) and not isinstance(value, bool)
    if not is_number or not 0 <= (number := _plain(value)) <= MOST:
        raise InvalidArgument(
            f"{name} of a progress is a number, 0 or more, not {value!r:.100}; leave the total out "
            "if it is not known"
        )
    return number


def _plain(value: Any) -> int | float:
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else -1
