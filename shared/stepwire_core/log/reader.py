"""Reading the log and its folded state."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, get_args

from pydantic import BaseModel

from stepwire_core.errors import (
    ActionNotFound,
    AskNotFound,
    ElementNotFound,
    ProtocolViolation,
    RunNotFound,
    SessionNotFound,
    SettingsNotFound,
)
from stepwire_core.log.entries import events_of_entry
from stepwire_core.log.pieces import read_log
from stepwire_core.log.script_calls import Expected
from stepwire_core.log.stored_state import StoredState
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import PREFIX, Channels, SessionKeys
from stepwire_core.redis.store import Store, probe
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.choices.settings_form import SETTINGS, own_element_id
from stepwire_core.wire.documents import (
    AskDocument,
    Document,
    ElementDocument,
    RunDocument,
    Snapshot,
    StepActionDocument,
    UsageSum,
)
from stepwire_core.wire.events import Event
from stepwire_core.wire.kinds import ACTION, ASK, ELEMENT, KINDS, RUN, STEP, Kind
from stepwire_core.wire.unreadable import UNREADABLE, readable
from stepwire_core.wire.words import TextField

D = TypeVar("D", bound=BaseModel)

READ_EVENTS: Final = 500
"""The most events that one read returns."""

READ_BYTES: Final = 256 * 1024
"""A read ends with the event that fills this."""


@dataclass(frozen=True, slots=True)
class LogTail:
    """The events after a cursor, oldest first; ``top`` is the log's end at that instant."""

    events: Sequence[Event]
    top: Cursor


class LogReader:
    """The reading half of :class:`EventLog`.

    A document that this version cannot understand is left out, or not there, where it is read
    (:mod:`stepwire_core.wire.unreadable`). Every method raises :class:`StoreUnavailable` when Redis
    does not answer.
    """

    def __init__(self, store: Store, channels: Channels) -> None:
        self.store: Final = store
        """Where the log is."""
        self._channels = channels

    async def ping(self) -> Sequence[str]:
        """Return when Redis answers and takes writes, or a node of a cluster does, with what is
        wrong at the other ones."""
        return await probe(self.store, f"{PREFIX}probe")

    def place_of(self, session_id: str) -> Hashable:
        """Tells sessions apart that may be on different servers, as far as is known."""
        return self.store.place_of(SessionKeys.of(session_id).meta)

    async def read(self, session_id: str, after: Cursor | None) -> LogTail | Snapshot:
        """The next events after a cursor, at most :data:`READ_EVENTS` and not much more than
        :data:`READ_BYTES`; or a snapshot where the log does not continue from there (no cursor,
        trimmed, another epoch, ahead of the top).

        Raises:
            SessionNotFound: the session is not there.
        """
        read = await self.read_stored(session_id, after)
        return read if isinstance(read, LogTail) else _snapshot(read)

    async def read_stored(self, session_id: str, after: Cursor | None) -> LogTail | StoredState:
        """The same, with the state as it is stored in place of the snapshot.

        Raises: as :meth:`read`.
        """
        keys, limits = SessionKeys.of(session_id), (READ_EVENTS, READ_BYTES)
        reply = await read_log(self.store, keys, after, limits, self._channels.suffix)
        match reply:
            case [b"log", epoch, top, entries] if after:
                return LogTail(_events_after(after.seq, entries), Cursor(int(epoch), int(top)))
            case [b"state", epoch, top, state, streams]:
                return StoredState(session_id, Cursor(int(epoch), int(top)), state, streams)
            case _:
                raise SessionNotFound(session_id)

    async def snapshot(self, session_id: str) -> Snapshot:
        """The folded state of the whole session.

        Raises:
            SessionNotFound: the session is not there.
        """
        read = await self.read(session_id, None)
        if not isinstance(read, Snapshot):
            raise ProtocolViolation("the read script returned events to a reader without a cursor")
        return read

    async def tops(self, session_ids: Sequence[str]) -> list[Cursor | None]:
        """The ends of many logs, in one round trip; None for a session that is not there."""
        metas = (SessionKeys.of(session_id).meta for session_id in session_ids)
        replies = await self.store.read(*(command("HMGET", meta, "epoch", "seq") for meta in metas))
        return [None if epoch is None else Cursor(int(epoch), int(seq)) for epoch, seq in replies]

    async def step(self, session_id: str, step_id: str) -> Document | None:
        """One step as the state has it, without the text that is still streaming into it."""
        state = SessionKeys.of(session_id).state
        [value] = await self.store.read(command("HGET", state, f"s:{step_id}"))
        step = None if value is None else _object(document_of(value))
        if value is not None and step is None:
            UNREADABLE.note("step", step_id, "it is not a JSON object", session_id=session_id)
        return step

    async def element(self, session_id: str, element_id: str) -> ElementDocument:
        """One element as the state has it.

        Raises:
            SessionNotFound: the session is not there.
            ElementNotFound: it has no such element, or not any more.
        """
        [element] = await self.elements(session_id, [element_id])
        return element

    async def elements(self, session_id: str, element_ids: Sequence[str]) -> list[ElementDocument]:
        """Some elements as the state has them, in one round trip.

        Raises: as :meth:`element`.
        """
        return await self._documents(
            session_id, ELEMENT, ElementDocument, element_ids, ElementNotFound
        )

    async def settings_form(self, session_id: str) -> tuple[ElementDocument, Expected]:
        """The form of the session's settings, and how it is stored.

        Raises:
            SessionNotFound: the session is not there.
            SettingsNotFound: it has no form.
        """
        id_ = own_element_id(session_id, SETTINGS)
        field = f"{ELEMENT.prefix}{id_}"
        [value] = await self._state(session_id, [field])
        form = _document(ElementDocument, value, session_id, ELEMENT.name, id_)
        if value is None or form is None or form.type != SETTINGS:
            raise SettingsNotFound(session_id)
        return form, Expected(field, value)

    async def ask(self, session_id: str, ask_id: str) -> AskDocument:
        """One ask as the state has it.

        Raises:
            SessionNotFound: the session is not there.
            AskNotFound: it has no such ask, or not any more.
        """
        [ask] = await self._documents(session_id, ASK, AskDocument, [ask_id], AskNotFound)
        return ask

    async def action(self, session_id: str, action_id: str) -> StepActionDocument:
        """One action as the state has it.

        Raises:
            SessionNotFound: the session is not there.
            ActionNotFound: it has no such action, or not any more.
        """
        [action] = await self._documents(
            session_id, ACTION, StepActionDocument, [action_id], ActionNotFound
        )
        return action

    async def run(self, session_id: str, run_id: str) -> RunDocument | None:
        """One run as the state has it; None before its first event.

        Raises:
            SessionNotFound: the session is not there.
        """
        [value] = await self._state(session_id, [f"r:{run_id}"])
        return _document(RunDocument, value, session_id, "run", run_id)

    async def known_run(self, session_id: str, run_id: str) -> RunDocument | None:
        """One run as the state has it; None while no worker has begun it.

        Raises:
            SessionNotFound: the session is not there.
            RunNotFound: the session does not have that run, or its document cannot be read.
        """
        keys = SessionKeys.of(session_id)
        (epoch, fence), value = await self.store.read(
            command("HMGET", keys.meta, "epoch", f"r:{run_id}"),
            command("HGET", keys.state, f"r:{run_id}"),
        )
        if epoch is None:
            raise SessionNotFound(session_id)
        run = _document(RunDocument, value, session_id, "run", run_id)
        if fence is None or (run is None and value is not None):
            raise RunNotFound(session_id, run_id)
        return run

    async def _documents(
        self,
        session_id: str,
        kind: Kind,
        model: type[D],
        ids: Sequence[str],
        missing: Callable[[str, str], Exception],
    ) -> list[D]:
        """Documents of one kind, whose model is ``model``.

        Raises:
            SessionNotFound: the session is not there.
            ``missing``: it does not have one of them, or it cannot be read.
        """
        values = await self._state(session_id, [f"{kind.prefix}{id_}" for id_ in ids])
        found = []
        for id_, value in zip(ids, values, strict=True):
            document = _document(model, value, session_id, kind.name, id_)
            if document is None:
                raise missing(session_id, id_)
            found.append(document)
        return found

    async def _state(self, session_id: str, fields: Sequence[str]) -> list[bytes | None]:
        keys = SessionKeys.of(session_id)
        documents = [command("HMGET", keys.state, *fields)] if fields else []
        there, *values = await self.store.read(command("EXISTS", keys.meta), *documents)
        if not there:
            raise SessionNotFound(session_id)
        return values[0] if values else []

    async def require(self, session_id: str) -> None:
        """Return when the session is there.

        Raises:
            SessionNotFound: it is not.
        """
        if (await self.tops([session_id]))[0] is None:
            raise SessionNotFound(session_id)

    async def run_ended_at(self, session_id: str, run_id: str) -> Cursor | None:
        """The cursor of the run's last event, or None while it may still go on.

        Raises:
            SessionNotFound: the session is not there.
            RunNotFound: the session does not have that run.
        """
        meta = SessionKeys.of(session_id).meta
        [(epoch, run)] = await self.store.read(command("HMGET", meta, "epoch", f"r:{run_id}"))
        if epoch is None:
            raise SessionNotFound(session_id)
        if run is None:
            raise RunNotFound(session_id, run_id)
        _, ended, cursor = run.decode().partition("!")
        return Cursor.parse(cursor) if ended else None


def _events_after(seq: int, entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Event]:
    events = [event for entry in entries for event in events_of_entry(entry)]
    missing = seq + 1 - events[0].cursor.seq if events else 0
    return events[missing : missing + READ_EVENTS]


def document_of(value: bytes) -> bytes:
    """The JSON in a field of the state, which is ``<order> <parent> <json>``."""
    return value.split(b" ", 2)[-1]


def _object(content: bytes) -> Document | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _document(
    model: type[D], value: bytes | None, session_id: str, kind: str, id_: str
) -> D | None:
    """The document in a field of the state; None if it is not there or cannot be read."""
    if value is None:
        return None
    return readable(model, document_of(value), kind, id_, session_id=session_id)


def _snapshot(stored: StoredState) -> Snapshot:
    documents: dict[str, dict[str, BaseModel]] = {kind.list_name: {} for kind in KINDS}
    steps_before_runs: list[int] = []
    for item in sorted(stored.documents(), key=lambda item: item.order):
        kind = item.kind
        document = readable(kind.model, item.json, kind.name, item.id, session_id=stored.session_id)
        if document is None:
            continue
        if kind is RUN:
            steps_before_runs.append(len(documents[STEP.list_name]))
        documents[kind.list_name][item.id] = document
    steps = documents[STEP.list_name]
    for text in stored.streaming():
        if (step := steps.get(text.step_id)) and text.field in get_args(TextField):
            setattr(step, text.field, text.before(getattr(step, text.field)) + text.text)
    lists = {name: list(found.values()) for name, found in documents.items()}
    snapshot = Snapshot.model_validate(
        {
            "session_id": stored.session_id,
            "cursor": str(stored.cursor),
            "steps_before_runs": steps_before_runs,
            **lists,
        }
    )
    snapshot.usage = UsageSum.of_session(snapshot.runs, snapshot.steps)
    return snapshot
