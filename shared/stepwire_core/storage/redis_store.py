"""The bytes of elements that are small enough for Redis; others are in object storage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from stepwire_core.log.event_log import KEEP, check_kept, keep_args
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.store import Store

if TYPE_CHECKING:
    from stepwire_core.settings import Settings


class Files:
    """In Redis: one hash beside the log of the session, which expires with it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    async def put(self, session_id: str, element_id: str, content: bytes) -> None:
        """Keep the bytes for as long as the session lives.

        Raises:
            SessionNotFound: the session is not there.
            SessionFull: it takes nothing new.
            StoreUnavailable: Redis does not answer.
        """
        args = keep_args(self._settings, element_id, content)
        keys = SessionKeys.of(session_id).script_keys
        check_kept(session_id, await self._store.call(KEEP.on(keys, args)))

    async def read(
        self, session_id: str, element_id: str, start: int, stop: int
    ) -> AsyncIterator[bytes] | None:
        """The bytes from ``start`` up to ``stop``, or None when they are not here; in one piece,
        since Redis has no partial read of a hash field.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        files = SessionKeys.of(session_id).files
        [content] = await self._store.read(command("HGET", files, element_id))
        return None if content is None else _one(content[start:stop])


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
