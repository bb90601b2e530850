"""The calls that a store takes: commands, Lua scripts, and functions of a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from typing import Final

Argument = str | int | bytes


@dataclass(frozen=True, slots=True)
class ChannelWords:
    """The words of Redis for one kind of channel. What is published with those of one kind is not
    heard by subscribers of the other, without an error on either side."""

    publish: str
    subscribe: str
    unsubscribe: str
    message: bytes


PLAIN: Final = ChannelWords("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", b"message")
"""All nodes of a cluster carry its messages, and any of them may be listened at."""

SHARDED: Final = ChannelWords("SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE", b"smessage")
"""Only the node that has the slot of the channel's name carries its messages."""


def head(words: ChannelWords) -> bytes:
    """What stands before a script: ``NEWS``, which tells the channel of a session something."""
    return f"local NEWS = '{words.publish}'\n".encode()


GUARD: Final = b"""
if string.find(KEYS[1] or '', '{', 1, true) then
  local seen = redis.pcall('EXISTS', KEYS[1] .. ':none')
  if type(seen) == 'table' and seen.err and string.find(seen.err, 'non local', 1, true) then
    return redis.error_reply('TRYAGAIN the keys of this slot are on their way to another node')
  end
end
"""
"""Follows the head of a script on a cluster. While a slot moves, a node does not take a key of it
that it does not have, and says so of one that nobody has: then nothing is written by half. A key
without braces has a slot of its own, and its script no other keys."""


@dataclass(frozen=True, slots=True)
class Call:
    """One command, with the script that it calls, if any.

    All keys of a call are in one slot: those of one session, or those of one queue on a single
    server.
    """

    words: tuple[Argument, ...]
    script: Script | None = None
    """A store loads it when the server does not have it, and calls again."""

    @property
    def blocks(self) -> bool:
        """Whether the server may wait before it answers, and with it all that comes behind."""
        return self.words[0] in _BLOCKING


def command(*words: Argument) -> Call:
    """A command of Redis, as ``redis-cli`` takes it: ``command("HGET", key, field)``."""
    return Call(words)


_BLOCKING: Final = frozenset({"BLPOP"})
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
    """A Lua script, called by its digest.

    It has two forms, and a store calls that of its kind: one server hears of a session on a plain
    channel, a cluster on a sharded one. So what is published is what the same kind of store
    listens to.
    """

    def __init__(self, body: bytes, *, before: bytes = head(PLAIN)) -> None:
        self._body = body
        self.source = before + body
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()

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
    def on_cluster(self) -> Script:
        """The same for a cluster: it refuses to begin while a key of its slot may be elsewhere."""
        return Script(self._body, before=head(SHARDED) + GUARD)


class Function(Script):
    """A function of a library that Redis keeps, and hands on to its replicas and files.

    Unlike a script it can remember something from call to call, for as long as the process lives.
    """

    def __init__(self, library: bytes, name: str, on_cluster: Function | None = None) -> None:
        """``on_cluster`` is its form for a cluster, of a library of its own; by default itself."""
        super().__init__(library, before=b"")
        self.name = name
        self._on_cluster = on_cluster

    def on(self, keys: Sequence[str], args: Sequence[Argument]) -> Call:
        return Call(("FCALL", self.name, len(keys), *keys, *args), self)

    @property
    def callee(self) -> str:
        return self.name

    @cached_property
    def on_cluster(self) -> Function:
        return self._on_cluster or self

    @property
    def loading(self) -> Call:
        # Not with REPLACE: that would make the library forget what it remembers.
        return Call(("FUNCTION LOAD", self.source))
