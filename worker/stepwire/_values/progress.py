"""The progress of a step, as users give it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepwire._values.rendering import cut
from stepwire._values.usage import plain_number, shown
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.text import whole

if TYPE_CHECKING:
    from stepwire_core.wire.documents import Progress


def progress_of(done: Any, total: Any, text: Any) -> Progress:
    """The progress, checked. A total of 0 and a ``done`` beyond the total happen, and are allowed.

    Raises:
        InvalidArgument: a value is not a number, or is negative; the text is not a string.
    """
    from stepwire_core.wire.documents import Progress

    if text is not None and not isinstance(text, str):
        raise InvalidArgument(f"the text of a progress is text, not {type(text).__name__}")
    return Progress(
        done=_count("done", done),
        total=None if total is None else _count("total", total),
        text=text and cut(whole(text)),
    )


def _count(name: str, value: Any) -> int | float:
    number = plain_number(value)
    if number is None:
        raise InvalidArgument(
            f"{name} of a progress is a number, 0 or more, not {shown(value)}; leave the total out "
            "if it is not known"
        )
    return number
