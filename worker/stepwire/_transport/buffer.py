"""The events that wait to be stored: merged, gathered into calls, weighed.

It knows neither threads nor Redis: :class:`stepwire._transport.intake.Intake` sees to it that its
methods run one at a time.
"""

from __future__ import annotations

import time
from collections import deque
from copy import copy
from dataclasses import dataclass, field
from sys import getsizeof
from typing import TYPE_CHECKING, Final, TypeVar

from stepwire_core.errors import RunEnded, SessionFull, StepwireError
from stepwire_core.log.event_log import Batch
from stepwire_core.values.ids import emitter_producer
from stepwire_core.wire.events import ALWAYS_TAKEN, NewEvent, delta_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from stepwire_core.values.cursor import Cursor
    from stepwire_core.wire.documents import TextField

MAX_BATCH_EVENTS: Final = 200
"""A script call holds up the server for all clients: about 7 µs an event."""

MAX_BATCH_BYTES: Final = 256 * 1024
"""A call that holds this much takes no further event."""

MAX_GROUP_BYTES: Final = 2 * 1024 * 1024
"""Calls of this weight go out together: while they do, each is there twice, as text and packed."""

MAX_DELTA_BYTES: Final = 16 * 1024
"""Adjacent deltas of one step merge up to here."""

EVENT_BYTES: Final = 400
"""The size of an event in memory beside its text."""

PIECE_BYTES: Final = 64
"""The size of a piece of text in Python beside its characters: a token is a dozen of those."""

E = TypeVar("E", bound=StepwireError)


def fresh(error: E) -> E:
    """The same error, never raised before.

    An exception that is raised again and again keeps every traceback, with all that their frames
    hold.
    """
    return copy(error)


@dataclass(slots=True)
class Delta:
    """Adjacent deltas of one step, merged while they wait."""

    step_id: str
    field: TextField
    replace: bool
    parts: list[str]
    size: int
    """Bytes of its text as UTF-8."""

    def event(self) -> NewEvent:
        return delta_event(
            self.step_id, "".join(self.parts), field=self.field, replace=self.replace
        )


@dataclass(slots=True, eq=False)
class Source:
    """A producer as the buffer knows it: who it is, how far it has come, why it goes no further."""

    name: str
    session_id: str
    run_id: str = ""
    attempt: int = 0
    create: bool = False
    """Its first batch makes the session if it is not there."""
    failure: StepwireError | None = None
    """Why nothing more of it is stored. Never raised itself: see :func:`fresh`."""
    full: SessionFull | None = None
    """That its session took something of it no more. Never raised itself, either."""
    full_was_told: bool = False
    is_ending: bool = False
    """It takes what ends something, and nothing else."""
    has_ended: bool = False
    taken: int = 0
    settled: int = 0
    """How many of its events are stored, or never will be."""
    flushes: list[tuple[int, Future[None]]] = field(default_factory=list)
    """The flushes that wait for its events, each with the number of the last one."""
    _next: int = 1
    _epoch: str = ""

    def next_batch(self, events: list[NewEvent]) -> Batch:
        """Number these events; they must be sent in this order."""
        batch = Batch(
            self.session_id,
            events,
            producer=self.name,
            first=self._next,
            known_epoch=self._epoch,
            run_id=self.run_id,
            attempt=self.attempt,
            create=self.create,
            closing=self.full is not None,
        )
        self.create = False
        self._next += len(events)
        return batch

    def last_batch(self) -> Batch:
        """The batch that lets the log forget how far it has come; later events have a new name."""
        batch = Batch(self.session_id, (), producer=self.name, forget=True)
        self.name, self._next = emitter_producer(), 1
        return batch

    @property
    def is_known(self) -> bool:
        """Whether the log has a number of it."""
        return self._next > 1 and self.failure is None

    def stored(self, top: Cursor) -> None:
        self._epoch = str(top.epoch)

    def refused(self, batch: Batch, full: SessionFull) -> None:
        """Nothing of that batch is stored: what follows is numbered in its place."""
        self.full = full
        self._next = batch.first

    def untold(self) -> StepwireError | None:
        """The error that a flush raises: that the session is full only if it was not raised yet."""
        if self.failure is not None:
            return fresh(self.failure)
        if self.full is None or self.full_was_told:
            return None
        self.full_was_told = True
        return fresh(self.full)


@dataclass(slots=True, eq=False)
class Call:
    """Events of one source that go to the log in one script call."""

    source: Source
    since: float
    """When its first event came, on the buffer's clock."""
    items: list[NewEvent | Delta] = field(default_factory=list)
    size: int = 0
    """Bytes of text, about."""
    weight: int = 0
    """Bytes of memory, about."""
    count: int = 0
    """Events that it settles."""
    batch: Batch | None = None
    forgets: bool = False
    """It has no events: it lets the log forget its source."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not (self.items or self.forgets)

    def prepared(self) -> Batch:
        """The batch, built once: a repeated call carries the same sequence."""
        if self.batch is None and self.forgets:
            self.batch = self.source.last_batch()
        elif self.batch is None:
            self.batch = self.source.next_batch(
                [item.event() if isinstance(item, Delta) else item for item in self.items]
            )
        return self.batch

    def keep_what_fits(self) -> None:
        """Let go of all that a full session does not take, and of the end of the run: that was
        written as if all before it were stored."""
        self.batch = None
        self.items = [item for item in self.items if ends_something(item)]


def ends_something(item: NewEvent | Delta) -> bool:
    """Whether a full session takes it, and a run that is ending; the end of the run, which the
    former takes too, is not meant."""
    if isinstance(item, Delta):
        return False
    return item.type in ALWAYS_TAKEN or (item.op == "keep_value" and not item.payload)


Answer = tuple["Future[None]", StepwireError | None]
"""Who waited for a flush, and what is to be said there."""


class Buffer:
    """The calls that wait, in the order in which their first events came.

    A call holds events of one source. It grows while no other source of its session has put
    something in behind it: a session's events are stored in the order in which they came.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: deque[Call] = deque()
        self._last_of_session: dict[str, Call] = {}
        self.weight = 0
        """Bytes that all calls hold which are not settled, also those that are under way."""
        self.refusal: Callable[[], StepwireError] | None = None
        """Makes the error that every caller gets who emits; None: it takes events."""
        self.is_lost = False
        """Nobody takes anything out any more."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    # -- in -------------------------------------------------------------------------------------

    def put(self, source: Source, events: Sequence[NewEvent]) -> None:
        """Take all of these events, or raise.

        Raises:
            StepwireError: :attr:`refusal`, or what the source has failed with.
            RunEnded: it has ended, or is about to and none of them ends anything.
            SessionFull: the session is full, and none of them ends anything; otherwise those that
                do are taken.
        """
        if source.full is not None:
            fitting = [event for event in events if ends_something(event)]
            if events and not fitting:
                source.full_was_told = True
                raise fresh(source.full)
            events = fitting
        self._require(source)
        if source.is_ending and not any(map(ends_something, events)):
            raise RunEnded(source.session_id, source.run_id)
        for event in events:
            self._add(source, event, len(event.payload), getsizeof(event.payload))

    def put_end(self, source: Source, events: Sequence[NewEvent], full: SessionFull | None) -> None:
        """Take the end of a run, written with the knowledge of ``full``; nothing can follow it.

        Raises: as :meth:`put`.
            SessionFull: the session has turned out to be full since then; nothing was taken.
        """
        if source.full is not None and source.full is not full:
            raise fresh(source.full)
        source.has_ended = False
        self._require(source)
        for event in events:
            self._add(source, event, len(event.payload), getsizeof(event.payload))
        source.has_ended = True

    def put_delta(
        self, source: Source, step_id: str, text: str, text_field: TextField, replace: bool
    ) -> int:
        """Take a piece of text; adjacent ones of one step become one event. Returns :attr:`weight`.

        Raises: as :meth:`put`.
        """
        if source.full is not None:
            source.full_was_told = True
            raise fresh(source.full)
        if text.isascii():
            size = len(text)
            weight = size + PIECE_BYTES
        else:
            size = len(text.encode(errors="surrogatepass"))
            weight = getsizeof(text) + 8
        call = self._last_of_session.get(source.session_id)
        # A source that takes nothing more has no open call that ends in a piece of text.
        if call is not None and call.source is source and not replace:
            last = call.items[-1]
            if (
                isinstance(last, Delta)
                and last.step_id == step_id
                and last.field == text_field
                and last.size + size <= MAX_DELTA_BYTES
            ):
                last.parts.append(text)
                last.size += size
                call.size += size
                call.weight += weight
                self.weight += weight
                return self.weight
        self._require(source)
        if source.is_ending:
            raise RunEnded(source.session_id, source.run_id)
        delta = Delta(step_id, text_field, replace, [text], size)
        self._add(source, delta, size, weight)
        return self.weight

    def forget(self, source: Source) -> None:
        """Let the log forget an emitter of which nothing waits or is under way; otherwise a call
        that is repeated after that would be stored twice."""
        if self.refusal is None and source.is_known and source.taken == source.settled:
            self._calls.append(Call(source, self._clock(), forgets=True))

    def seal(self, source: Source) -> None:
        """From here on it takes only what ends something, and the end of the run."""
        source.is_ending = True
        self._close_call(source)

    def _require(self, source: Source) -> None:
        if source.failure is not None:
            raise fresh(source.failure)
        if source.has_ended:
            raise RunEnded(source.session_id, source.run_id)
        if self.refusal is not None:
            raise self.refusal()

    def _add(self, source: Source, item: NewEvent | Delta, size: int, weight: int) -> None:
        call = self._last_of_session.get(source.session_id)
        if (
            call is None
            or call.source is not source
            or len(call.items) >= MAX_BATCH_EVENTS
            or call.size >= MAX_BATCH_BYTES
        ):
            call = self._last_of_session[source.session_id] = Call(source, self._clock())
            self._calls.append(call)
        call.items.append(item)
        call.size += size + EVENT_BYTES
        call.weight += weight + EVENT_BYTES
        call.count += 1
        source.taken += 1
        self.weight += weight + EVENT_BYTES

    def _close_call(self, source: Source) -> None:
        """The next event of the source begins a call of its own, or is refused."""
        last = self._last_of_session.get(source.session_id)
        if last is not None and last.source is source:
            del self._last_of_session[source.session_id]

    # -- out ------------------------------------------------------------------------------------

    def take(self) -> list[Call]:
        """The calls that go out next, at least one if there is one; to be settled later."""
        group: list[Call] = []
        weight = 0
        while self._calls and weight < MAX_GROUP_BYTES:
            call = self._calls.popleft()
            weight += call.weight
            group.append(call)
            if self._last_of_session.get(call.source.session_id) is call:
                del self._last_of_session[call.source.session_id]
        return group

    def take_all(self) -> list[Call]:
        """All of them; they will not be stored."""
        calls = list(self._calls)
        self._calls = deque()
        self._last_of_session = {}
        return calls

    def settle(self, calls: Sequence[Call]) -> list[Answer]:
        """These calls are over, stored or not; who is to be told."""
        for call in calls:
            self.weight -= call.weight
            call.source.settled += call.count
        return [
            answer for source in {call.source: None for call in calls} for answer in _due(source)
        ]

    def fail(self, source: Source, error: StepwireError) -> list[Answer]:
        """Nothing more of this source is stored; who is to be told.

        What it has waiting here is over; its calls that are under way are not.
        """
        if source.failure is None:
            source.failure = error
        self._close_call(source)
        dropped = [call for call in self._calls if call.source is source]
        if dropped:
            self._calls = deque(call for call in self._calls if call.source is not source)
            self.settle(dropped)
        flushes, source.flushes = source.flushes, []
        return [(future, fresh(source.failure)) for _, future in flushes]

    def refused(self, full: SessionFull, calls: Sequence[Call]) -> None:
        """The session did not take the first of these calls: of what its source has waiting, only
        what ends something is left, and goes out in its place."""
        source = calls[0].source
        source.refused(calls[0].prepared(), full)
        for call in (*calls, *self._calls):
            if call.source is source:
                call.keep_what_fits()
        self._close_call(source)

    def flush(self, source: Source, future: Future[None]) -> list[Answer]:
        """Answer ``future`` when all that the source has put in so far is over; who is to be told
        already."""
        if self.is_lost and self.refusal is not None:
            return [(future, self.refusal())]
        if source.failure is not None:
            return [(future, fresh(source.failure))]
        source.flushes.append((source.taken, future))
        return _due(source)

    def waiting_since(self, before: float) -> list[Source]:
        """The sources that have something here which came before that moment."""
        return list({call.source: None for call in self._calls if call.since < before})


def _due(source: Source) -> list[Answer]:
    if not source.flushes:
        return []
    due = [future for up_to, future in source.flushes if up_to <= source.settled]
    # They are in the order of their numbers.
    source.flushes = source.flushes[len(due) :]
    return [(future, source.untold()) for future in due]
