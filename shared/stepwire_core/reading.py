"""Reading the log and its folded state."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, cast

from pydantic import BaseModel
from redis.asyncio import Redis

from stepwire_core.connections import translated
from stepwire_core.cursor import Cursor
from stepwire_core.documents import (
    AskDocument,
    Document,
    ElementDocument,
    FeedbackDocument,
    RunDocument,
    Snapshot,
    StepDocument,
)
from stepwire_core.entries import events_of_entry
from stepwire_core.errors import (
    AskNotFound,
    ElementNotFound,
    ProtocolViolation,
    RunNotFound,
    SessionNotFound,
)
from stepwire_core.events import Event
from stepwire_core.keys import SessionKeys
from stepwire_core.pieces import read_log
from stepwire_core.text import whole

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

    Every method raises :class:`StoreUnavailable` when Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @property
    def redis(self) -> Redis:
        """Where the log is."""
        return self._redis

    async def ping(self) -> None:
        """Return when Redis answers."""
        async with translated():
            await self._redis.ping()

    async def read(self, session_id: str, after: Cursor | None) -> LogTail | Snapshot:
        """The next events after a cursor, at most :data:`READ_EVENTS` and not much more than
        :data:`READ_BYTES`; or a snapshot where the log does not continue from there (no cursor,
        trimmed, another epoch, ahead of the top).

        Raises:
            SessionNotFound: the session is not there.
        """
        async with translated():
            keys, limits = SessionKeys.of(session_id), (READ_EVENTS, READ_BYTES)
            reply = await read_log(self._redis, keys, after, limits)
        match reply:
            case [b"log", epoch, top, entries] if after:
                return LogTail(_events_after(after.seq, entries), Cursor(int(epoch), int(top)))
            case [b"state", epoch, top, state, streams]:
                return _snapshot(session_id, Cursor(int(epoch), int(top)), state, streams)
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
        async with translated():
            pipe = self._redis.pipeline(transaction=False)
            for session_id in session_ids:
                pipe.hmget(SessionKeys.of(session_id).meta, ["epoch", "seq"])
            replies = await pipe.execute()
        return [None if epoch is None else Cursor(int(epoch), int(seq)) for epoch, seq in replies]

    async def step(self, session_id: str, step_id: str) -> Document | None:
        """One step as the state has it, without the text that is still streaming into it."""
        async with translated():
            reply = self._redis.hget(SessionKeys.of(session_id).state, f"s:{step_id}")
            # redis-py types its commands for both of its clients at once.
            value = await cast("Awaitable[bytes | None]", reply)
        return None if value is None else cast("Document", json.loads(document_of(value)))

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
        values = await self._state(session_id, [f"e:{element_id}" for element_id in element_ids])
        for element_id, value in zip(element_ids, values, strict=True):
            if value is None:
                raise ElementNotFound(session_id, element_id)
        return [
            ElementDocument.model_validate_json(document_of(value)) for value in values if value
        ]

    async def ask(self, session_id: str, ask_id: str) -> AskDocument:
        """One ask as the state has it.

        Raises:
            SessionNotFound: the session is not there.
            AskNotFound: it has no such ask, or not any more.
        """
        [value] = await self._state(session_id, [f"a:{ask_id}"])
        if value is None:
            raise AskNotFound(session_id, ask_id)
        return AskDocument.model_validate_json(document_of(value))

    async def run(self, session_id: str, run_id: str) -> RunDocument | None:
        """One run as the state has it; None before its first event.

        Raises:
            SessionNotFound: the session is not there.
        """
        [value] = await self._state(session_id, [f"r:{run_id}"])
        return None if value is None else RunDocument.model_validate_json(document_of(value))

    async def _state(self, session_id: str, fields: Sequence[str]) -> list[bytes | None]:
        keys = SessionKeys.of(session_id)
        async with translated():
            pipe = self._redis.pipeline(transaction=False)
            pipe.exists(keys.meta)
            if fields:
                pipe.hmget(keys.state, list(fields))
            there, *values = await pipe.execute()
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
            RunNotFound: nobody has started that run.
        """
        async with translated():
            reply = self._redis.hmget(SessionKeys.of(session_id).meta, ["epoch", f"r:{run_id}"])
            epoch, run = await cast("Awaitable[list[bytes | None]]", reply)
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
    return value.split(b" ", 2)[2]


def _snapshot(
    session_id: str, cursor: Cursor, state: list[bytes], streams: list[bytes]
) -> Snapshot:
    ordered = sorted(
        zip(state[::2], state[1::2], strict=True),
        key=lambda item: int(item[1].split(b" ", 1)[0]),
    )

    def documents(kind: bytes, model: type[D]) -> dict[bytes, D]:
        return {
            field[2:]: model.model_validate_json(document_of(value))
            for field, value in ordered
            if field.startswith(kind)
        }

    steps = documents(b"s:", StepDocument)
    for member, text in zip(streams[::2], streams[1::2], strict=True):
        field_name, _, step_id = member.partition(b":")
        if step := steps.get(step_id):
            _continue(step, cast('Literal["output", "input"]', field_name.decode()), text)
    return Snapshot(
        session_id=session_id,
        cursor=str(cursor),
        runs=list(documents(b"r:", RunDocument).values()),
        steps=list(steps.values()),
        elements=list(documents(b"e:", ElementDocument).values()),
        asks=list(documents(b"a:", AskDocument).values()),
        feedback=list(documents(b"f:", FeedbackDocument).values()),
    )


def _continue(step: StepDocument, field: Literal["output", "input"], text: bytes) -> None:
    """Put streamed text, ``+`` appended or ``=`` replacing, into its step."""
    # A half of a surrogate pair may be at the end: the other half is still on its way.
    streamed = whole(json.loads(b'"' + text[1:] + b'"'))
    setattr(step, field, streamed if text[:1] == b"=" else getattr(step, field) + streamed)
