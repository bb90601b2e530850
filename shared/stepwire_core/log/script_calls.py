"""What the scripts of the log are called with, and what their replies mean.

Both clients need it: the log's, on an event loop, and the publisher's, which has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.errors import (
    AskEnded,
    IdConflict,
    ProtocolViolation,
    RunEnded,
    RunFenced,
    SessionFull,
    SessionNotFound,
    StateChanged,
    StepwireError,
)
from stepwire_core.log.scripts import APPEND, APPEND_PIECE
from stepwire_core.redis.commands import Argument, Call
from stepwire_core.redis.keys import Channels, SessionKeys
from stepwire_core.redis.scripts import script_args
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.events import LISTED, NewEvent

if TYPE_CHECKING:
    from stepwire_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Expected:
    """A field of the state, as it was read."""

    field: str
    value: bytes

    @property
    def argument(self) -> bytes:
        return self.field.encode() + b" " + self.value


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one producer for one session, appended together or not at all.

    ``first`` is the sequence of the first event, dense per ``producer`` from 1: what the log has
    stored already it drops. ``known_epoch`` is the epoch of the producer's last stored event. An
    empty ``producer`` marks a call that may be repeated freely. With ``answers`` the batch is
    stored only while that ask is open, and with ``expects`` only while the state has what was read
    of it. ``turn`` is the handler of a run that this call makes known
    and that may have to wait for those before it. With ``closing`` the limits of the session do not
    count, and the events may only end what is there: the end of a step that is not makes none.
    With ``forget`` there are no events, and the log forgets where the producer was: all of its
    batches must have been answered, since one that is repeated would be stored again.
    """

    session_id: str
    events: Sequence[NewEvent]
    producer: str = ""
    first: int = 1
    known_epoch: str = ""
    run_id: str = ""
    attempt: int = 0
    create: bool = False
    closing: bool = False
    forget: bool = False
    answers: str = ""
    expects: Expected | None = None
    turn: str = ""

    def script_args(self, settings: Settings) -> list[Argument]:
        """The ARGV of ``append.lua``."""
        return script_args(
            "log/append",
            *chain.from_iterable(self.events),
            mode=self._mode,
            ttl_ms=settings.session_ttl_s * 1000,
            max_events=settings.log_max_events,
            log_max_bytes=settings.log_max_bytes,
            max_steps=settings.session_max_steps,
            max_bytes=settings.session_max_bytes,
            suffix=Channels.of(settings.redis_url).suffix,
            producer=self.producer,
            first=self.first,
            known_epoch=self.known_epoch,
            run=self.run_id,
            attempt=self.attempt,
            ask=self.answers,
            expects="" if self.expects is None else self.expects.argument,
            turn=self.turn,
        )

    def call(self, settings: Settings) -> Call:
        """The call of ``append.lua``."""
        return APPEND.on(SessionKeys.of(self.session_id).script_keys, self.script_args(settings))

    @property
    def is_listed(self) -> bool:
        """Whether the list of sessions changes with it."""
        return self.create or self.forget or any(event.op in LISTED for event in self.events)

    @property
    def _mode(self) -> str:
        if self.forget:
            return "forget"
        return "create" if self.create else "close" if self.closing else "append"

    def result(self, reply: list[Any]) -> Appended | Unfinished | StepwireError:
        """What the script's reply means for this batch."""
        match reply[0]:
            case b"again":
                return Unfinished()
            case b"ok":
                _, epoch, top, stored, created, *place = reply
                told = Place(epoch, int(place[0]), *place[1:]) if place else None
                return Appended(Cursor(int(epoch), int(top)), int(stored), created == 1, told)
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
            case b"changed":
                return StateChanged(self.session_id, reply[1].decode())
            case b"full":
                return SessionFull(self.session_id, reply[1].decode(), int(reply[2]))
            case _:
                return ProtocolViolation(
                    f"producer {self.producer!r} sent event {self.first} to session "
                    f"{self.session_id!r}, which has {reply[1]} of it"
                )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the last event of a batch has gone: a small piece of text, which is in the tail. Until
    that ends, :class:`Piece` appends more of the same text, for ``lasts_ms`` at most."""

    epoch: bytes
    tail: int
    """The sequence of the first piece in it."""
    letter: bytes
    fence: bytes
    lasts_ms: int

    def is_beside(self, other: Place) -> bool:
        """Whether both are in the same tail, and of the same attempt."""
        return (self.epoch, self.tail, self.fence) == (other.epoch, other.tail, other.fence)


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch that is one more small piece of a text, in the form that costs the server least.

    Nothing else of its session may follow it in its round trip: the server may answer that the
    place is not right any more, and then the batch goes out as it is.
    """

    batch: Batch
    place: Place

    def call(self, settings: Settings) -> Call:
        batch, place = self.batch, self.place
        [event] = batch.events
        keys = SessionKeys.of(batch.session_id)
        args = script_args(
            "log/append_piece",
            suffix=Channels.of(settings.redis_url).suffix,
            max_bytes=settings.session_max_bytes,
            producer=batch.producer,
            number=batch.first,
            run=batch.run_id,
            epoch_then=place.epoch,
            tail_then=place.tail,
            letter=place.letter,
            fence_then=place.fence,
            id=event.id,
            field=event.parent,
            text=event.payload,
        )
        return APPEND_PIECE.on((keys.meta, keys.tail, keys.out(event.parent, event.id)), args)

    def result(self, top: int) -> Appended | Unfinished:
        """What the script's reply means for the batch."""
        return Appended(Cursor(int(self.place.epoch), top), 1, False) if top else Unfinished()


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
    kept: str = ""
    """What the session keeps of its request, as JSON."""

    def script_args(self, settings: Settings) -> list[Argument]:
        """The ARGV of ``register_run.lua``."""
        return script_args(
            "log/register_run",
            run=self.run_id,
            work=sha1(self.work.encode(), usedforsecurity=False).hexdigest(),
            turn=self.turn,
            parent=self.parent_run_id,
            parent_attempt=self.parent_attempt,
            max_steps=settings.session_max_steps,
            max_bytes=settings.session_max_bytes,
            kept=self.kept,
        )

    def check(self, reply: list[Any]) -> None:
        """What the script's reply means.

        Raises:
            SessionNotFound, SessionFull, IdConflict, RunFenced: it was not registered.
        """
        match reply:
            case [b"conflict"]:
                raise IdConflict("run", self.run_id)
            case [b"unknown"]:
                raise SessionNotFound(self.session_id)
            case [b"full", what, limit]:
                raise SessionFull(self.session_id, what.decode(), int(limit))
            case [b"fenced", current]:
                raise RunFenced(
                    self.session_id, self.parent_run_id, self.parent_attempt, int(current)
                )


def cancel_args(settings: Settings, session_id: str, runs: Sequence[Argument]) -> list[Argument]:
    """The ARGV of ``cancel_run.lua``.

    ``runs`` are a run and :data:`ITSELF` or :data:`ITS_PARTS`; or what the call before has left.
    """
    channel = Channels.of(settings.redis_url).cancel
    return script_args("log/cancel_run", *runs, channel=channel, session=session_id)


def keep_args(settings: Settings, element_id: str, content: bytes) -> list[Argument]:
    """The ARGV of ``keep_bytes.lua``."""
    max_bytes = settings.session_max_bytes
    return script_args("log/keep_bytes", element=element_id, content=content, max_bytes=max_bytes)


ITSELF: Final = 0
"""A run is to be cancelled, with all that it has started."""

ITS_PARTS: Final = 1
"""Only what it has started is."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A part of a batch is stored, or nothing of it; the same batch goes on with the rest.

    It was too much for one call (a step is to be removed that has very many below it), or the place
    of a :class:`Piece` was not right any more.
    """


@dataclass(frozen=True, slots=True)
class Appended:
    """The log's top after a batch, how many events of it were new, whether it made the session, and
    where its last event has gone, if that is known."""

    top: Cursor
    stored: int
    created: bool
    place: Place | None = None


def check_kept(session_id: str, reply: list[Any]) -> None:
    """What the reply of ``keep_bytes.lua`` means.

    Raises:
        SessionNotFound, SessionFull: the bytes were not kept.
    """
    match reply:
        case [b"unknown"]:
            raise SessionNotFound(session_id)
        case [b"full", what, limit]:
            raise SessionFull(session_id, what.decode(), int(limit))
