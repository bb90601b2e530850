"""What clients get of a value: the text of an input or output, metadata, labels; all bounded."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from stepwire._values.json_form import is_structure, jsonable_within, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_LABEL_CHARS: Final = 1_000
"""Of a name, a type, a tag; more is cut off, with a mark."""

MAX_TAGS: Final = 100

MAX_MARKS: Final = 20

_encoded: Final = json.JSONEncoder(ensure_ascii=False).encode


def as_text(value: object, limit: float = math.inf) -> tuple[str, str | None]:
    """``value`` as text, and the language of that text if it is not a plain string.

    None is the empty text. Mappings, sequences, arrays of numpy's, pydantic models and dataclasses
    become JSON indented by 4, other values ``str(value)``. Of a pydantic model or dataclass it
    shows what its own ``model_dump(mode="json")`` shows, and no more: what a field hides stays
    hidden. A value inside a structure that JSON cannot carry is replaced by its own text, bytes by
    a mark with their length; the rest of the structure stays. Never raises: what a value's
    ``str()`` raises is shown in its place.

    A structure of more than ``limit`` characters is not written to its end, but beyond the limit.
    """
    if value is None:
        return "", None
    if isinstance(value, str):
        return value, None
    if is_structure(value):
        form, _ = jsonable_within(value, limit)
        return indented(form), "json"
    return shown(value), "text"


def indented(form: object) -> str:
    """What :func:`jsonable_within` returns as JSON, indented by 4."""
    # In a tenth of the time of `json.dumps`, which indents in Python.
    from pydantic_core import to_json

    return to_json(form, indent=4).decode()


def piece_of(value: object) -> str:
    """A value that a generator has yielded, as a piece of text."""
    return as_text(value)[0]


def bounded(values: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """``values`` in JSON's own types, at most ``limit`` characters of JSON or not much more.

    What does not fit is left out entry by entry, with a mark in its place that says how long it is,
    or that it is longer than all that is allowed; what comes after the first few marks is only
    counted.
    """
    if not values:
        return {}
    try:
        entries = list(values.items())
    except Exception as error:  # noqa: BLE001 - a user's mapping may raise anything
        return {"…": f"<{type(values).__name__}: {type(error).__name__} while it was shown>"}
    room, left_out, kept = limit, 0, dict[str, Any]()
    for name, value in entries:
        entry, is_too_long = jsonable_within({name: value}, limit)
        for key, form in entry.items():
            size = math.inf if is_too_long else len(key) + len(_encoded(form))
            if size <= room:
                kept[key] = form
                room -= int(size)
                continue
            left_out += 1
            if left_out <= MAX_MARKS:
                what = f"more than {limit}" if is_too_long else f"{size}"
                kept[cut(key)] = f"[left out: {what} characters]"
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
