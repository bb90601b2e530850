"""The calls that a store takes: commands, Lua scripts, and functions of a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from typing import Final

Argument = str | int | bytes

GUARD: Final = b"""
if string.find(KEYS[1] or '', '{', 1, true) then
  local seen = redis.pcall('EXISTS', KEYS[1] .. ':none')
  if type(seen) == 'table' and seen.err and string.find(seen.err, 'non local', 1, true) then
    return redis.error_reply('TRYAGAIN the keys of this slot are on their way to another node')
  end
end
"""
"""Stands before a script on a cluster. While a slot moves, a node does not take a key of it that it
does not have, and says so of one that nobody has: then nothing is written by half. A key without
braces has a slot of its own, and its script no other keys."""


@dataclass(frozen=True, slots=True)
class Call:
    """One command, with the script that it calls, if any.

    All keys of a call are in one slot: those of one session, or those of one queue on a single
    server.
    """

    words: tuple[Argument, ...]
    script: Script | None = None
    """A store loads it when the server does not have it, and calls again."""


def command(*words: Argument) -> Call:
    """A command of Redis, as ``redis-cli`` takes it: ``command("HGET", key, field)``."""
    return Call(words)


_WITHOUT_KEY: Final = frozenset(
    {"ACL", "CLIENT", "CLUSTER", "CONFIG", "FUNCTION", "INFO", "PING", "PUBLISH", "SCRIPT", "TIME"}
)
_COUNTED: Final = frozenset({"EVALSHA", "FCALL"})
_ALL_KEYS: Final = frozenset({"DEL", "EXISTS", "UNLINK"})


def key_places(words: Sequence[Argument]) -> range:
    """Where the keys of a call stand among its words."""
    name = str(words[0]).partition(" ")[0]
    if name in _COUNTED:
        return range(3, 3 + int(words[2]))
    if name in _WITHOUT_KEY:
        return range(0)
    if name in _ALL_KEYS:
        return range(1, len(words))
    return range(1, 2)


class Script:
    """A Lua script, called by its digest."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.sha = sha1(source, usedforsecurity=False).hexdigest()

    def on(self, keys: Sequence[str], args: Sequence[Argument]) -> Call:
        """A call of it with these keys and arguments."""
        return Call(("EVALSHA", self.sha, len(keys), *keys, *args), self)

    @property
    def loading(self) -> Call:
        """The call that loads it."""
        return Call(("SCRIPT LOAD", self.source))

    @property
    def callee(self) -> str:
        """What a call names it by."""
        return self.sha

    @cached_property
    def guarded(self) -> Script:
        """The same for a cluster: it refuses to begin while a key of its slot may be elsewhere."""
        return Script(GUARD + self.source)


GUARDED: Final = "_guarded"
"""What the name of a function ends in if :data:`GUARD` stands before it."""


class Function(Script):
    """A function of a library that Redis keeps, and hands on to its replicas and files.

    Unlike a script it can remember something from call to call, for as long as the process lives.
    """

    def __init__(self, library: bytes, name: str) -> None:
        super().__init__(library)
        self.name = name

    def on(self, keys: Sequence[str], args: Sequence[Argument]) -> Call:
        return Call(("FCALL", self.name, len(keys), *keys, *args), self)

    @property
    def callee(self) -> str:
        return self.name

    @cached_property
    def guarded(self) -> Function:
        """Its library has each function twice (:data:`GUARDED`)."""
        return Function(self.source, self.name + GUARDED)

    @property
    def loading(self) -> Call:
        # Not with REPLACE: that would make the library forget what it remembers.
        return Call(("FUNCTION LOAD", self.source))
