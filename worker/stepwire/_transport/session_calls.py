"""What this process asks of the log beside its events: documents, results, registrations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from stepwire_core.errors import SessionNotFound, StoreRefused, StoreUnavailable
from stepwire_core.log.event_log import (
    CANCEL,
    ITSELF,
    REGISTER,
    Registration,
    cancel_args,
    document_of,
)
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.wire.run_ends import outcome_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire_core.redis.store import BlockingStore
    from stepwire_core.settings import Settings


class SessionCalls:
    """Calls about one session, to a blocking store, so that any thread may make them.

    Every method raises :class:`StoreUnavailable` when Redis does not answer, and
    :class:`StoreRefused` when it refuses until a person changes something.
    """

    def __init__(self, store: BlockingStore, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    def state(self, session_id: str, fields: Sequence[str]) -> list[bytes | None]:
        """Documents of a session's state as JSON, by their fields in it; None: not there."""
        if not fields:
            return []
        state = SessionKeys.of(session_id).state
        [values] = self.store.read(command("HMGET", state, *fields))
        return [value and document_of(value) for value in values]

    def step_result(self, session_id: str, run_id: str, name: str) -> bytes | None:
        """What an earlier attempt of a run has stored for one of its durable steps, as JSON."""
        key = SessionKeys.of(session_id).durable(run_id)
        [stored] = self.store.read(command("HGET", key, name))
        return stored  # type: ignore[no-any-return]

    def result(self, session_id: str, run_id: str) -> dict[str, Any] | None:
        """Take what an awaited run has come to; None: nothing yet. It is handed over once.

        Raises:
            SessionNotFound: the session is gone.
        """
        keys = SessionKeys.of(session_id)
        there, result = self.store.read(
            command("EXISTS", keys.meta), command("HGET", keys.results, run_id)
        )
        if not there:
            raise SessionNotFound(session_id)
        if result is None:
            return None
        # Left behind, it goes with the session.
        with suppress(StoreUnavailable, StoreRefused):
            self.store.call(command("HDEL", keys.results, run_id))
        return outcome_of(run_id, session_id, result)

    def register(self, registration: Registration) -> None:
        """Make a run known.

        Raises:
            SessionNotFound, SessionFull, IdConflict, RunFenced: it was not registered.
        """
        keys = SessionKeys.of(registration.session_id).script_keys
        args = registration.script_args(self.settings)
        registration.check(self.store.call(REGISTER.on(keys, args)))

    def cancel(self, session_id: str, run_id: str) -> None:
        """Ask for a run to be cancelled, with all that it has started."""
        keys = SessionKeys.of(session_id).script_keys
        left: list[Any] = [run_id, ITSELF]
        while left:
            args = cancel_args(self.settings, session_id, left)
            _, *left = self.store.call(CANCEL.on(keys, args))
