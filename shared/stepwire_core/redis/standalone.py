"""A store on one server, which may be a primary with replicas behind one address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from stepwire_core.redis.commands import Call, Script
from stepwire_core.redis.connections import (
    SOCKET_TIMEOUT_S,
    checked_address,
    new_pool,
    new_sync_pool,
    translated,
    translated_sync,
    translation,
)
from stepwire_core.redis.failures import (
    Remedy,
    is_loaded_already,
    is_script_missing,
    is_timeout,
    remedy,
)
from stepwire_core.redis.gathering import Gathering
from stepwire_core.redis.pubsub import PubSubLink
from stepwire_core.redis.store import QUICK_S

if TYPE_CHECKING:
    from stepwire_core.redis.pubsub import OnMessage, OnRestored
    from stepwire_core.redis.sockets import Pool, Watched


class StandaloneStore:
    """The :class:`Store` of a client of redis-py."""

    def __init__(self, redis: Redis, server: str) -> None:
        """``server`` is its address, or whatever tells it from other servers."""
        self.redis = redis
        """The client, for what is not of the seam: arq's loop, and tests."""
        self._server = server
        self._gathering = Gathering(self._read_together)

    @property
    def server(self) -> str:
        return self._server

    async def primaries(self) -> Sequence[StandaloneStore]:
        return [self]

    async def call(self, call: Call, *, within_s: float | None = None) -> Any:
        async with translated(within_s=within_s):
            return await self._reply(call)

    async def read(self, *calls: Call) -> list[Any]:
        if len(calls) == 1:
            return [await self._gathering.reply(calls[0])]
        return await self._read(calls)

    async def _read_together(self, calls: Sequence[Call]) -> Sequence[Any]:
        """For each of these, which different callers have asked for, its reply or its error."""
        if len(calls) == 1:
            return await self._read(calls)
        replies = await self._read(calls, raise_on_error=False)
        # What is wrong concerns one of them; or a script is missing, and the first one loads it.
        failed = [at for at, reply in enumerate(replies) if isinstance(reply, Exception)]
        again = await asyncio.gather(
            *(self._read([calls[at]]) for at in failed), return_exceptions=True
        )
        for at, reply in zip(failed, again, strict=True):
            replies[at] = reply if isinstance(reply, BaseException) else reply[0]
        return replies

    async def _read(self, calls: Sequence[Call], *, raise_on_error: bool = True) -> list[Any]:
        async with translated():
            try:
                async with asyncio.timeout(QUICK_S):
                    return await self._replies(calls, raise_on_error=raise_on_error)
            except (RedisError, OSError) as error:
                if remedy(error) is not Remedy.RECONNECT:
                    raise
            return await self._replies(calls, raise_on_error=raise_on_error)

    def probe_keys(self, key: str) -> Mapping[str, str]:
        return {self._server: key}

    def place_of(self, key: str) -> Hashable:  # noqa: ARG002 - all are on it
        return self._server

    def listen(self, on_message: OnMessage, on_restored: OnRestored) -> PubSubLink:
        return PubSubLink(self.make_separate, self.call, on_message, on_restored)

    def make_separate(self) -> Watched:
        """A connection of its own to where the others lead."""
        return cast("Pool", self.redis.connection_pool).make_separate()

    async def aclose(self) -> None:
        """Close its connections."""
        await self.redis.aclose()

    async def _replies(self, calls: Sequence[Call], *, raise_on_error: bool = True) -> list[Any]:
        if len(calls) == 1:
            return [await self._reply(calls[0])]
        async with self.redis.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command(*call.words)
            return await pipe.execute(raise_on_error)

    async def _reply(self, call: Call) -> Any:
        try:
            return await self.redis.execute_command(*call.words)
        except ResponseError as error:
            if call.script is None or not is_script_missing(error):
                raise
            await self._load(call.script)
        return await self.redis.execute_command(*call.words)

    async def _load(self, script: Script) -> None:
        try:
            await self.redis.execute_command(*script.loading.words)
        except ResponseError as error:
            if not is_loaded_already(error):
                raise


class BlockingStandaloneStore:
    """The :class:`BlockingStore` of a blocking client of redis-py."""

    def __init__(self, redis: SyncRedis) -> None:
        self._redis = redis

    def call(self, call: Call) -> Any:
        with translated_sync():
            return self._reply(call)

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        with translated_sync():
            replies = self._sent(calls)
            missing = [
                call.script
                for call, reply in zip(calls, replies, strict=True)
                if call.script is not None and is_script_missing(reply)
            ]
            for script in dict.fromkeys(missing):
                self._load(script)
            # If only some are missing, a client has loaded a script in between: a repetition of
            # these alone could change the order, so they fail for now.
            if missing and len(missing) == len(calls):
                replies = self._sent(calls)
        return [_in_our_words(reply) for reply in replies]

    def read(self, *calls: Call) -> list[Any]:
        with translated_sync():
            try:
                return self._replies(calls)
            except (RedisError, OSError) as error:
                # The time limit of a blocking socket is too long to wait for it twice.
                if is_timeout(error) or remedy(error) is not Remedy.RECONNECT:
                    raise
            return self._replies(calls)

    def close(self) -> None:
        self._redis.close()

    def _sent(self, calls: Sequence[Call], *, raise_on_error: bool = False) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command(*call.words)
            try:
                return pipe.execute(raise_on_error)
            except (RedisError, OSError):
                raise
            except Exception:
                # It could not be packed or parsed: replies may be left behind on the connection.
                self._redis.connection_pool.disconnect(inuse_connections=False)
                raise

    def _replies(self, calls: Sequence[Call]) -> list[Any]:
        if len(calls) == 1:
            return [self._reply(calls[0])]
        return self._sent(calls, raise_on_error=True)

    def _reply(self, call: Call) -> Any:
        try:
            return self._redis.execute_command(*call.words)
        except ResponseError as error:
            if call.script is None or not is_script_missing(error):
                raise
            self._load(call.script)
        return self._redis.execute_command(*call.words)

    def _load(self, script: Script) -> None:
        try:
            self._redis.execute_command(*script.loading.words)
        except ResponseError as error:
            if not is_loaded_already(error):
                raise


def _in_our_words(reply: Any) -> Any:
    if not isinstance(reply, Exception) or (ours := translation(reply)) is None:
        return reply
    ours.__cause__ = reply
    return ours


def connect(url: str) -> StandaloneStore:
    """A store with connections of its own for the current event loop; it connects on first use.

    Raises:
        SettingsError: the address is wrong; one of the settings was checked already.
    """
    return StandaloneStore(Redis.from_pool(new_pool(checked_address(url).client_url)), url)


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[StandaloneStore]:
    """The same, closed in the end."""
    store = connect(url)
    try:
        yield store
    finally:
        await store.aclose()


def connect_blocking(url: str, *, timeout_s: float = SOCKET_TIMEOUT_S) -> BlockingStandaloneStore:
    """A blocking store; it connects on first use, and gives up a call after ``timeout_s``.

    Raises:
        SettingsError: as :func:`connect`.
    """
    pool = new_sync_pool(checked_address(url).client_url, timeout_s=timeout_s)
    return BlockingStandaloneStore(SyncRedis.from_pool(pool))
