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
    REFUSED,
    SOCKET_TIMEOUT_S,
    checked_address,
    new_pool,
    new_sync_pool,
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
from stepwire_core.redis.multiplexed import MultiplexedConnection
from stepwire_core.redis.pubsub import PubSubLink
from stepwire_core.redis.sockets import Pool
from stepwire_core.redis.store import QUICK_S

if TYPE_CHECKING:
    from stepwire_core.redis.pubsub import OnMessage, OnRestored
    from stepwire_core.redis.sockets import Watched


class StandaloneStore:
    """The :class:`Store` of a client of redis-py.

    The client opens the connections and knows how replies are read. Calls share one of them, apart
    from those that block.
    """

    def __init__(self, redis: Redis, server: str) -> None:
        """``server`` is its address, or whatever tells it from other servers."""
        self.redis = redis
        """The client, for what is not of the seam: arq's loop, and tests."""
        self._server = server
        pool = redis.connection_pool
        # fakeredis has no connections.
        self._shared = MultiplexedConnection(pool) if isinstance(pool, Pool) else None

    @property
    def server(self) -> str:
        return self._server

    async def primaries(self) -> Sequence[StandaloneStore]:
        return [self]

    async def call(self, call: Call, *, within_s: float | None = None) -> Any:
        limit_s = SOCKET_TIMEOUT_S if within_s is None else within_s
        try:
            return await self._reply(call, asyncio.get_running_loop().time() + limit_s)
        except (RedisError, OSError) as error:
            if (ours := translation(error, limit_s)) is None:
                raise
            raise ours from error

    async def read(self, *calls: Call) -> list[Any]:
        begun_at = asyncio.get_running_loop().time()
        until = begun_at + SOCKET_TIMEOUT_S
        try:
            try:
                return await self._replies(calls, min(begun_at + QUICK_S, until))
            except (RedisError, OSError) as error:
                if remedy(error) is not Remedy.RECONNECT:
                    raise
            return await self._replies(calls, until)
        except (RedisError, OSError) as error:
            if (ours := translation(error, SOCKET_TIMEOUT_S)) is None:
                raise
            raise ours from error

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
        if self._shared is not None:
            await self._shared.aclose()
        await self.redis.aclose()

    async def _replies(self, calls: Sequence[Call], until: float) -> list[Any]:
        if len(calls) == 1:
            return [await self._reply(calls[0], until)]
        if self._shared is None:
            async with self.redis.pipeline(transaction=False) as pipe:
                for call in calls:
                    pipe.execute_command(*call.words)
                return await pipe.execute()
        asked = [self._shared.ask(call.words, until) for call in calls]
        replies = [await reply for reply in asked]
        return [self._read(call, reply) for call, reply in zip(calls, replies, strict=True)]

    async def _reply(self, call: Call, until: float) -> Any:
        try:
            return await self._sent(call, until)
        except ResponseError as error:
            if call.script is None or not is_script_missing(error):
                raise
        await self._load(call.script, until)
        return await self._sent(call, until)

    async def _load(self, script: Script, until: float) -> None:
        try:
            await self._sent(script.loading, until)
        except ResponseError as error:
            if not is_loaded_already(error):
                raise

    async def _sent(self, call: Call, until: float) -> Any:
        if self._shared is None or call.blocks:
            async with asyncio.timeout_at(until):
                return await self.redis.execute_command(*call.words)
        reply = await self._shared.ask(call.words, until)
        if isinstance(reply, REFUSED):
            # It has done nothing, and the next connection is made anew.
            reply = await self._shared.ask(call.words, until)
        return self._read(call, reply)

    def _read(self, call: Call, reply: Any) -> Any:
        """A reply as redis-py would return it."""
        if isinstance(reply, Exception):
            raise reply
        if call.script is None and (read := self.redis.response_callbacks.get(str(call.words[0]))):
            return read(reply)
        return reply


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
