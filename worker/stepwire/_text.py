"""Any value as the text of a step's input or output."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from stepwire_core.text import whole

MAX_LABEL_CHARS: Final = 1_000
"""Of a name, a type, a tag; more is cut off, with a mark."""

MAX_TAGS: Final = 100

MAX_MARKS: Final = 20

MAX_DEPTH: Final = 50
"""Deeper structures, and those that contain themselves, are shown as text from there on."""


def as_text(value: object) -> tuple[str, str | None]:
    """``value`` as text, and the language of that text if it is not a plain string.

    None is the empty text. Mappings, sequences, pydantic models and dataclasses become JSON
    indented by 4, other values ``str(value)``. A value inside a structure that JSON cannot carry is
    replaced by its own text, bytes by a mark with their length; the rest of the structure stays.
    Never
    raises: what a value's ``str()`` raises is shown in its place.
    """
    if value is None:
        return "", None
    if isinstance(value, str):
        return value, None
    if isinstance(value, (dict, list, tuple, set, frozenset)) or _fields(value) is not None:
        return json.dumps(jsonable(value), indent=4, ensure_ascii=False), "json"
    return _shown(value), "text"


def jsonable(value: Any, *, depth: int = 0) -> Any:
    """``value`` in JSON's own types; unlike a plain dump, one bad value costs only itself."""
    if isinstance(value, str):
        return whole(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= MAX_DEPTH or isinstance(value, (bytes, bytearray, memoryview)):
        return _shown(value)
    if isinstance(value, dict):
        return {_key(key): jsonable(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item, depth=depth + 1) for item in value]
    if (fields := _fields(value)) is not None:
        return {name: jsonable(getattr(value, name, None), depth=depth + 1) for name in fields}
    try:
        return to_jsonable_python(value)
    except Exception:  # noqa: BLE001 - foreign serialisers may raise anything
        return _shown(value)


def bounded(values: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """``values`` in JSON's own types, at most ``limit`` characters of JSON or not much more.

    What does not fit is left out entry by entry, with a mark in its place that says how long it is;
    what comes after the first few marks is only counted.
    """
    shown: dict[str, Any] = jsonable(dict(values))
    if not shown:
        return shown
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


def labels(tags: Sequence[str]) -> list[str]:
    """Tags as clients get them: so many, of that length, and a mark for those left out."""
    shown = [cut(tag) for tag in tags[:MAX_TAGS]]
    more = len(tags) - len(shown)
    return [*shown, f"… {more} more"] if more else shown


def _fields(value: object) -> list[str] | None:
    """The names in a pydantic model or dataclass, or None for anything else."""
    if isinstance(value, BaseModel):
        return list(type(value).model_fields)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [field.name for field in dataclasses.fields(value)]
    return None


def _key(key: object) -> str:
    return whole(key if isinstance(key, str) else _shown(key))


def _shown(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"<{type(value).__name__}: its text raised {type(error).__name__}>"
