"""What goes into a tool and comes out of it, for protocols that want values and not text."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def value_of(text: str) -> Any:
    """The input, output or result of a tool: the JSON that it is, else the text.

    Numbers that JSON does not have (``NaN``, ``Infinity``, ``1e999``) make it a text: written
    again, no client could read them.
    """
    try:
        return json.loads(text, parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def problem_of(document: dict[str, Any], kind: str) -> str:
    """Why a step or a run has not ended well."""
    return (document["error"] or {}).get("message") or f"the {kind} is {document['status']}"


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
