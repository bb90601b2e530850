"""Connections to Redis, and the one place where its errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError
from redis.retry import Retry as SyncRetry

from stepwire_core.errors import SettingsError, StoreRefused, StoreUnavailable
from stepwire_core.redis.failures import Remedy, advice, reason, remedy
from stepwire_core.redis.sockets import BlockingLocator, Locator, Pool, SyncPool, socket_options
from stepwire_core.values.addresses import RedisAddress, redacted

SOCKET_TIMEOUT_S: Final = 10.0
"""A call fails if Redis takes longer to answer it."""

MAX_CONNECTIONS: Final = 32
"""The most connections of one client; when all are busy, a call waits for one."""

REFUSED: Final = (ReadOnlyError, MasterDownError)
"""What only a server says that is not the primary any more. It has done nothing, so the same call
is made once more, over a connection that is made anew: the address may have moved."""


def new_pool(url: str, locator: Locator | None = None) -> Pool:
    """The connections of one client to one server: that of the address, or where ``locator`` says.

    They have no read timeout of their own, each call has: with ``socket_timeout`` redis-py wraps
    every write in ``asyncio.wait_for``, which up to Python 3.11 swallows a cancellation that
    arrives together with the result.
    """
    return Pool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 1, REFUSED),
        retry_on_error=list(REFUSED),
        locator=locator,
        **socket_options(url),
    )


def new_sync_pool(
    url: str, *, timeout_s: float, locator: BlockingLocator | None = None
) -> SyncPool:
    """The connections of one blocking client, which gives up a call after ``timeout_s``."""
    return SyncPool.from_url(
        url,
        socket_timeout=timeout_s,
        retry=SyncRetry(NoBackoff(), 1, REFUSED),
        retry_on_error=list(REFUSED),
        locator=locator,
        **socket_options(url),
    )


def checked_address(url: str) -> RedisAddress:
    """What an address names.

    Raises:
        SettingsError: it is wrong; one of the settings was checked already.
    """
    try:
        return RedisAddress.of(url)
    except ValueError as error:
        raise SettingsError(f"{redacted(url)} {error}") from None


@contextmanager
def translated_sync() -> Iterator[None]:
    """Around every use of a blocking client, whose sockets have a time limit of their own: turns
    what Redis says into errors of ours (:func:`translation`).

    A reply that condemns the connections of a pool closes them without help from here
    (:class:`SyncPool`).
    """
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
