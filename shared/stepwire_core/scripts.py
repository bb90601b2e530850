"""The Lua scripts of the log."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, Self, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from stepwire_core.keys import SessionKeys


def lua_source(name: str) -> bytes:
    """The text of a script of this package: its path below ``lua``, without the suffix."""
    return files("stepwire_core").joinpath("lua", f"{name}.lua").read_bytes()


class Script:
    """A Lua script, called by its digest."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()

    @classmethod
    def named(cls, *names: str) -> Self:
        """One of this package; before it stand the files of functions that it uses."""
        return cls(b"\n".join(map(lua_source, names)))

    async def __call__(
        self, redis: Redis, keys: SessionKeys, *args: str | int | bytes
    ) -> list[Any]:
        return await self.call(redis, keys.script_keys, args)

    async def call(
        self, redis: Redis, keys: Sequence[str], args: Sequence[str | int | bytes]
    ) -> list[Any]:
        """The same with any keys."""
        call = ("EVALSHA", self.sha, len(keys), *keys, *args)
        try:
            reply = await redis.execute_command(*call)
        except NoScriptError:
            await redis.script_load(self.source)
            reply = await redis.execute_command(*call)
        return cast("list[Any]", reply)

    def sync(self, redis: SyncRedis, keys: SessionKeys, *args: str | int | bytes) -> list[Any]:
        """The same, for code without an event loop."""
        call = ("EVALSHA", self.sha, 4, *keys.script_keys, *args)
        try:
            reply = redis.execute_command(*call)
        except NoScriptError:
            redis.script_load(self.source)
            reply = redis.execute_command(*call)
        return cast("list[Any]", reply)


APPEND: Final = Script.named("clear", "append")
READ: Final = Script.named("clear", "read")
BEGIN: Final = Script.named("begin")
REGISTER: Final = Script.named("register")
CANCEL: Final = Script.named("cancel")
KEEP: Final = Script.named("keep")
DELETE: Final = Script.named("clear", "delete")
LEAVE: Final = Script.named("leave")
