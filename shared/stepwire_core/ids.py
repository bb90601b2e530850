"""Ids of sessions, runs, steps and messages."""

from __future__ import annotations

import re
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from stepwire_core.errors import InvalidId

ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:@~-]{0,127}$"
"""Ids stand in Redis keys, URLs, SSE lines and JSON written by a Lua script: no character of
this set needs escaping in any of them."""

# `$` alone would let a trailing newline pass.
_ID = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")
_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:stepwire")


def new_id() -> str:
    """A fresh random id: 32 hexadecimal digits of a UUID (version 4)."""
    return uuid4().hex


def derived_id(*parts: str) -> str:
    """The same id for the same parts, in every process (UUID version 5)."""
    return uuid5(_NAMESPACE, "\n".join(parts)).hex


def check_id(value: object, what: str) -> str:
    """``value`` as an id.

    UUID objects are taken too, as users of other step APIs pass them.

    Raises:
        InvalidId: it is no string of the form :data:`ID_PATTERN`.
    """
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str) or not _ID.match(value):
        raise InvalidId(what, value)
    return value
