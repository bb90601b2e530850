"""The bytes of elements that are small enough for Redis; others are in object storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import cast

from redis.asyncio import Redis

from stepwire_core.log.event_log import KEEP, check_kept, keep_args
from stepwire_core.redis.connections import translated
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings


class Files:
    """In Redis: one hash beside the log of the session, which expires with it."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    async def put(self, session_id: str, element_id: str, content: bytes) -> None:
        """Keep the bytes for as long as the session lives.

        Raises:
            SessionNotFound: the session is not there.
            SessionFull: it takes nothing new.
            StoreUnavailable: Redis does not answer.
        """
        args = keep_args(self._settings, element_id, content)
        async with translated():
            reply = await KEEP(self._redis, SessionKeys.of(session_id), *args)
            check_kept(session_id, reply)

    async def read(
        self, session_id: str, element_id: str, start: int, stop: int
    ) -> AsyncIterator[bytes] | None:
        """The bytes from ``start`` up to ``stop``, or None when they are not here; in one piece,
        since Redis has no partial read of a hash field.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        async with translated():
            reply = self._redis.hget(SessionKeys.of(session_id).files, element_id)
            # redis-py types its commands for both of its clients at once.
            content = await cast("Awaitable[bytes | None]", reply)
        return None if content is None else _one(content[start:stop])


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
