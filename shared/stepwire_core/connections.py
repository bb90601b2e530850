"""Connections to Redis, and the one place where its errors become ours."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis as SyncRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
    TryAgainError,
)

from stepwire_core.errors import SettingsError, StoreRefused, StoreUnavailable
from stepwire_core.redis_errors import Remedy, advice, condemns, remedy

SOCKET_TIMEOUT_S: Final = 10.0
"""A call that Redis has not answered by then has failed."""

CONNECT_TIMEOUT_S: Final = 3.0

MAX_CONNECTIONS: Final = 32
"""Of one client; whoever comes when all are busy waits for one."""

UNAVAILABLE: Final = (
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    ClusterDownError,
    MasterDownError,
    TryAgainError,
    OutOfMemoryError,
    OSError,
)
"""Errors that pass when Redis is back (or a replica promoted, or memory free) again."""


def connect(url: str) -> Redis:
    """A client with a pool of its own for the current event loop; it connects on first use."""
    return Redis.from_pool(new_pool(url))


def new_pool(url: str) -> BlockingConnectionPool:
    """The connections of one client.

    They have no read timeout of their own, :func:`translated` has: with ``socket_timeout`` redis-py
    wraps every write in ``asyncio.wait_for``, which up to Python 3.11 swallows a cancellation that
    arrives together with the result.

    Raises:
        SettingsError: the address has options that there are not.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=SOCKET_TIMEOUT_S,
            **socket_options(url),
        )
        # Options are looked at when a connection is made, which would be in the middle of a call.
        pool.make_connection()
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"{without_password(url)} has an option that is none ({error}): see what stands "
            "behind the '?'"
        ) from error
    return pool


def connect_sync(url: str) -> SyncRedis:
    """A blocking client; it connects on first use."""
    return SyncRedis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        **socket_options(url),
    )


def socket_options(url: str) -> dict[str, Any]:
    """How long connecting may take, and that a connection which has died is noticed."""
    options: dict[str, Any] = {"socket_connect_timeout": CONNECT_TIMEOUT_S}
    # A socket of this machine has no keepalive, and its connection does not take the word.
    return options if url.startswith("unix:") else options | {"socket_keepalive": True}


@asynccontextmanager
async def translated(redis: Redis | None = None) -> AsyncIterator[None]:
    """Around every use of an asyncio client: bounds it in time, and turns what Redis says into
    errors of ours (:func:`translation`).

    With ``redis``, its idle connections are closed after a reply that condemns them.
    """
    try:
        async with asyncio.timeout(SOCKET_TIMEOUT_S):
            yield
    except (RedisError, OSError) as error:
        if redis is not None and condemns(error):
            await redis.connection_pool.disconnect(inuse_connections=False)
        if (ours := translation(error)) is None:
            raise
        raise ours from error


@contextmanager
def translated_sync(redis: SyncRedis | None = None) -> Iterator[None]:
    """The same for a blocking client, whose sockets have a time limit of their own."""
    try:
        yield
    except (RedisError, OSError) as error:
        if redis is not None and condemns(error):
            redis.connection_pool.disconnect(inuse_connections=False)
        if (ours := translation(error)) is None:
            raise
        raise ours from error


def translation(error: BaseException) -> StoreUnavailable | StoreRefused | None:
    """An error of Redis as one of ours, by what helps; None: the call itself was wrong."""
    match remedy(error):
        case Remedy.REPEAT | Remedy.RECONNECT:
            why = str(error) or f"nothing for {SOCKET_TIMEOUT_S:g} s"
            return StoreUnavailable(f"Redis does not answer: {why}")
        case Remedy.CHANGE:
            return StoreRefused(f"Redis refuses what is needed ({error}): {advice(error)}")
        case None:
            return None


async def require(url: str, variable: str) -> None:
    """Fail early, in one line that says what to start, when there is no server at ``url``.

    Raises:
        SettingsError: nothing answers there.
    """
    redis = connect(url)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await redis.ping()
    except (*UNAVAILABLE, builtins.TimeoutError) as error:
        raise SettingsError(
            f"no Redis answers at {without_password(url)} ({error}): start one there "
            f"(redis-server, valkey-server), set {variable} to where it is, or run "
            "'stepwire dev', which brings its own"
        ) from error
    finally:
        await redis.aclose()


def without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()
