"""Where this process puts the bytes of the elements that it sends, and finds those of others."""

from __future__ import annotations

import logging
import time
from typing import IO, TYPE_CHECKING, Protocol

from stepwire._transport.subtree import Belongings
from stepwire_core.errors import (
    ElementNotFound,
    ElementTooLarge,
    SessionNotFound,
    StepwireError,
    StoreUnavailable,
)
from stepwire_core.log.event_log import KEEP, Batch, check_kept, keep_args
from stepwire_core.redis.backoff import Backoff
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import LIFE, SessionKeys, object_folder
from stepwire_core.storage.object_store import Objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire_core.redis.store import BlockingStore
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.elements")


class Owner(Protocol):
    """Whom bytes belong to: a producer."""

    session_id: str

    @property
    def creates(self) -> bool:
        """Whether it makes its session if that is not there."""
        ...


class ContentStore:
    """Puts bytes where every process can have them. Blocking, and safe from any thread.

    The bytes take no part in the event log: an event that names them is published once they are in
    their place.
    """

    def __init__(self, store: BlockingStore, settings: Settings) -> None:
        self._settings = settings
        self._store = store
        self._objects = Objects.open(self._settings)

    def check(self, what: str, size: int) -> None:
        """Say early that something is too large.

        Raises:
            ElementTooLarge: it cannot be stored; the message says which setting is in the way.
        """
        settings = self._settings
        if size > settings.elements_max_bytes:
            raise ElementTooLarge(
                what,
                size,
                settings.elements_max_bytes,
                "raise STEPWIRE_ELEMENTS_MAX_BYTES, or give the url of a place that has it",
            )
        if size > settings.elements_redis_bytes and self._objects is None:
            raise ElementTooLarge(
                what,
                size,
                settings.elements_redis_bytes,
                "set STEPWIRE_ELEMENTS_URL (s3://bucket/prefix) for larger ones, raise "
                "STEPWIRE_ELEMENTS_REDIS_BYTES, or give the url of a place that has it",
            )

    def put(self, owner: Owner, element_id: str, file: IO[bytes], size: int) -> None:
        """Store ``size`` bytes, which :meth:`check` has let pass.

        Raises:
            SessionNotFound: the session is not there, and the owner does not make it.
            SessionFull: it takes nothing new.
            StoreUnavailable: not stored within ``STEPWIRE_PUBLISH_TIMEOUT_S``.
            StoreRefused: Redis refuses it until its set-up is changed.
        """
        if self._objects is not None and size > self._settings.elements_redis_bytes:
            self._objects.put(self._folder_for(owner), element_id, file)
        else:
            self._keep(owner, element_id, file.read())

    def save(self, session_id: str, element_id: str, file: IO[bytes]) -> None:
        """Write the bytes of an element into a file.

        Raises:
            ElementNotFound: they are not there, or not any more.
            StoreUnavailable, StoreRefused: Redis, or the object storage, does not answer, or
                refuses.
        """
        files = SessionKeys.of(session_id).files
        [content] = self._store.read(command("HGET", files, element_id))
        if content is not None:
            file.write(content)
            return
        folder = None if self._objects is None else self._folder(session_id)
        if (
            self._objects is None
            or folder is None
            or not self._objects.save(folder, element_id, file)
        ):
            raise ElementNotFound(session_id, element_id)

    @property
    def has_objects(self) -> bool:
        """Whether there may be bytes that Redis does not let go by itself."""
        return self._objects is not None

    def objects_below(self, session_id: str, step_id: str) -> list[str]:
        """The elements of a step, and of all below it, that are too large for Redis.

        Raises:
            StoreUnavailable, StoreRefused: Redis does not answer, or refuses.
        """
        return Belongings(self._store, session_id).elements_above(
            self._settings.elements_redis_bytes, step_id
        )

    def remove_objects(self, session_id: str, element_ids: Sequence[str]) -> None:
        """Delete what of these is in object storage. Redis drops its part with the event.

        They are no longer served, so a failure is logged and left to the bucket's rules.
        """
        if self._objects is None:
            return
        try:
            # When the session is gone, the call that deletes it deletes them, too.
            if (folder := self._folder(session_id)) is not None:
                self._objects.remove(folder, element_ids)
        except StoreUnavailable:
            logger.warning(
                "removed elements are left in object storage",
                extra={"session_id": session_id, "element_ids": list(element_ids)},
            )

    def _folder_for(self, owner: Owner) -> str:
        """Where the objects of the owner's session are, which it may make.

        Raises:
            SessionNotFound: it is not there, and the owner does not make it.
        """
        session_id = owner.session_id
        folder = self._folder(session_id)
        if folder is None and owner.creates:
            self._create(session_id)
            folder = self._folder(session_id)
        if folder is None:
            raise SessionNotFound(session_id)
        return folder

    def _folder(self, session_id: str) -> str | None:
        """Where the objects of a session are; None if it is not there."""
        meta = SessionKeys.of(session_id).meta
        [(epoch, born)] = self._store.read(command("HMGET", meta, *LIFE))
        return None if epoch is None else object_folder(session_id, (born or b"").decode())

    def _create(self, session_id: str) -> None:
        """The element is the first thing that is emitted into a new session."""
        batch = Batch(session_id, (), create=True)
        reply = self._store.call(batch.call(self._settings))
        if isinstance(result := batch.result(reply), StepwireError):
            raise result

    def _keep(self, owner: Owner, element_id: str, content: bytes) -> None:
        give_up_at = time.monotonic() + self._settings.publish_timeout_s
        backoff = Backoff()
        while True:
            try:
                return self._keep_once(owner, element_id, content)
            except StoreUnavailable as error:
                if time.monotonic() > give_up_at:
                    raise StoreUnavailable(
                        f"Redis has taken nothing for {self._settings.publish_timeout_s:g} s "
                        f"(STEPWIRE_PUBLISH_TIMEOUT_S): {error}"
                    ) from error
                logger.warning(
                    "Redis takes nothing at the moment, an element waits",
                    extra={"element_id": element_id, "error": str(error)},
                )
            time.sleep(backoff.next_s())

    def _keep_once(self, owner: Owner, element_id: str, content: bytes) -> None:
        keys = SessionKeys.of(owner.session_id).script_keys
        call = KEEP.on(keys, keep_args(self._settings, element_id, content))
        try:
            check_kept(owner.session_id, self._store.call(call))
        except SessionNotFound:
            if not owner.creates:
                raise
        else:
            return
        self._create(owner.session_id)
        check_kept(owner.session_id, self._store.call(call))
