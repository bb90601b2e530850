"""Claims: keys that one process at a time has, for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import StoreRefused, StoreUnavailable
from stepwire_core.redis.commands import Script, command
from stepwire_core.redis.scripts import lua_source, script_args
from stepwire_core.values.ids import new_id

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store

_RELEASE: Final = Script(lua_source("redis/release"))


@asynccontextmanager
async def claimed(store: Store, key: str, longest_s: int) -> AsyncIterator[bool]:
    """Whether this block has the claim; if it has, no other block gets it before this one ends.

    A claim is over after ``longest_s``, since its owner may have died. An owner that goes on for
    longer leaves the claim of the next owner alone.

    Raises:
        StoreUnavailable, StoreRefused: nothing is claimed.
    """
    token = new_id()
    is_ours = bool(await store.call(command("SET", key, token, "NX", "EX", longest_s)))
    try:
        yield is_ours
    finally:
        if is_ours:
            # The work of the block counts in any case; the claim then ends with its time.
            with suppress(StoreUnavailable, StoreRefused):
                args = script_args("redis/release", token=token)
                await store.call(_RELEASE.on([key], args))
