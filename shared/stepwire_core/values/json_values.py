"""JSON values that every JSON parser can read: bounded in depth, in characters that UTF-8 carries.

Parsers stop at some depth (pydantic's at 200), UTF-8 has no halves of surrogate pairs, and JSON no
NaN. A value that one of them trips over would make all that is stored beside it unreadable.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, TypeGuard

from stepwire_core.values.text import is_whole, whole

MAX_DEPTH: Final = 50
"""Lists and objects inside each other; the documents around a value add a few."""

TOO_DEEP: Final = "[nested too deeply]"
"""What stands in place of what is nested more deeply."""

_DEEP: Final = f"lists and objects are nested more than {MAX_DEPTH} deep"


def flaw(value: object, depth: int = 0) -> str | None:
    """Why a value of JSON's own types cannot be stored as it is, or None."""
    if isinstance(value, str):
        return None if is_whole(value) else f"{value[:40]!r} holds half of a surrogate pair"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is not a number in JSON: use null"
    if not isinstance(value, (list, dict)):
        return None
    if depth >= MAX_DEPTH:
        return _DEEP
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    if _are_flawless(parts):
        return None
    return next((found for part in parts if (found := flaw(part, depth + 1))), None)


def _are_flawless(values: list[Any]) -> bool:
    """Whether all of them are of one kind that has no flaw: looked at one by one, the numbers of
    the largest request would hold up an event loop for a tenth of a second."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return all(map(math.isfinite, values))
    kinds -= _WITHOUT_FLAWS
    return not kinds or (kinds == {str} and is_whole("".join(filter(_is_text, values))))


_WITHOUT_FLAWS: Final = frozenset({int, bool, type(None)})


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def mended(value: Any, depth: int = 0) -> Any:
    """A value of JSON's own types without flaws: halves of surrogate pairs become U+FFFD, NaN and
    the infinities null, and what is nested too deeply a mark."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, (list, dict)):
        return value
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    if isinstance(value, list):
        return [mended(item, depth + 1) for item in value]
    return {whole(key): mended(item, depth + 1) for key, item in value.items()}


def encoded(value: object) -> str:
    """A user's value as JSON that another process can read: tuples become lists, keys text, halves
    of surrogate pairs U+FFFD.

    Raises:
        ValueError: it is not JSON, contains itself, or is nested more than :data:`MAX_DEPTH` deep.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if is_whole(text) and text.count("[") + text.count("{") <= MAX_DEPTH:
        return text
    plain = json.loads(text)
    if _is_too_deep(plain):
        raise ValueError(_DEEP)
    return json.dumps(mended(plain), ensure_ascii=False)


def _is_too_deep(value: object, depth: int = 0) -> bool:
    if not isinstance(value, (list, dict)):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return depth >= MAX_DEPTH or any(_is_too_deep(part, depth + 1) for part in parts)
