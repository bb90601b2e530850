"""The Lua scripts of the log."""

from __future__ import annotations

from hashlib import sha1
from typing import Final

from stepwire_core.queue.scripts import queue_script
from stepwire_core.redis.scripts import Function, Script, lua_source
from stepwire_core.wire.kinds import EVENTS

_APPEND_PARTS: Final = (*("operations", "text", "index", "belongings", "steps", "runs", "session"),)
"""What stands before ``append.lua``; each part uses those before it."""


def _removal_events() -> bytes:
    """The events that remove one document, by the prefix of its field of the state, for the parts
    of ``append.lua``."""
    events = [event for event in EVENTS.values() if event.kind and event.effect == "remove"]
    pairs = ", ".join(f"['{event.kind.prefix}'] = '{event.name}'" for event in events if event.kind)
    return f"local REMOVAL_EVENTS = {{{pairs}}}\n".encode()


def _library() -> tuple[Function, Function]:
    """``append`` and ``submit``: one library, since both must name the life of the data alike.

    Its name and theirs have a digest in them, so that versions stand side by side.
    """
    scripts = {"append": lua_source("log/append"), "enqueue": queue_script("enqueue")}
    body = b"".join(
        [
            lua_source("log/life"),
            lua_source("log/clear"),
            _removal_events(),
            *(lua_source(f"log/append/{part}") for part in _APPEND_PARTS),
            *(
                b"local function %b(KEYS, ARGV)\n%b\nend\n" % (name.encode(), source)
                for name, source in scripts.items()
            ),
            b"local function submit(KEYS, ARGV)\n%b\nend\n" % lua_source("log/submit"),
        ]
    )
    name = "stepwire_" + sha1(body, usedforsecurity=False).hexdigest()[:12]
    names = [f"{name}_append", f"{name}_submit"]
    registered = "".join(
        f"redis.register_function('{full}', {full.rpartition('_')[2]})\n" for full in names
    )
    source = f"#!lua name={name}\n".encode() + body + registered.encode()
    return Function(source, names[0]), Function(source, names[1])


APPEND, SUBMIT = _library()
READ: Final = Script.named("log/clear", "log/read", reads=True)
BEGIN: Final = Script.named("log/begin_run")
REGISTER: Final = Script.named("log/register_run")
CANCEL: Final = Script.named("log/cancel_run")
KEEP: Final = Script.named("log/keep_bytes")
DELETE: Final = Script.named("log/clear", "log/delete_session")
LEAVE: Final = Script.named("log/leave_turn")
