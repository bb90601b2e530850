"""Any value as the text of a step's input or output."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import UserList, deque
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from stepwire_core.values.json_values import MAX_DEPTH, TOO_DEEP, mended
from stepwire_core.values.text import whole

MAX_LABEL_CHARS: Final = 1_000
"""Of a name, a type, a tag; more is cut off, with a mark."""

MAX_TAGS: Final = 100

MAX_MARKS: Final = 20

MAX_INT_BITS: Final = 4_096
"""Python itself writes no integer of more than 4,300 digits."""

_BYTES: Final = (bytes, bytearray, memoryview)
_LISTS: Final = (list, tuple, set, frozenset, deque, UserList, KeysView, ValuesView, ItemsView)
"""Not every sequence: some are endless, or fetch each item when it is read."""


def as_text(value: object) -> tuple[str, str | None]:
    """``value`` as text, and the language of that text if it is not a plain string.

    None is the empty text. Mappings, sequences, pydantic models and dataclasses become JSON
    indented by 4, other values ``str(value)``. Of a pydantic model or dataclass it shows what its
    own ``model_dump(mode="json")`` shows, and no more: what a field hides stays hidden. A value
    inside a structure that JSON cannot carry is replaced by its own text, bytes by a mark with
    their length; the rest of the structure stays. Never raises: what a value's ``str()`` raises is
    shown in its place.
    """
    if value is None:
        return "", None
    if isinstance(value, str):
        return value, None
    if _is_structure(value):
        return json.dumps(jsonable(value), indent=4, ensure_ascii=False), "json"
    return _shown(value), "text"


def piece_of(value: object) -> str:
    """A value that a generator has yielded, as a piece of text."""
    return as_text(value)[0] if _is_structure(value) else _shown(value)


def jsonable(value: Any, *, depth: int = 0) -> Any:
    """``value`` in JSON's own types; unlike a plain dump, one bad value costs only itself.

    Deeper than :data:`MAX_DEPTH` stands a mark, and null in place of NaN and the infinities.
    """
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, (bool, int, float)) or value is None:
        return _number(value)
    try:
        return _structure(value, depth) if _is_structure(value) else _plain(value, depth)
    except Exception as error:  # noqa: BLE001 - foreign serialisers and containers raise anything
        # Its raw contents are not shown: the serialiser may have been there to hide them.
        return f"<{type(value).__name__}: {type(error).__name__} while it was shown>"


def _number(value: bool | float | None) -> bool | float | str | None:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        return f"<an integer of {value.bit_length()} bits>"
    return value


def _structure(value: Any, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    if _hides_fields(value):
        return jsonable(_dumped(value), depth=depth)
    if isinstance(value, Mapping):
        return {_key(key): jsonable(item, depth=depth + 1) for key, item in list(value.items())}
    if isinstance(value, _LISTS):
        return [jsonable(item, depth=depth + 1) for item in list(value)]
    fields = [field.name for field in dataclasses.fields(value)]
    return {name: jsonable(getattr(value, name, None), depth=depth + 1) for name in fields}


def _plain(value: Any, depth: int) -> Any:
    """A value that is not walked: a date, a path, an object of the user's."""
    if isinstance(value, _BYTES):
        return _shown(value)
    try:
        plain = to_jsonable_python(value)
    except Exception:  # noqa: BLE001 - foreign serialisers may raise anything
        return whole(_shown(value))
    return mended(plain, depth)


def _dumped(value: Any) -> Any:
    """A model or dataclass of pydantic's, as it serialises itself."""
    if isinstance(value, BaseModel):
        if type(value).model_dump is not BaseModel.model_dump:
            return value.model_dump(mode="json")
        return value.model_dump(mode="json", warnings=False, fallback=jsonable)
    return to_jsonable_python(value, fallback=jsonable)


def bounded(values: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """``values`` in JSON's own types, at most ``limit`` characters of JSON or not much more.

    What does not fit is left out entry by entry, with a mark in its place that says how long it is;
    what comes after the first few marks is only counted.
    """
    if not values:
        return {}
    shown = jsonable(dict(values))
    if not isinstance(shown, dict):
        return {"…": shown}
    room, left_out, kept = limit, 0, dict[str, Any]()
    for key, value in shown.items():
        size = len(key) + len(json.dumps(value, ensure_ascii=False))
        if size <= room:
            kept[key] = value
            room -= size
        else:
            left_out += 1
            if left_out <= MAX_MARKS:
                kept[cut(key)] = f"[left out: {size} characters]"
    if left_out > MAX_MARKS:
        kept["…"] = f"[left out: {left_out - MAX_MARKS} more entries]"
    return kept


def cut(text: str, limit: int = MAX_LABEL_CHARS) -> str:
    """``text``, with a mark at its end if it was longer."""
    return text if len(text) <= limit else text[:limit] + "…"


def labels(tags: Sequence[object]) -> list[str]:
    """Tags as clients get them: so many, of that length, and a mark for those left out."""
    if not tags:
        return []
    shown = [cut(tag if isinstance(tag, str) else as_text(tag)[0]) for tag in tags[:MAX_TAGS]]
    more = len(tags) - len(shown)
    return [*shown, f"… {more} more"] if more else shown


def _is_structure(value: object) -> bool:
    """Whether it has parts that are shown one by one."""
    if isinstance(value, _BYTES):
        return False
    return (
        isinstance(value, (Mapping, *_LISTS))
        or _hides_fields(value)
        or (dataclasses.is_dataclass(value) and not isinstance(value, type))
    )


def _hides_fields(value: object) -> bool:
    """Whether it is pydantic's: it may exclude and mask fields, which its ``str()`` shows."""
    return not isinstance(value, type) and hasattr(type(value), "__pydantic_serializer__")


def _key(key: object) -> str:
    if isinstance(key, str):
        return whole(key)
    if _is_structure(key):
        return json.dumps(jsonable(key), ensure_ascii=False)
    return whole(_shown(key))


def _shown(value: object) -> str:
    if isinstance(value, _BYTES):
        return f"<{len(value)} bytes>"
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}: its text raised {type(error).__name__}>"
