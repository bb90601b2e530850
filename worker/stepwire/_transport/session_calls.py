"""What this process asks of the log beside its events: documents, results, registrations."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from stepwire._transport.blobs import ContentStore
from stepwire_core.errors import SessionNotFound, StoreRefused, StoreUnavailable
from stepwire_core.log.event_log import (
    CANCEL,
    ITSELF,
    REGISTER,
    Registration,
    cancel_args,
    document_of,
)
from stepwire_core.log.pieces import fields_at_once
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.wire.documents import StepDocument
from stepwire_core.wire.kinds import RUN, STEP
from stepwire_core.wire.run_ends import outcome_of
from stepwire_core.wire.unreadable import readable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stepwire_core.redis.store import BlockingStore
    from stepwire_core.settings import Settings


_RUN: Final = RUN.prefix.encode()
_STEP: Final = STEP.prefix.encode()
_MESSAGE: Final = b'_message"'
_REPEATS: Final = b'"retry_of":"'


class SessionCalls:
    """Calls about one session, to a blocking store, so that any thread may make them.

    Every method raises :class:`StoreUnavailable` when Redis does not answer, and
    :class:`StoreRefused` when it refuses until a person changes something.
    """

    def __init__(self, store: BlockingStore, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    @cached_property
    def contents(self) -> ContentStore:
        """Where the bytes of elements are.

        Raises:
            SettingsError: STEPWIRE_ELEMENTS_URL cannot be used.
        """
        return ContentStore(self.store, self.settings)

    def state(self, session_id: str, fields: Sequence[str]) -> list[bytes | None]:
        """Documents of a session's state as JSON, by their fields in it; None: not there."""
        if not fields:
            return []
        state = SessionKeys.of(session_id).state
        [values] = self.store.read(command("HMGET", state, *fields))
        return [value and document_of(value) for value in values]

    def step_result(self, session_id: str, run_id: str, name: str) -> bytes | None:
        """The result of a durable step that an earlier attempt of the run has stored, as JSON."""
        key = SessionKeys.of(session_id).durable(run_id)
        [stored] = self.store.read(command("HGET", key, name))
        return stored  # type: ignore[no-any-return]

    def messages(self, session_id: str) -> tuple[list[StepDocument], dict[str, str]]:
        """The messages of a session in their order, and the runs that have begun, each with the
        message that it answers again, or ``""``.

        Text that is still streaming is not in them. A session that is not there has none.
        """
        keys = SessionKeys.of(session_id)
        fields, size = self.store.read(
            command("HLEN", keys.state), command("HGET", keys.meta, "bytes")
        )
        at_once = fields_at_once(int(fields), int(size or 0))
        found: dict[bytes, bytes] = {}
        begun: dict[str, str] = {}
        cursor = 0
        while True:
            [(cursor, some)] = self.store.read(
                command("HSCAN", keys.state, cursor, "COUNT", at_once)
            )
            for name, value in some.items():
                if name.startswith(_RUN):
                    again = _REPEATS in value and json.loads(document_of(value))["message_id"]
                    begun[name[len(_RUN) :].decode()] = again or ""
                elif name.startswith(_STEP) and _MESSAGE in value:
                    found[name] = value
            if cursor == 0:
                return list(_messages(session_id, found)), begun

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


def _messages(session_id: str, found: Mapping[bytes, bytes]) -> Iterator[StepDocument]:
    for name, value in sorted(found.items(), key=lambda item: int(item[1].split(b" ", 1)[0])):
        id_ = name[len(_STEP) :].decode()
        step = readable(StepDocument, document_of(value), "step", id_, session_id=session_id)
        if step is not None and step.type.endswith("_message"):
            yield step
