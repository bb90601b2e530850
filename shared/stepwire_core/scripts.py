"""The Lua scripts of the log."""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from stepwire_core.keys import SessionKeys


class Script:
    """A Lua script of this package, called by its digest."""

    def __init__(self, name: str) -> None:
        self.source = files("stepwire_core").joinpath("lua", f"{name}.lua").read_bytes()
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()

    async def __call__(
        self, redis: Redis, keys: SessionKeys, *args: str | int | bytes
    ) -> list[Any]:
        call = ("EVALSHA", self.sha, 4, *keys.script_keys, *args)
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


APPEND: Final = Script("append")
READ: Final = Script("read")
BEGIN: Final = Script("begin")
REGISTER: Final = Script("register")
CANCEL: Final = Script("cancel")
KEEP: Final = Script("keep")
DELETE: Final = Script("delete")
LEAVE: Final = Script("leave")
