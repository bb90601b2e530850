"""The calls that a store takes: commands, Lua scripts, and functions of a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1

Argument = str | int | bytes


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
    def loading(self) -> Call:
        # Not with REPLACE: that would make the library forget what it remembers.
        return Call(("FUNCTION LOAD", self.source))
