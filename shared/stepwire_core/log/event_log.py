"""The event log: one short stream and one folded state per session, kept by Lua scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.errors import (
    ProtocolViolation,
    RunEnded,
    RunFenced,
    RunNotFound,
    RunWaits,
    SessionNotFound,
    StepwireError,
    StoreUnavailable,
)
from stepwire_core.log.entries import events_of_message
from stepwire_core.log.reader import READ_BYTES, LogReader, LogTail, document_of
from stepwire_core.log.script_calls import (
    ITS_PARTS,
    ITSELF,
    Appended,
    Batch,
    Piece,
    Place,
    Registration,
    Unfinished,
    cancel_args,
    check_kept,
    keep_args,
)
from stepwire_core.log.scripts import (
    BEGIN,
    CANCEL,
    DELETE,
    KEEP,
    LEAVE,
    PIECE_BYTES,
    REGISTER,
    SUBMIT,
    TAIL_PIECES,
)
from stepwire_core.redis.commands import PLAIN, Argument, Call, Script, command
from stepwire_core.redis.keys import LIFE, Channels, SessionKeys, object_folder
from stepwire_core.redis.scripts import script_args
from stepwire_core.values.ids import request_producer, run_producer
from stepwire_core.wire.events import subject_event
from stepwire_core.wire.run_request import MAX_KEPT_BYTES, KeptRequest
from stepwire_core.wire.unreadable import UNREADABLE, readable

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings
    from stepwire_core.wire.events import NewEvent

__all__ = [
    "CANCEL",
    "ITSELF",
    "ITS_PARTS",
    "KEEP",
    "PIECE_BYTES",
    "READ_BYTES",
    "REGISTER",
    "TAIL_PIECES",
    "Appended",
    "Batch",
    "Begun",
    "Deleted",
    "EventLog",
    "LogTail",
    "NewJob",
    "Piece",
    "Place",
    "Registration",
    "Unfinished",
    "cancel_args",
    "check_kept",
    "document_of",
    "events_of_message",
    "keep_args",
    "open_log",
]

ENDING_TTL_MS: Final = 24 * 3600 * 1000
"""How long a deletion that was cut off can be taken up again."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job for a queue in the same store, as ``enqueue.lua`` takes it."""

    queue_keys: Sequence[str]
    args: Sequence[Argument]


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt, counted from 1, with the user session that it begins with."""

    attempt: int
    producer: str
    """The name of its producer: no other one may write for the run."""
    user: dict[str, Any]
    cancelled: bool
    """Whether its cancellation was requested."""
    subject: str = ""
    """Whose session it is; empty if that is not known."""
    has_lost_message: bool = False
    """Whether the log does not have the message that it answers any more."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The rest of a session that was deleted, for ``on_chat_end``."""

    epoch: str
    user: dict[str, Any]
    object_folder: str
    """Where in object storage the bytes of its elements are."""


class EventLog(LogReader):
    """Reads and appends, for one asyncio event loop.

    Every method raises :class:`StoreUnavailable` when Redis does not answer.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        super().__init__(store, Channels.of(settings.redis_url))
        self._settings = settings

    async def append(self, batch: Batch, job: NewJob | None = None) -> Appended:
        """Store a batch, fold it into the state, tell the subscribers: atomically. With it goes a
        job into the queue, unless all of the batch was stored before.

        Raises:
            SessionNotFound: and the batch does not create it.
            RunEnded, RunFenced: the run takes no events of this attempt any more.
            AskEnded: the ask that the batch answers is not open any more.
            IdConflict: a step that must be new is there already.
            SessionFull: the session takes nothing new.
        """
        call = self._append_call(batch, job)
        result: Appended | Unfinished | StepwireError = Unfinished()
        while isinstance(result, Unfinished):
            result = batch.result(await self.store.call(call))
        if isinstance(result, StepwireError):
            raise result
        return result

    def _append_call(self, batch: Batch, job: NewJob | None) -> Call:
        if job is None:
            return batch.call(self._settings)
        keys = SessionKeys.of(batch.session_id).script_keys
        args = batch.script_args(self._settings)
        both = script_args("log/submit", *args, *job.args, count=len(args))
        return SUBMIT.on([*keys, *job.queue_keys], both)

    async def _call(self, script: Script, session_id: str, args: Sequence[Argument]) -> Any:
        return await self.store.call(script.on(SessionKeys.of(session_id).script_keys, args))

    async def create(
        self,
        session_id: str,
        first_run_id: str,
        turn: str = "",
        *,
        subject: str | None = None,
        events: Sequence[NewEvent] = (),
    ) -> bool:
        """Make a session that knows one run, and whose it is; False if it was there. ``events`` are
        its first ones; they change nothing once that run has begun."""
        # Without events there is nothing that must not be repeated.
        producer = request_producer(first_run_id) if events else ""
        batch = Batch(
            session_id, events, producer=producer, run_id=first_run_id, create=True, turn=turn
        )
        try:
            created = (await self.append(batch)).created
        except (RunEnded, RunFenced):
            return False
        if created and subject:
            # A call of its own: the first one may be repeated after that run is over. If this one
            # is not reached, the first run says it.
            await self.append(Batch(session_id, (subject_event(subject),)))
        return created

    async def register_run(
        self,
        session_id: str,
        run_id: str,
        work: str,
        *,
        turn: str = "",
        keep: KeptRequest | None = None,
    ) -> None:
        """Make a run known; the same again changes nothing. ``turn`` as in :class:`Batch`.

        ``keep`` is what :meth:`kept_request` returns later, unless it is larger than
        :data:`MAX_KEPT_BYTES`.

        Raises:
            SessionNotFound: the session is not there.
            SessionFull: a new run could show nothing.
            IdConflict: the id stands for other ``work``.
        """
        kept = "" if keep is None else keep.model_dump_json()
        if len(kept.encode()) > MAX_KEPT_BYTES:
            kept = ""
        registration = Registration(session_id, run_id, work, turn=turn, kept=kept)
        args = registration.script_args(self._settings)
        registration.check(await self._call(REGISTER, session_id, args))

    async def kept_request(self, session_id: str, run_id: str) -> KeptRequest | None:
        """What the session has kept of the request of a run, if it has."""
        requests = SessionKeys.of(session_id).requests
        [content] = await self.store.read(command("HGET", requests, run_id))
        if content is None:
            return None
        return readable(KeptRequest, content, "request", run_id, session_id=session_id)

    async def cancel_children(self, session_id: str, run_id: str) -> None:
        """Ask for all that a run has started to be cancelled."""
        await self._cancel(session_id, run_id, children_only=True)

    async def cancel_run(self, session_id: str, run_id: str) -> bool:
        """Ask for a run to be cancelled, with all that it has started; False if it is over. Again
        changes nothing.

        Raises:
            SessionNotFound: the session is not there.
            RunNotFound: the session does not have that run.
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
        left: list[Any] = [run_id, ITS_PARTS if children_only else ITSELF]
        answers: list[Any] = []
        while left:
            args = cancel_args(self._settings, session_id, left)
            answer, *left = await self._call(CANCEL, session_id, args)
            answers.append(answer)
        return answers[:1]

    async def answer(self, batch: Batch) -> Appended:
        """Store the events that answer ``batch.answers``, and tell the workers.

        Raises: as :meth:`append`.
        """
        appended = await self.append(batch)
        news = f"{batch.session_id} {batch.answers}"
        # A worker that does not hear of it looks for itself, a little later. On a cluster it may be
        # another node that is away: the answer is stored.
        with suppress(StoreUnavailable):
            await self.store.call(command(PLAIN.publish, self._channels.answer, news))
        return appended

    async def delete(self, session_id: str) -> Deleted:
        """Delete a session, cancel its runs, and tell its readers. From then on no caller can read
        it or write to it.

        What this returns is kept until :meth:`forget_deleted`: a deletion that was cut off in
        between is taken up again by the same call.

        Raises:
            SessionNotFound: the session is not there.
        """
        args = script_args(
            "log/delete_session",
            cancel_channel=self._channels.cancel,
            suffix=self._channels.suffix,
            session=session_id,
            ending_ttl_ms=ENDING_TTL_MS,
        )
        reply = await self._call(DELETE, session_id, args)
        match reply:
            case [b"ok", lives, values]:
                epoch, _, born = lives.decode().partition(" ")
                folder = object_folder(session_id, born)
                return Deleted(epoch, _user_values(session_id, values), folder)
            case _:
                raise SessionNotFound(session_id)

    async def forget_deleted(self, session_id: str) -> None:
        """The last step of a deletion: nothing is left of the session."""
        await self.store.call(command("DEL", SessionKeys.of(session_id).ending))

    async def expires_in_s(self, session_id: str) -> float:
        """How long the session is kept if nothing happens in it any more.

        Raises:
            SessionNotFound: the session is not there.
        """
        [left_ms] = await self.store.read(command("PTTL", SessionKeys.of(session_id).meta))
        if left_ms < 0:
            raise SessionNotFound(session_id)
        return float(left_ms) / 1000

    async def object_folder(self, session_id: str) -> str:
        """Where in object storage the bytes of the session's elements are.

        Raises:
            SessionNotFound: the session is not there.
        """
        meta = SessionKeys.of(session_id).meta
        [(epoch, born)] = await self.store.read(command("HMGET", meta, *LIFE))
        if epoch is None:
            raise SessionNotFound(session_id)
        return object_folder(session_id, (born or b"").decode())

    async def is_cancelled(self, session_id: str, run_id: str) -> bool:
        """Whether the run is to be cancelled, or its session was deleted."""
        meta = SessionKeys.of(session_id).meta
        there, asked = await self.store.read(
            command("EXISTS", meta), command("HEXISTS", meta, f"c:{run_id}")
        )
        return bool(asked or not there)

    async def begin_run(
        self, session_id: str, run_id: str, token: str, *, turn: str = "", message: str = ""
    ) -> Begun:
        """Begin the next attempt of a run and fence off all earlier ones.

        ``token`` names this beginning: a call repeated after a lost answer returns the same number.
        With ``turn``, its handler, it begins only when no other run comes before it. ``message``
        is the id of the one that it answers.

        Raises:
            SessionNotFound: the session is not there.
            RunEnded: the run is over.
            RunWaits: other runs come before it; nothing was begun.
        """
        args = script_args("log/begin_run", run=run_id, token=token, turn=turn, message=message)
        reply = await self._call(BEGIN, session_id, args)
        match reply:
            case [b"ok", attempt, values, cancelled, subject, is_lost]:
                return Begun(
                    int(attempt),
                    run_producer(run_id, int(attempt), token),
                    _user_values(session_id, values),
                    bool(cancelled),
                    subject.decode(),
                    bool(is_lost),
                )
            case [b"waits", before]:
                pairs = [entry.decode().split(" ") for entry in before]
                raise RunWaits(session_id, run_id, [(handler, run) for handler, run in pairs])
            case [b"ended"]:
                raise RunEnded(session_id, run_id)
            case _:
                raise SessionNotFound(session_id)

    async def leave_turn(self, session_id: str, handler: str, run_id: str) -> str | None:
        """Take a run out of the row, so that no other run waits for it.

        With an empty ``run_id`` the row stays. Returns the run whose turn it is now, if it
        has not yet begun.
        """
        args = script_args("log/leave_turn", entry=f"{handler} {run_id}" if run_id else "")
        [following] = await self._call(LEAVE, session_id, args)
        return following.decode() or None


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[EventLog]:
    """The log that the settings name, with connections of its own; Redis may be away."""
    # Here, so that a process loads redis-py when it connects, and not by `import stepwire`.
    from stepwire_core.redis.topologies.opening import open_store

    async with open_store(settings.redis_url) as store:
        yield EventLog(store, settings)


def _user_values(session_id: str, values: list[bytes]) -> dict[str, Any]:
    """The runs that can be read: one that cannot costs no run of the session anything else."""
    found = {}
    for name, value in zip(values[::2], values[1::2], strict=True):
        try:
            found[name.decode()] = json.loads(value)
        except (ValueError, RecursionError) as error:
            shown = name.decode(errors="replace")
            UNREADABLE.note("user value", shown, error, session_id=session_id)
    return found
