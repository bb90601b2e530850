"""Lua scripts and functions: how they are loaded and called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, Self, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from stepwire_core.redis.keys import SessionKeys

Argument = str | int | bytes

READS: Final[set[str]] = set()
"""The digests of scripts that may be called once more when no answer has come."""


ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "log/append": (
        *("mode", "ttl_ms", "max_events", "log_max_bytes", "max_steps", "max_bytes", "suffix"),
        *("producer", "first", "known_epoch", "run", "attempt", "ask", "turn"),
    ),
    "log/read": ("after_epoch", "after_seq", "most_events", "most_bytes", "suffix", "how"),
    "log/begin_run": ("run", "token", "turn"),
    "log/register_run": (
        "run",
        "work",
        "turn",
        "parent",
        "parent_attempt",
        "max_steps",
        "max_bytes",
    ),
    "log/cancel_run": ("channel", "session"),
    "log/keep_bytes": ("element", "content", "max_bytes"),
    "log/delete_session": ("cancel_channel", "suffix", "session", "ending_ttl_ms"),
    "log/leave_turn": ("entry",),
    "log/submit": ("count",),
    "queue/dead_letter": ("run", "session", "letter", "most", "ttl_ms"),
    "redis/count": ("window_ms",),
    "queue/enqueue": ("id", "job", "defer_ms", "ttl_ms", "facts"),
    "queue/promote": ("id",),
    "queue/claim_by_id": ("id", "token", "lease_ms"),
    "queue/claim": ("token", "lease_ms", "room", "per_subject", "limited"),
    "queue/renew": ("token", "lease_ms"),
    "queue/release_slots": ("id", "what"),
    "queue/ack": ("id", "token", "due"),
}
"""The ARGV of each script, in its order: here and nowhere else. In the script, each is a
local variable of that name; what follows them begins behind ``ARGV[HEAD]``."""


ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "log/append": ("op", "type", "id", "parent", "payload"),
    "log/cancel_run": ("run", "part"),
    "queue/renew": ("id", "until_ms"),
}
"""What follows the arguments of a script in rows of equal width, in the order of a row. In the
script, each is the place of that value in its row, in capitals, and ``WIDTH`` is their number."""


def script_args(script: str, *rest: Argument, **values: Argument) -> list[Argument]:
    """The ARGV of a script: its :data:`ARGUMENTS` by their names, then ``rest``."""
    names = ARGUMENTS[script]
    if values.keys() != set(names):
        raise TypeError(f"{script} takes {', '.join(names)}; got {', '.join(values)}")
    return [*(values[name] for name in names), *rest]


def _path(name: str) -> tuple[str, str, str]:
    folder, _, script = name.partition("/")
    return folder, "lua", f"{script}.lua"


def lua_source(name: str) -> bytes:
    """The text of a script of this package, as ``log/append`` for ``log/lua/append.lua``, with its
    arguments as local variables."""
    text = files("stepwire_core").joinpath(*_path(name)).read_bytes()
    if (names := ARGUMENTS.get(name)) is None:
        return text
    values = ", ".join(f"ARGV[{number}]" for number in range(1, len(names) + 1))
    head = f"local HEAD = {len(names)}\nlocal {', '.join(names)} = {values}\n".encode()
    if row := ROWS.get(name):
        places = {place.upper(): number for number, place in enumerate(row, 1)}
        head += lua_constants(WIDTH=len(row), **places)
    return head + text


Constant = str | int | Sequence[str] | Mapping[str, str]


def lua_constants(**values: Constant) -> bytes:
    """Local variables for the scripts that follow: what both Python and Lua have to know."""
    return "".join(f"local {name} = {_literal(value)}\n" for name, value in values.items()).encode()


def _literal(value: Constant) -> str:
    match value:
        case int():
            return str(value)
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Mapping():
            pairs = (f"[{_literal(key)}] = {_literal(item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        case _:
            return f"{{{', '.join(map(_literal, value))}}}"


class Script:
    """A Lua script, called by its digest."""

    def __init__(self, source: bytes, *, reads: bool = False) -> None:
        """With ``reads``, a call that gets no answer is made once more."""
        self.source = source
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()
        if reads:
            READS.add(self.sha)

    def command(self, keys: Sequence[str], args: Sequence[Argument]) -> tuple[Argument, ...]:
        """The call, as it is sent."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def is_missing(self, reply: object) -> bool:
        """Whether the server says that it does not have it; it then has done nothing."""
        return isinstance(reply, NoScriptError)

    async def load(self, redis: Redis) -> None:
        await redis.script_load(self.source)

    def load_sync(self, redis: SyncRedis) -> None:
        redis.script_load(self.source)

    @classmethod
    def named(cls, *names: str, reads: bool = False) -> Self:
        """One of this package; before it stand the files of functions that it uses."""
        return cls(b"\n".join(map(lua_source, names)), reads=reads)

    async def __call__(self, redis: Redis, keys: SessionKeys, *args: Argument) -> list[Any]:
        return await self.call(redis, keys.script_keys, args)

    async def call(self, redis: Redis, keys: Sequence[str], args: Sequence[Argument]) -> list[Any]:
        """The same with any keys."""
        call = self.command(keys, args)
        try:
            reply = await redis.execute_command(*call)
        except ResponseError as error:
            if not self.is_missing(error):
                raise
            await self.load(redis)
            reply = await redis.execute_command(*call)
        return cast("list[Any]", reply)

    def sync(self, redis: SyncRedis, keys: SessionKeys, *args: Argument) -> list[Any]:
        """The same, for code without an event loop."""
        call = self.command(keys.script_keys, args)
        try:
            reply = redis.execute_command(*call)
        except ResponseError as error:
            if not self.is_missing(error):
                raise
            self.load_sync(redis)
            reply = redis.execute_command(*call)
        return cast("list[Any]", reply)


class Function(Script):
    """A function of a library that Redis keeps, and hands on to its replicas and files.

    Unlike a script it can remember something from call to call, for as long as the process lives.
    """

    def __init__(self, library: bytes, name: str) -> None:
        super().__init__(library)
        self.name = name

    def command(self, keys: Sequence[str], args: Sequence[Argument]) -> tuple[Argument, ...]:
        return ("FCALL", self.name, len(keys), *keys, *args)

    def is_missing(self, reply: object) -> bool:
        return isinstance(reply, ResponseError) and "Function not found" in str(reply)

    async def load(self, redis: Redis) -> None:
        with _loaded_by_another():
            await redis.execute_command("FUNCTION LOAD", self.source)

    def load_sync(self, redis: SyncRedis) -> None:
        with _loaded_by_another():
            redis.execute_command("FUNCTION LOAD", self.source)


@contextmanager
def _loaded_by_another() -> Iterator[None]:
    try:
        yield
    except ResponseError as error:
        if "already exists" not in str(error):
            raise
