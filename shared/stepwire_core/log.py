"""The event log: one short stream and one folded state per session, kept by Lua scripts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, Literal, TypeVar, cast

from pydantic import BaseModel
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from stepwire_core.connections import ServerChanged, ServerId, translated
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
from stepwire_core.errors import (
    AskEnded,
    AskNotFound,
    ElementNotFound,
    IdConflict,
    ProtocolViolation,
    RunEnded,
    RunFenced,
    RunNotFound,
    RunWaits,
    SessionNotFound,
    StepwireError,
)
from stepwire_core.events import Event, NewEvent
from stepwire_core.keys import ANSWER_CHANNEL, CANCEL_CHANNEL, SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.text import whole

D = TypeVar("D", bound=BaseModel)

READ_EVENTS: Final = 500
"""The most events that one read returns."""

ENDING_TTL_MS: Final = 24 * 3600 * 1000
"""How long a deletion that was cut off can be taken up again."""

READ_BYTES: Final = 256 * 1024
"""A read ends with the event that fills this."""


class Script:
    """A Lua script of this package, called by its digest."""

    def __init__(self, name: str) -> None:
        self.source = files("stepwire_core").joinpath("lua", f"{name}.lua").read_bytes()
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()

    async def __call__(
        self, redis: Redis, keys: SessionKeys, *args: str | int | bytes
    ) -> list[Any]:
        call = ("EVALSHA", self.sha, 4, *keys.script_keys, *args)
        try:
            reply = await redis.execute_command(*call)
        except NoScriptError:
            await redis.script_load(self.source)
            reply = await redis.execute_command(*call)
        return cast("list[Any]", reply)

    def sync(self, redis: SyncRedis, keys: SessionKeys, *args: str | int | bytes) -> list[Any]:
        """The same, for code without an event loop."""
        call = ("EVALSHA", self.sha, 4, *keys.script_keys, *args)
        try:
            reply = redis.execute_command(*call)
        except NoScriptError:
            redis.script_load(self.source)
            reply = redis.execute_command(*call)
        return cast("list[Any]", reply)


APPEND: Final = Script("append")
READ: Final = Script("read")
BEGIN: Final = Script("begin")
REGISTER: Final = Script("register")
CANCEL: Final = Script("cancel")
KEEP: Final = Script("keep")
DELETE: Final = Script("delete")
LEAVE: Final = Script("leave")


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one producer for one session, appended together or not at all.

    ``first`` is the sequence of the first event, dense per ``producer`` from 1: what the log has
    stored already it drops. ``known_epoch`` is the epoch of the producer's last stored event. An
    empty ``producer`` marks a call that may be repeated freely. With ``answers`` the batch is
    stored only while that ask is open. ``turn`` is the handler of a run that this call makes known
    and that may have to wait for those before it.
    """

    session_id: str
    events: Sequence[NewEvent]
    producer: str = ""
    first: int = 1
    known_epoch: str = ""
    run_id: str = ""
    attempt: int = 0
    create: bool = False
    answers: str = ""
    turn: str = ""

    def script_args(self, settings: Settings, server: str) -> list[str | int]:
        """The ARGV of ``append.lua``."""
        args: list[str | int] = [
            "create" if self.create else "append",
            server,
            settings.session_ttl_s * 1000,
            settings.log_max_events,
            "PUBLISH",
            self.producer,
            self.first,
            self.known_epoch,
            self.run_id,
            self.attempt,
            self.answers,
            self.turn,
        ]
        for event in self.events:
            args += (event.op, event.type, event.id, event.parent, event.payload)
        return args

    def result(self, reply: list[Any]) -> Appended | StepwireError:
        """What the script's reply means for this batch."""
        match reply[0]:
            case b"ok":
                return Appended(Cursor(int(reply[1]), int(reply[2])), int(reply[3]), reply[4] == 1)
            case b"unknown":
                return SessionNotFound(self.session_id)
            case b"ended":
                return RunEnded(self.session_id, self.run_id)
            case b"fenced":
                return RunFenced(self.session_id, self.run_id, self.attempt, int(reply[1]))
            case b"taken":
                return IdConflict("message", reply[1].decode())
            case b"closed":
                return AskEnded(self.session_id, self.answers)
            case _:
                return ProtocolViolation(
                    f"producer {self.producer!r} sent event {self.first} to session "
                    f"{self.session_id!r}, which has {reply[1]} of it"
                )


@dataclass(frozen=True, slots=True)
class Registration:
    """A run that is to be known before a worker begins it.

    ``work`` says what it is to do; ``parent_run_id`` and ``parent_attempt``, who has started it.
    """

    session_id: str
    run_id: str
    work: str
    turn: str = ""
    parent_run_id: str = ""
    parent_attempt: int = 0

    def script_args(self) -> tuple[SessionKeys, str, str, str, str, int]:
        """The arguments of ``register.lua``."""
        digest = sha1(self.work.encode(), usedforsecurity=False).hexdigest()
        return (
            SessionKeys.of(self.session_id),
            self.run_id,
            digest,
            self.turn,
            self.parent_run_id,
            self.parent_attempt,
        )

    def check(self, reply: list[Any]) -> None:
        """What the script's reply means.

        Raises:
            SessionNotFound, IdConflict, RunFenced: it was not registered.
        """
        match reply:
            case [b"conflict"]:
                raise IdConflict("run", self.run_id)
            case [b"unknown"]:
                raise SessionNotFound(self.session_id)
            case [b"fenced", current]:
                raise RunFenced(
                    self.session_id, self.parent_run_id, self.parent_attempt, int(current)
                )


def cancel_args(
    session_id: str, run_id: str, *, children_only: bool = False
) -> tuple[SessionKeys, str, str, str, str, str]:
    """The arguments of ``cancel.lua``."""
    keys, channel = SessionKeys.of(session_id), CANCEL_CHANNEL.decode()
    return keys, run_id, channel, "PUBLISH", session_id, "1" if children_only else ""


@dataclass(frozen=True, slots=True)
class Appended:
    """The log's top after a batch, how many events of it were new, whether it made the session."""

    top: Cursor
    stored: int
    created: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt, counted from 1, the user session it begins with, and whether to cancel it."""

    attempt: int
    user: dict[str, Any]
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is left of a session that was deleted: for ``on_chat_end``."""

    epoch: str
    user: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogTail:
    """The events after a cursor, oldest first; ``top`` is the log's end at that instant."""

    events: Sequence[Event]
    top: Cursor


class EventLog:
    """Reads and appends, for one asyncio event loop.

    Every method raises :class:`StoreUnavailable` when Redis does not answer.
    """

    def __init__(self, redis: Redis, server_id: ServerId, settings: Settings) -> None:
        self._redis = redis
        self._server_id = server_id
        self._settings = settings

    async def append(self, batch: Batch) -> Appended:
        """Store a batch, fold it into the state, tell the subscribers: atomically.

        Raises:
            SessionNotFound: and the batch does not create it.
            RunEnded, RunFenced: the run takes no events of this attempt any more.
            AskEnded: the ask that the batch answers is not open any more.
            IdConflict: a step that must be new is there already.
        """
        async with translated():
            try:
                reply = await self._append(batch)
            except ServerChanged:
                # With the old id it would be stored in the epoch that may have lost its end.
                reply = await self._append(batch)
            result = batch.result(reply)
        if isinstance(result, StepwireError):
            raise result
        return result

    async def _append(self, batch: Batch) -> list[Any]:
        server = await self._server_id.known(self._redis)
        args = batch.script_args(self._settings, server)
        with self._server_id.expected(server):
            return await APPEND(self._redis, SessionKeys.of(batch.session_id), *args)

    async def create(self, session_id: str, first_run_id: str, turn: str = "") -> bool:
        """Make a session that knows one run; False if it was there."""
        batch = Batch(session_id, (), run_id=first_run_id, create=True, turn=turn)
        return (await self.append(batch)).created

    async def register_run(
        self, session_id: str, run_id: str, work: str, *, turn: str = ""
    ) -> None:
        """Make a run known; the same again changes nothing. ``turn`` as in :class:`Batch`.

        Raises:
            SessionNotFound: the session is not there.
            IdConflict: the id stands for other ``work``.
        """
        registration = Registration(session_id, run_id, work, turn=turn)
        async with translated():
            registration.check(await REGISTER(self._redis, *registration.script_args()))

    async def cancel_children(self, session_id: str, run_id: str) -> None:
        """Ask for all that a run has started to be cancelled."""
        await self._cancel(session_id, run_id, children_only=True)

    async def cancel_run(self, session_id: str, run_id: str) -> bool:
        """Ask for a run to be cancelled, with all that it has started; False if it is over. Again
        changes nothing.

        Raises:
            SessionNotFound: the session is not there.
            RunNotFound: nobody has started that run.
        """
        reply = await self._cancel(session_id, run_id)
        match reply:
            case [b"unknown"]:
                raise SessionNotFound(session_id)
            case [b"norun"]:
                raise RunNotFound(session_id, run_id)
            case [outcome]:
                return bool(outcome == b"ok")
        raise ProtocolViolation(f"the cancel script returned {reply!r}")

    async def _cancel(
        self, session_id: str, run_id: str, *, children_only: bool = False
    ) -> list[Any]:
        async with translated():
            keys, *args = cancel_args(session_id, run_id, children_only=children_only)
            return await CANCEL(self._redis, keys, *args)

    async def answer(self, batch: Batch) -> Appended:
        """Store the events that answer ``batch.answers``, and tell the workers.

        Raises: as :meth:`append`.
        """
        appended = await self.append(batch)
        async with translated():
            # A worker that does not hear of it looks for itself, a little later.
            await self._redis.publish(ANSWER_CHANNEL, f"{batch.session_id} {batch.answers}")
        return appended

    async def delete(self, session_id: str) -> Deleted:
        """Delete a session, cancel its runs, and tell its readers: nobody can read it or write to
        it from here on.

        What this returns is kept until :meth:`forget_deleted`: a deletion that was cut off in
        between is taken up again by the same call.

        Raises:
            SessionNotFound: the session is not there.
        """
        args = (CANCEL_CHANNEL.decode(), "PUBLISH", session_id, ENDING_TTL_MS)
        async with translated():
            reply = await DELETE(self._redis, SessionKeys.of(session_id), *args)
        match reply:
            case [b"ok", epoch, values]:
                return Deleted(epoch.decode(), _user_values(values))
            case _:
                raise SessionNotFound(session_id)

    async def forget_deleted(self, session_id: str) -> None:
        """The last step of a deletion: nothing is left of the session."""
        async with translated():
            await self._redis.delete(SessionKeys.of(session_id).ending)

    async def is_cancelled(self, session_id: str, run_id: str) -> bool:
        """Whether somebody has asked for a run to be cancelled, or has deleted its session."""
        async with translated():
            pipe = self._redis.pipeline(transaction=False)
            meta = SessionKeys.of(session_id).meta
            pipe.exists(meta)
            pipe.hexists(meta, f"c:{run_id}")
            there, asked = await pipe.execute()
        return asked or not there

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
        place: tuple[str | int, str | int] = ("", "") if after is None else after
        async with translated():
            keys = SessionKeys.of(session_id)
            reply = await READ(self._redis, keys, *place, READ_EVENTS, READ_BYTES)
        match reply:
            case [b"log", epoch, top, entries]:
                events = [_event_of_entry(entry) for entry in entries]
                return LogTail(events, Cursor(int(epoch), int(top)))
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

    async def begin_run(
        self, session_id: str, run_id: str, token: str, *, in_turn: bool = False
    ) -> Begun:
        """Begin the next attempt of a run and fence off all earlier ones.

        ``token`` names this beginning: a call repeated after a lost answer returns the same number.
        With ``in_turn`` it begins only when no other run comes before it.

        Raises:
            SessionNotFound: the session is not there.
            RunEnded: the run is over.
            RunWaits: other runs come before it; nothing was begun.
        """
        args = (run_id, token, "1" if in_turn else "")
        async with translated():
            reply = await BEGIN(self._redis, SessionKeys.of(session_id), *args)
        match reply:
            case [b"ok", attempt, values, cancelled]:
                return Begun(int(attempt), _user_values(values), bool(cancelled))
            case [b"waits", before]:
                pairs = [entry.decode().split(" ") for entry in before]
                raise RunWaits(session_id, run_id, [(handler, run) for handler, run in pairs])
            case [b"ended"]:
                raise RunEnded(session_id, run_id)
            case _:
                raise SessionNotFound(session_id)

    async def leave_turn(self, session_id: str, run_id: str) -> str | None:
        """Let nobody wait for a run; the run whose turn it is now, if it has not begun yet."""
        async with translated():
            [following] = await LEAVE(self._redis, SessionKeys.of(session_id), run_id)
        return following.decode() or None


def _user_values(values: list[bytes]) -> dict[str, Any]:
    names = [name.decode() for name in values[::2]]
    return dict(zip(names, map(json.loads, values[1::2]), strict=True))


def events_of_message(message: bytes) -> list[Event]:
    """The entries that ``append.lua`` published in one message, oldest first."""
    epoch_text, *lines = message.decode().split("\n")
    epoch = int(epoch_text)
    events = []
    for line in lines:
        seq, type_, run_id, data = line.split(" ", 3)
        events.append(Event(Cursor(epoch, int(seq)), type_, run_id, data))
    return events


def _event_of_entry(entry: tuple[bytes, list[bytes]]) -> Event:
    cursor, fields = entry
    _, type_, _, run_id, _, data = fields
    return Event(Cursor.parse(cursor.decode()), type_.decode(), run_id.decode(), data.decode())


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
