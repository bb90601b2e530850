"""The Lua scripts of the log."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha1
from typing import Final

from stepwire_core.queue.scripts import HEAD as QUEUE_HEAD
from stepwire_core.queue.scripts import queue_body
from stepwire_core.redis.commands import GUARD, PLAIN, SHARDED, ChannelWords, Function, Script, head
from stepwire_core.redis.keys import ALL_RUNS, GONE
from stepwire_core.redis.scripts import lua_constants, lua_source
from stepwire_core.wire.events import NO_PARENT
from stepwire_core.wire.kinds import EVENTS, TEXT_DELTA
from stepwire_core.wire.words import IN_TURN

_APPEND_PARTS: Final = ("operations", "text", "index", "belongings", "steps", "runs", "session")
"""What stands before ``append.lua``; each part uses those before it."""


ENTRY_BYTES: Final = 100
"""What an entry of a hash costs in Redis beside its value, about: the limit of a session's bytes
counts it."""

PIECE_BYTES: Final = 128
"""A piece of text of at most so many bytes goes to the tail."""

TAIL_PIECES: Final = 100
"""So many pieces become one entry of the log."""

_REMOVAL_EVENTS: Final = {
    event.kind.prefix: event.name
    for event in EVENTS.values()
    if event.kind and event.effect == "remove"
}
"""The events that remove one document, by the prefix of its field of the state."""

_CONSTANTS: Final = lua_constants(
    ENTRY=ENTRY_BYTES,
    PIECE=PIECE_BYTES,
    PIECES=TAIL_PIECES,
    TEXT_DELTA=TEXT_DELTA,
    GONE=GONE.decode(),
    ALL_RUNS=ALL_RUNS,
    IN_TURN=sorted(IN_TURN),
    NO_PARENT=NO_PARENT,
    RUNNING="running",
    REMOVAL_EVENTS=_REMOVAL_EVENTS,
)
"""What stands before every script of the log."""


def _script(*names: str) -> Script:
    """A script of the log, behind the parts that it uses."""
    return Script(_CONSTANTS + _parts(*names))


def _parts(*names: str) -> bytes:
    return b"\n".join(lua_source(f"log/{name}") for name in names)


_CALLED: Final = ("append", "append_piece", "submit", "list_session")
"""The functions of the library that are called from outside."""


def _library(words: ChannelWords) -> tuple[bytes, str]:
    """``append``, ``append_piece`` and ``submit``: one library, since all must name the life of the
    data alike. And ``list_session``, which goes out with them: a server has all of them, or none.

    Its name and theirs have a digest in them, so that versions stand side by side, and both forms.
    """
    functions = {
        "append": lua_source("log/append"),
        "append_piece": lua_source("log/append_piece"),
        "enqueue": queue_body("enqueue"),
        "submit": lua_source("log/submit"),
        "list_session": lua_source("log/list_session"),
    }
    body = b"".join(
        [
            head(words),
            _CONSTANTS,
            QUEUE_HEAD,
            _parts("life", "keys", "counting", "tail", "listing"),
            b"\n",
            _parts(*(f"append/{part}" for part in _APPEND_PARTS)),
            *(
                b"\nlocal function %b(KEYS, ARGV)\n%b\nend\n" % (name.encode(), source)
                for name, source in functions.items()
            ),
        ]
    )
    name = "stepwire_" + sha1(body, usedforsecurity=False).hexdigest()[:12]
    guard = GUARD if words is SHARDED else b""
    registered = b"".join(_registration(name, called, guard) for called in _CALLED)
    return f"#!lua name={name}\n".encode() + body + registered, name


def _registration(library: str, called: str, guard: bytes) -> bytes:
    return b"""redis.register_function('%b_%b', function(KEYS, ARGV)
%b
return %b(KEYS, ARGV)
end)
""" % (library.encode(), called.encode(), guard, called.encode())


def _functions() -> Iterator[Function]:
    """The scripts that are called, each with its form for a cluster."""
    plain, plain_name = _library(PLAIN)
    sharded, sharded_name = _library(SHARDED)
    for called in _CALLED:
        on_cluster = Function(sharded, f"{sharded_name}_{called}")
        yield Function(plain, f"{plain_name}_{called}", on_cluster)


APPEND, APPEND_PIECE, SUBMIT, LIST = _functions()
READ: Final = _script("keys", "tail", "read")
BEGIN: Final = _script("keys", "counting", "begin_run")
REGISTER: Final = _script("keys", "counting", "register_run")
CANCEL: Final = _script("cancel_run")
KEEP: Final = _script("keys", "counting", "keep_bytes")
DELETE: Final = _script("keys", "delete_session")
LEAVE: Final = _script("keys", "leave_turn")
UNLIST: Final = _script("listing", "unlist_sessions")
