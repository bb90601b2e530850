"""The events of a process that wait to be stored: in which order, and how many bytes.

It knows neither threads nor Redis: :class:`stepwire._transport.intake.Intake` sees to it that its
methods run one at a time.
"""

from __future__ import annotations

import time
from collections import deque
from sys import getsizeof
from typing import TYPE_CHECKING, Final

from stepwire._transport.append_call import (
    AppendCall,
    Delta,
    ends_something,
    event_size,
    piece_size,
)
from stepwire._transport.source import fresh
from stepwire_core.errors import RunEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from stepwire._transport.append_call import ProgressUpdate
    from stepwire._transport.source import Answer, Source
    from stepwire_core.errors import SessionFull, StepwireError
    from stepwire_core.wire.events import NewEvent
    from stepwire_core.wire.words import TextField

MAX_GROUP_BYTES: Final = 2 * 1024 * 1024
"""Calls of this weight go out together: while they do, each is there twice, as text and packed."""


class Buffer:
    """The calls that wait, in the order in which their first events came.

    A call holds events of one source. It grows while no other source of its session has put
    something in behind it: a session's events are stored in the order in which they came.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: deque[AppendCall] = deque()
        self._last_of_session: dict[str, AppendCall] = {}
        self._held: dict[str, list[AppendCall]] = {}
        """By session: the calls that were not taken at the moment, and all that came after them."""
        self._retry_at = float("inf")
        self.weight = 0
        """Bytes that all calls hold which are not settled, also those that are under way."""
        self.refusal: Callable[[], StepwireError] | None = None
        """Makes the error for every call that emits; None: events are taken."""
        self.is_lost = False
        """Nothing is taken out any more."""

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
                source.full_was_reported = True
                raise fresh(source.full)
            events = fitting
        if source.failure is not None or source.has_ended or self.refusal is not None:
            self._require(source)
        if source.is_ending and not any(map(ends_something, events)):
            raise RunEnded(source.session_id, source.run_id)
        last = self._last_of_session
        for event in events:
            # What `_add` does, without its calls: a step begins and ends with one of these.
            call = last.get(source.session_id)
            if call is None or call.source is not source or not call.has_room:
                call = self._new_call(source)
            payload = event.payload
            self.weight += call.add(event, len(payload), getsizeof(payload))
        source.taken += len(events)

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
            self._add(source, event, *event_size(event))
        source.has_ended = True

    def put_delta(
        self, source: Source, step_id: str, text: str, text_field: TextField, replace: bool
    ) -> int:
        """Take a piece of text; adjacent ones of one step become one event. Returns :attr:`weight`.

        Raises: as :meth:`put`.
        """
        if source.full is not None:
            source.full_was_reported = True
            raise fresh(source.full)
        call = self._last_of_session.get(source.session_id)
        # A source that takes nothing more has no open call that ends in a piece of text.
        if call is not None and call.source is source and not replace:
            added = call.merge(step_id, text, text_field)
            if added is not None:
                self.weight += added
                return self.weight
        self._require(source)
        if source.is_ending:
            raise RunEnded(source.session_id, source.run_id)
        size, weight = piece_size(text)
        delta = Delta(step_id, text_field, replace, [text], size)
        self._add(source, delta, size, weight)
        return self.weight

    def replace_progress(self, source: Source, step_id: str, progress: str, ts: str) -> bool:
        """Tell how far a step is in the update that waits; False if none does, or if something else
        of the step, or of another source, has come after it."""
        call = self._last_of_session.get(source.session_id)
        if call is None or call.source is not source:
            return False
        added = call.replace_progress(step_id, progress, ts)
        self.weight += added or 0
        return added is not None

    def put_progress(self, source: Source, update: ProgressUpdate) -> None:
        """Take the update of a step that tells how far it is.

        Raises: as :meth:`put`.
        """
        if source.full is not None:
            source.full_was_reported = True
            raise fresh(source.full)
        self._require(source)
        if source.is_ending:
            raise RunEnded(source.session_id, source.run_id)
        self._add(source, update, update.size, 2 * update.size)

    def forget(self, source: Source) -> None:
        """Let the log forget an emitter of which nothing waits or is under way; otherwise a call
        that is repeated after that would be stored twice."""
        if self.refusal is None and source.is_known and source.taken == source.settled:
            self._calls.append(AppendCall(source, self._clock(), forgets=True))

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

    def _add(
        self, source: Source, item: NewEvent | Delta | ProgressUpdate, size: int, weight: int
    ) -> None:
        call = self._last_of_session.get(source.session_id)
        if call is None or call.source is not source or not call.has_room:
            call = self._new_call(source)
        self.weight += call.add(item, size, weight)
        source.taken += 1

    def _new_call(self, source: Source) -> AppendCall:
        call = self._last_of_session[source.session_id] = AppendCall(source, self._clock())
        self._calls.append(call)
        return call

    def _close_call(self, source: Source) -> None:
        """The next event of the source begins a call of its own, or is refused."""
        last = self._last_of_session.get(source.session_id)
        if last is not None and last.source is source:
            del self._last_of_session[source.session_id]

    # -- out ------------------------------------------------------------------------------------

    def take(self) -> list[AppendCall]:
        """The calls that go out next, to be settled or held later; none if all that are here are
        held for now (:attr:`held_for_s`)."""
        if self._held and self._clock() >= self._retry_at:
            self._calls.extendleft(reversed(self._held_calls()))
            self._held = {}
            self._retry_at = float("inf")
        group: list[AppendCall] = []
        weight = 0
        while self._calls and weight < MAX_GROUP_BYTES:
            call = self._calls.popleft()
            if (before := self._held.get(call.source.session_id)) is not None:
                before.append(call)
                continue
            weight += call.weight
            group.append(call)
            if self._last_of_session.get(call.source.session_id) is call:
                del self._last_of_session[call.source.session_id]
        return group

    def hold(self, calls: Sequence[AppendCall], for_s: float) -> None:
        """These were not taken at the moment: they go out again after that time, with all that
        comes for their sessions meanwhile behind them; those of other sessions go on."""
        for call in calls:
            self._held.setdefault(call.source.session_id, []).append(call)
        self._retry_at = min(self._retry_at, self._clock() + for_s)

    @property
    def held_for_s(self) -> float | None:
        """How long what is held has to wait still; None if nothing is."""
        return max(0.0, self._retry_at - self._clock()) if self._held else None

    def _held_calls(self) -> list[AppendCall]:
        return [call for calls in self._held.values() for call in calls]

    def take_all(self) -> list[AppendCall]:
        """All of them; they will not be stored."""
        calls = [*self._held_calls(), *self._calls]
        self._calls = deque()
        self._held = {}
        self._last_of_session = {}
        return calls

    def settle(self, calls: Sequence[AppendCall]) -> list[Answer]:
        """These calls are over, stored or not; the answers that are due now."""
        for call in calls:
            self.weight -= call.weight
            call.source.settled += call.count
        sources = dict.fromkeys(call.source for call in calls)
        return [answer for source in sources for answer in source.due()]

    def fail(self, source: Source, error: StepwireError) -> list[Answer]:
        """Nothing more of this source is stored; the answers that are due now.

        What it has waiting here is over; its calls that are under way are not.
        """
        answers = source.fail(error)
        self._close_call(source)
        held = self._held.get(source.session_id, [])
        dropped = [call for call in (*held, *self._calls) if call.source is source]
        if dropped:
            self._calls = deque(call for call in self._calls if call.source is not source)
            held[:] = [call for call in held if call.source is not source]
            if not held:
                self._held.pop(source.session_id, None)
            self.settle(dropped)
        return answers

    def refused(self, full: SessionFull, calls: Sequence[AppendCall]) -> None:
        """The session did not take the first of these calls: of what its source has waiting, only
        what ends something is left, and goes out in its place."""
        source = calls[0].source
        source.refused(calls[0].prepared(), full)
        for call in (*calls, *self._held_calls(), *self._calls):
            if call.source is source:
                call.keep_what_fits()
        self._close_call(source)

    def flush(self, source: Source, future: Future[None]) -> list[Answer]:
        """Answer ``future`` when all that the source has put in so far is over; the answers
        that are due now."""
        if self.is_lost and self.refusal is not None:
            return [(future, self.refusal())]
        return source.flush(future)

    def waiting_since(self, session_id: str, before: float) -> list[Source]:
        """The sources of a session that have something here which came before that moment."""
        waiting = (*self._held.get(session_id, ()), *self._calls)
        return list(
            {
                call.source: None
                for call in waiting
                if call.source.session_id == session_id and call.since <= before
            }
        )
