"""The Lua scripts of the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, Self, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from stepwire_core.jobs import (
    JOB_TTL_MS,
    in_progress_key_prefix,
    job_key_prefix,
    retry_key_prefix,
)
from stepwire_core.keys import SessionKeys
from stepwire_core.kinds import EVENTS
from stepwire_core.settings import DEFAULT_QUEUE

Argument = str | int | bytes

WAKE_MAX: Final = 1_000
"""Wakes that wait while no worker listens; beyond them the poll finds the jobs."""


ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "append": (
        *("mode", "ttl_ms", "max_events", "log_max_bytes", "max_steps", "max_bytes", "suffix"),
        *("producer", "first", "known_epoch", "run", "attempt", "ask", "turn"),
    ),
    "read": ("after_epoch", "after_seq", "most_events", "most_bytes", "suffix", "how"),
    "begin": ("run", "token", "turn"),
    "register": ("run", "work", "turn", "parent", "parent_attempt", "max_steps", "max_bytes"),
    "cancel": ("channel", "session"),
    "keep": ("element", "content", "max_bytes"),
    "delete": ("cancel_channel", "suffix", "session", "ending_ttl_ms"),
    "leave": ("entry",),
    "submit": ("count",),
    "bury": ("run", "session", "letter", "most", "ttl_ms"),
    "count": ("window_ms",),
    "queue/enqueue": ("id", "job", "defer_ms", "ttl_ms", "facts"),
    "queue/hurry": ("id",),
    "queue/take": ("id", "token", "lease_ms"),
    "queue/claim": ("token", "lease_ms", "room", "per_subject", "limited"),
    "queue/renew": ("token", "lease_ms"),
    "queue/rest": ("id", "what"),
    "queue/settle": ("id", "token", "due"),
}
"""The ARGV of each script, in its order: here and nowhere else. In the script, each is a
local variable of that name; what follows them begins behind ``ARGV[HEAD]``."""


def script_args(script: str, *rest: Argument, **values: Argument) -> list[Argument]:
    """The ARGV of a script: its :data:`ARGUMENTS` by their names, then ``rest``."""
    names = ARGUMENTS[script]
    if values.keys() != set(names):
        raise TypeError(f"{script} takes {', '.join(names)}; got {', '.join(values)}")
    return [*(values[name] for name in names), *rest]


def lua_source(name: str) -> bytes:
    """The text of a script of this package, its path below ``lua`` without the suffix, with its
    arguments as local variables."""
    text = files("stepwire_core").joinpath("lua", f"{name}.lua").read_bytes()
    if (names := ARGUMENTS.get(name)) is None:
        return text
    values = ", ".join(f"ARGV[{number}]" for number in range(1, len(names) + 1))
    head = f"local HEAD = {len(names)}\nlocal {', '.join(names)} = {values}\n"
    return head.encode() + text


def queue_script(name: str) -> bytes:
    """One of the scripts in ``lua/queue``, with what they have in common."""
    common = (
        f"local ARQ_QUEUE, ARQ_JOB, ARQ_HAS, ARQ_TRIED = '{DEFAULT_QUEUE}', '{job_key_prefix}', "
        f"'{in_progress_key_prefix}', '{retry_key_prefix}'\n"
        f"local TRIED_TTL_S, WAKE_MAX = {JOB_TTL_MS // 1000}, {WAKE_MAX}\n"
    )
    return common.encode() + lua_source("queue/row") + lua_source(f"queue/{name}")


class Script:
    """A Lua script, called by its digest."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()

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
    def named(cls, *names: str) -> Self:
        """One of this package; before it stand the files of functions that it uses."""
        return cls(b"\n".join(map(lua_source, names)))

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
    scripts = {"append": lua_source("append"), "enqueue": queue_script("enqueue")}
    body = b"".join(
        [
            lua_source("life"),
            lua_source("clear"),
            _removal_events(),
            *(lua_source(f"append/{part}") for part in _APPEND_PARTS),
            *(
                b"local function %b(KEYS, ARGV)\n%b\nend\n" % (name.encode(), source)
                for name, source in scripts.items()
            ),
            b"local function submit(KEYS, ARGV)\n%b\nend\n" % lua_source("submit"),
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
READ: Final = Script.named("clear", "read")
BEGIN: Final = Script.named("begin")
REGISTER: Final = Script.named("register")
CANCEL: Final = Script.named("cancel")
KEEP: Final = Script.named("keep")
DELETE: Final = Script.named("clear", "delete")
LEAVE: Final = Script.named("leave")
