"""Any value in JSON's own types: bounded while it is walked; what a model hides stays hidden."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import UserList, deque
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import islice
from typing import Any, Final

from stepwire_core.values.json_values import MAX_DEPTH, TOO_DEEP
from stepwire_core.values.text import whole

MAX_INT_BITS: Final = 4_096
"""Python itself writes no integer of more than 4,300 digits."""

_BYTES: Final = (bytes, bytearray, memoryview)
_LISTS: Final = (list, tuple, set, frozenset, deque, UserList, KeysView, ValuesView, ItemsView)
"""Not every sequence: some are endless, or fetch each item when it is read."""

_WALKED: Final = frozenset({dict, list, tuple})


def jsonable(value: Any) -> Any:
    """``value`` in JSON's own types; unlike a plain dump, one bad value costs only itself.

    Deeper than :data:`MAX_DEPTH` stands a mark, and null in place of NaN and the infinities. What
    can be read only once, as a generator, is not read.
    """
    return _Walk(math.inf).form(value)


def jsonable_within(value: Any, limit: float) -> tuple[Any, bool]:
    """The same for a value whose JSON may be too long, and whether it is.

    The walk ends where the JSON is certain to have more than ``limit`` characters; up to there, the
    JSON of the result is that of the value.
    """
    walk = _Walk(limit)
    form = walk.form(value)
    return form, walk.left < 0


def is_structure(value: Any) -> bool:
    """Whether it has parts that are shown one by one."""
    if isinstance(value, _BYTES):
        return False
    return (
        isinstance(value, (Mapping, *_LISTS))
        or _hides_fields(value)
        or (_is_numeric(value) and value.ndim > 0)
        or (dataclasses.is_dataclass(value) and not isinstance(value, type))
    )


def shown(value: object) -> str:
    """A value that is not a structure, as text."""
    if isinstance(value, _BYTES):
        return f"<{len(value)} bytes>"
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}: its text raised {type(error).__name__}>"


class _Walk:
    """One walk through a value; it stops when ``left`` characters of JSON have been seen."""

    __slots__ = ("left",)

    def __init__(self, limit: float) -> None:
        self.left = limit

    def form(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, str):
            return self._text(value)
        self.left -= 1
        if value is None or isinstance(value, (int, float)):
            return _number(value)
        try:
            # Most are one of these; to ask what else it could be takes longer than to walk it.
            if value.__class__ in _WALKED or is_structure(value):
                return self._structure(value, depth)
            return self._plain(value)
        except Exception as error:  # noqa: BLE001 - foreign serialisers and containers raise anything
            # Its raw contents are not shown: the serialiser may have been there to hide them.
            return f"<{type(value).__name__}: {type(error).__name__} while it was shown>"

    def _text(self, value: str) -> str:
        if len(value) > self.left:
            value = value[: int(max(self.left, 0)) + 1]
        self.left -= len(value) + 2
        return value if value.isascii() else whole(value)

    def _structure(self, value: Any, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            return self._text(TOO_DEEP)
        if value.__class__ is dict:
            return self._object(value.items(), depth)
        if _hides_fields(value):
            return self.form(_dumped(value), depth)
        if isinstance(value, Mapping):
            return self._object(value.items(), depth)
        if isinstance(value, _LISTS) or _is_numeric(value):
            # The rows of an array are arrays again, and are made as they are read.
            return self._list(value, depth)
        fields = [field.name for field in dataclasses.fields(value)]
        return self._object(((name, getattr(value, name, None)) for name in fields), depth)

    def _object(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        form: dict[str, Any] = {}
        for key, item in self._first(items):
            if self.left < 0:
                break
            name = self._key(key)
            form[name] = self.form(item, depth + 1)
        return form

    def _list(self, items: Iterable[Any], depth: int) -> list[Any]:
        form: list[Any] = []
        for item in self._first(items):
            if self.left < 0:
                break
            form.append(self.form(item, depth + 1))
        return form

    def _first(self, items: Iterable[Any]) -> list[Any]:
        """As many as can fit, copied at once: other code may change the container meanwhile."""
        if math.isinf(self.left):
            return list(items)
        return list(islice(items, int(max(self.left, 0)) + 1))

    def _key(self, key: object) -> str:
        if isinstance(key, str):
            return self._text(key)
        if is_structure(key):
            return json.dumps(self.form(key), ensure_ascii=False)
        return self._text(shown(key))

    def _plain(self, value: Any) -> Any:
        """A value that is not walked: a date, a path, an object of the user's."""
        if isinstance(value, (*_BYTES, Iterator)):
            # The code that it was made for reads an iterator, which can be read once.
            return shown(value)
        if _is_numeric(value):
            number = value.item()
            # Python has no type for some of them.
            return shown(value) if _is_numeric(number) else self.form(number)
        from pydantic_core import to_jsonable_python

        try:
            plain = to_jsonable_python(value)
        except Exception:  # noqa: BLE001 - foreign serialisers may raise anything
            return self._text(shown(value))
        return self.form(plain)


def _number(value: bool | float | None) -> bool | float | str | None:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        return f"<an integer of {value.bit_length()} bits>"
    return value


def _dumped(value: Any) -> Any:
    """A model or dataclass of pydantic's, as it serialises itself."""
    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    if isinstance(value, BaseModel):
        if type(value).model_dump is not BaseModel.model_dump:
            return value.model_dump(mode="json")
        return value.model_dump(mode="json", warnings=False, fallback=jsonable)
    return to_jsonable_python(value, fallback=jsonable)


def _hides_fields(value: object) -> bool:
    """Whether it is pydantic's: it may exclude and mask fields, which its ``str()`` shows."""
    return not isinstance(value, type) and hasattr(type(value), "__pydantic_serializer__")


def _is_numeric(value: object) -> bool:
    """Whether it is a number or an array of numpy's, which is not imported for that."""
    type_ = type(value)
    return type_.__module__ == "numpy" and hasattr(type_, "ndim") and hasattr(type_, "item")
