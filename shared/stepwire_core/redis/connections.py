"""Connections to Redis, and the one place where its errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, TypeVar, cast

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)
from redis.retry import Retry as SyncRetry

from stepwire_core.errors import SettingsError, StoreRefused, StoreUnavailable
from stepwire_core.redis.failures import Remedy, advice, reason, remedy
from stepwire_core.redis.scripts import READS
from stepwire_core.redis.sockets import Pool, SyncPool, socket_options
from stepwire_core.values.addresses import redacted, redis_address

T = TypeVar("T")

SOCKET_TIMEOUT_S: Final = 10.0
"""A call that Redis has not answered by then has failed."""

QUICK_S: Final = 3.0
"""The same for a call that costs Redis next to nothing, or that is repeated when it is over."""

MAX_CONNECTIONS: Final = 32
"""Of one client; whoever comes when all are busy waits for one."""

_REFUSED: Final[list[type[RedisError]]] = [ReadOnlyError, MasterDownError]
"""What only a server says that is not the primary any more. It has done nothing, so the same call
is made once more, over a connection that is made anew: the address may have moved."""

_READS: Final = frozenset(
    {"EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HMGET", "PING", "PTTL", "ZCARD", "ZRANGE"}
    | {"ZREVRANGEBYSCORE"}
)


def _is_read(args: Sequence[Any]) -> bool:
    return args[0] in _READS or (args[0] == "EVALSHA" and args[1] in READS)


class _Client(Redis):
    """Makes a read once more, over another connection, if no answer has come for
    :data:`QUICK_S` or it has broken meanwhile; nothing else, since it may have been done."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        once = partial(super().execute_command, *args, **options)
        return await (_twice(once) if _is_read(args) else once())

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pool = cast("Pool", self.connection_pool)
        return _Pipeline(pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = list(self.command_stack)
        execute = super().execute

        async def once() -> list[Any]:
            # It is empty after a first try that has failed.
            self.command_stack = list(commands)
            return await execute(raise_on_error)

        only_reads = all(_is_read(args) for args, _ in commands)
        return await (_twice(once) if only_reads else once())


async def _twice(read: Callable[[], Awaitable[T]]) -> T:
    try:
        async with asyncio.timeout(QUICK_S):
            return await read()
    except (ConnectionError, TimeoutError, OSError) as error:
        if remedy(error) is not Remedy.RECONNECT:
            raise
    return await read()


def connect(url: str) -> Redis:
    """A client with a pool of its own for the current event loop; it connects on first use."""
    return _Client.from_pool(new_pool(url))


def new_pool(url: str) -> Pool:
    """The connections of one client.

    They have no read timeout of their own, :func:`translated` has: with ``socket_timeout`` redis-py
    wraps every write in ``asyncio.wait_for``, which up to Python 3.11 swallows a cancellation that
    arrives together with the result.

    Raises:
        SettingsError: the address is wrong; one of the settings was checked already.
    """
    return Pool.from_url(
        _checked(url),
        max_connections=MAX_CONNECTIONS,
        timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 1, tuple(_REFUSED)),
        retry_on_error=_REFUSED,
        **socket_options(url),
    )


def connect_sync(url: str, *, timeout_s: float = SOCKET_TIMEOUT_S) -> SyncRedis:
    """A blocking client; it connects on first use, and gives up a call after ``timeout_s``.

    Raises:
        SettingsError: as :func:`new_pool`.
    """
    pool = SyncPool.from_url(
        _checked(url),
        socket_timeout=timeout_s,
        retry=SyncRetry(NoBackoff(), 1, tuple(_REFUSED)),
        retry_on_error=_REFUSED,
        **socket_options(url),
    )
    return SyncRedis.from_pool(pool)


def _checked(url: str) -> str:
    try:
        return redis_address(url)
    except ValueError as error:
        raise SettingsError(f"{redacted(url)} {error}") from None


@asynccontextmanager
async def translated(*, within_s: float | None = None) -> AsyncIterator[None]:
    """Around every use of an asyncio client: bounds it in time (:data:`SOCKET_TIMEOUT_S`, or
    ``within_s``), and turns what Redis says into errors of ours (:func:`translation`).

    A reply that condemns the connections of a pool closes them without help from here
    (:class:`Pool`).
    """
    limit_s = SOCKET_TIMEOUT_S if within_s is None else within_s
    try:
        async with asyncio.timeout(limit_s):
            yield
    except (RedisError, OSError) as error:
        if (ours := translation(error, limit_s)) is None:
            raise
        raise ours from error


@contextmanager
def translated_sync() -> Iterator[None]:
    """The same for a blocking client, whose sockets have a time limit of their own."""
    try:
        yield
    except (RedisError, OSError) as error:
        if (ours := translation(error)) is None:
            raise
        raise ours from error


def translation(
    error: BaseException, limit_s: float | None = None
) -> StoreUnavailable | StoreRefused | None:
    """An error of Redis as one of ours, by what helps; None: the call itself was wrong."""
    match remedy(error):
        case Remedy.REPEAT | Remedy.RECONNECT:
            why = reason(error) or f"nothing for {limit_s or SOCKET_TIMEOUT_S:g} s"
            return StoreUnavailable(f"Redis does not answer: {why}")
        case Remedy.CHANGE:
            return StoreRefused(f"Redis refuses what is needed ({reason(error)}): {advice(error)}")
        case None:
            return None


async def probe(redis: Redis, key: str) -> None:
    """Return when the server takes writes; it is asked for one that does nothing.

    Raises:
        StoreUnavailable: it does not answer, or takes no writes for the moment.
        StoreRefused: it does not let us write.
    """
    async with translated(within_s=QUICK_S):
        # Refused where a write would be: by a replica, without enough replicas, disk or memory. The
        # list is not there, and then this makes none.
        await cast("Awaitable[int]", redis.lpushx(key, ""))
