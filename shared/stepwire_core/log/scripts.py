"""The Lua scripts of the log."""

from __future__ import annotations

from hashlib import sha1
from typing import Final

from stepwire_core.queue.scripts import HEAD as QUEUE_HEAD
from stepwire_core.queue.scripts import queue_body
from stepwire_core.redis.commands import GUARD, GUARDED, Function, Script
from stepwire_core.redis.keys import ALL_RUNS, GONE
from stepwire_core.redis.scripts import lua_constants, lua_source
from stepwire_core.wire.events import NO_PARENT
from stepwire_core.wire.kinds import EVENTS
from stepwire_core.wire.words import IN_TURN

_APPEND_PARTS: Final = ("operations", "text", "index", "belongings", "steps", "runs", "session")
"""What stands before ``append.lua``; each part uses those before it."""


ENTRY_BYTES: Final = 100
"""What an entry of a hash costs in Redis beside its value, about: the limit of a session's bytes
counts it."""

_REMOVAL_EVENTS: Final = {
    event.kind.prefix: event.name
    for event in EVENTS.values()
    if event.kind and event.effect == "remove"
}
"""The events that remove one document, by the prefix of its field of the state."""

_CONSTANTS: Final = lua_constants(
    ENTRY=ENTRY_BYTES,
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


def _library() -> tuple[Function, Function, Function]:
    """``append`` and ``submit``: one library, since both must name the life of the data alike. And
    ``list_session``, which goes out with them: a server has all of them, or none.

    Its name and theirs have a digest in them, so that versions stand side by side.
    """
    functions = {
        "append": lua_source("log/append"),
        "enqueue": queue_body("enqueue"),
        "submit": lua_source("log/submit"),
        "list_session": lua_source("log/list_session"),
    }
    body = b"".join(
        [
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
    registered = b"".join(_registration(name.encode(), called.encode()) for called in _CALLED)
    source = f"#!lua name={name}\n".encode() + body + registered
    append, submit, list_session = (Function(source, f"{name}_{called}") for called in _CALLED)
    return append, submit, list_session


def _registration(library: bytes, called: bytes) -> bytes:
    """A function by its own name, and as it is called on a cluster."""
    name = library + b"_" + called
    return b"""redis.register_function('%b', %b)
redis.register_function('%b', function(KEYS, ARGV)
%b
return %b(KEYS, ARGV)
end)
""" % (name, called, name + GUARDED.encode(), GUARD, called)


_CALLED: Final = ("append", "submit", "list_session")
"""The functions of the library that are called from outside."""

APPEND, SUBMIT, LIST = _library()
READ: Final = _script("keys", "tail", "read")
BEGIN: Final = _script("keys", "counting", "begin_run")
REGISTER: Final = _script("keys", "counting", "register_run")
CANCEL: Final = _script("cancel_run")
KEEP: Final = _script("keys", "counting", "keep_bytes")
DELETE: Final = _script("keys", "delete_session")
LEAVE: Final = _script("keys", "leave_turn")
UNLIST: Final = _script("listing", "unlist_sessions")
