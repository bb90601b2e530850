"""Lists that a user's code has given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from stepwire_core.errors import InvalidArgument

T = TypeVar("T")


def items_of(
    kinds: type[T] | tuple[type[T], ...], value: object, *, expected: str, item: str
) -> list[T]:
    """A new list of the items of ``value``, which is a list or another sequence of ``kinds``.

    Raises:
        InvalidArgument: ``value`` is not a sequence, where the message begins with ``expected``;
            or it holds something else, where the message begins with ``item``.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidArgument(f"{expected}, not {type(value).__name__}")
    for each in value:
        if not isinstance(each, kinds):
            raise InvalidArgument(f"{item}, not {type(each).__name__}")
    return list(value)
