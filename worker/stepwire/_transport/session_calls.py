"""What this process asks of the log beside its events: documents, results, registrations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from stepwire_core.errors import SessionNotFound, StoreRefused, StoreUnavailable
from stepwire_core.log.event_log import (
    CANCEL,
    ITSELF,
    REGISTER,
    Registration,
    cancel_args,
    document_of,
)
from stepwire_core.redis.connections import translated_sync
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.wire.run_ends import outcome_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from stepwire_core.settings import Settings


class SessionCalls:
    """Calls about one session, over a blocking client, so that any thread may make them.

    Every method raises :class:`StoreUnavailable` when Redis does not answer, and
    :class:`StoreRefused` when it refuses until a person changes something.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.settings = settings

    def state(self, session_id: str, fields: Sequence[str]) -> list[bytes | None]:
        """Documents of a session's state as JSON, by their fields in it; None: not there."""
        if not fields:
            return []
        with translated_sync():
            values = self.redis.hmget(SessionKeys.of(session_id).state, list(fields))
        # redis-py types its commands for both of its clients at once.
        return [value and document_of(value) for value in cast("list[bytes | None]", values)]

    def result(self, session_id: str, run_id: str) -> dict[str, Any] | None:
        """Take what an awaited run has come to; None: nothing yet. It is handed over once.

        Raises:
            SessionNotFound: the session is gone.
        """
        keys = SessionKeys.of(session_id)
        with translated_sync(), self.redis.pipeline(transaction=False) as pipe:
            pipe.exists(keys.meta)
            pipe.hget(keys.results, run_id)
            there, result = pipe.execute()
        if not there:
            raise SessionNotFound(session_id)
        if result is None:
            return None
        # Left behind, it goes with the session.
        with suppress(StoreUnavailable, StoreRefused), translated_sync():
            self.redis.hdel(keys.results, run_id)
        return outcome_of(run_id, session_id, result)

    def register(self, registration: Registration) -> None:
        """Make a run known.

        Raises:
            SessionNotFound, SessionFull, IdConflict, RunFenced: it was not registered.
        """
        keys = SessionKeys.of(registration.session_id)
        args = registration.script_args(self.settings)
        with translated_sync():
            registration.check(REGISTER.sync(self.redis, keys, *args))

    def cancel(self, session_id: str, run_id: str) -> None:
        """Ask for a run to be cancelled, with all that it has started."""
        keys = SessionKeys.of(session_id)
        left: list[Any] = [run_id, ITSELF]
        while left:
            args = cancel_args(self.settings, session_id, left)
            with translated_sync():
                _, *left = CANCEL.sync(self.redis, keys, *args)
