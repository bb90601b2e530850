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


def attempt_token() -> str:
    """What tells one beginning of an attempt from another of the same number: 16 random digits.

    The name of the attempt's producer has it. With 32 digits the name would be too long for the
    compact form of a Redis hash (``hash-max-listpack-value``, 64 bytes), and the ``meta`` of a
    session twice as large.
    """
    return uuid4().hex[:16]


# Producers have names with a separator that no id contains, so that no two of them can be the same.
# `append.lua` knows the form of a run's.


def message_producer(message_id: str) -> str:
    """The producer of a message or an answer of that id: the same for every repetition."""
    return f"m/{message_id}"


def upload_producer(element_id: str) -> str:
    """A file that a person uploads."""
    return f"u/{element_id}"


def request_producer(run_id: str) -> str:
    """A request that may be repeated, by the run that it starts."""
    return f"k/{run_id}"


def run_producer(run_id: str, attempt: int, token: str) -> str:
    """One attempt of a run. The token is that of its beginning: a server that has lost a beginning
    gives its number to another one."""
    return f"r/{run_id}/{attempt}/{token}"


def fault_producer(run_id: str, attempt: int) -> str:
    """The producer of the events that end an attempt which could not end itself."""
    return f"f/{run_id}/{attempt}"


def emitter_producer() -> str:
    """Code that belongs to no run; each has a name of its own."""
    return f"e/{new_id()}"


def check_id(value: object, what: str) -> str:
    """``value`` as an id.

    UUID objects are taken too, as users of other step APIs pass them.

    Raises:
        InvalidId: it is not a string of the form :data:`ID_PATTERN`.
    """
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str) or not _ID.match(value):
        raise InvalidId(what, value)
    return value
