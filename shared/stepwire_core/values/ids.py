"""Ids of sessions, runs, steps and messages."""

from __future__ import annotations

import os
import re
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from stepwire_core.errors import InvalidId

ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:@~-]{0,127}$"
"""Ids stand in Redis keys, URLs, SSE lines and JSON written by a Lua script: no character of
this set needs escaping in any of them."""

# `$` alone would let a trailing newline pass.
_ID = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")
_NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:stepwire")


_AT_ONCE: Final = 256
_VARIANTS: Final = {digit: "89ab"[at % 4] for at, digit in enumerate("0123456789abcdef")}

_fresh: Final[list[str]] = []
"""Random digits for the next ids. Each is taken once: a list's ``pop`` is one step in any thread,
and in a finaliser."""

if hasattr(os, "register_at_fork"):
    # A child would give the ids of its parent to other things.
    os.register_at_fork(after_in_child=_fresh.clear)


def new_id() -> str:
    """A fresh random id: 32 hexadecimal digits of a UUID (version 4).

    The system is asked for many at a time. The call lets go of the interpreter's lock, which the
    thread that stores events then takes: a step would wait for that thread at its beginning.
    """
    try:
        digits = _fresh.pop()
    except IndexError:
        drawn = os.urandom(16 * _AT_ONCE).hex()
        _fresh.extend([drawn[at : at + 32] for at in range(32, len(drawn), 32)])
        digits = drawn[:32]
    # RFC 9562, 5.4: the version, and the variant in the two highest bits of its digit.
    return f"{digits[:12]}4{digits[13:16]}{_VARIANTS[digits[16]]}{digits[17:]}"


def derived_id(*parts: str) -> str:
    """The same id for the same parts, in every process (UUID version 5)."""
    return uuid5(_NAMESPACE, "\n".join(parts)).hex


def attempt_token() -> str:
    """What tells one beginning of an attempt from another of the same number: 16 random digits.

    The name of the attempt's producer has it. With 32 digits the name would be too long for the
    compact form of a Redis hash (``hash-max-listpack-value``, 64 bytes), and the ``meta`` of a
    session twice as large.
    """
    return new_id()[-16:]


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
