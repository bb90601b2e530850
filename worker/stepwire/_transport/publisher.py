"""The publisher: takes events from any thread, stores them in groups, loses none.

One per process. It has a thread of its own, so that what a handler emits is on its way even while
that handler blocks the event loop, and so that plain scripts and threads need no event loop at all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stepwire._transport.intake import Intake
from stepwire._transport.producer import Producer, Silent
from stepwire._transport.session_calls import SessionCalls
from stepwire._transport.source import Source
from stepwire_core.errors import (
    ProtocolViolation,
    RunEnded,
    SessionFull,
    StepwireError,
    StoreRefused,
    StoreUnavailable,
)
from stepwire_core.log.event_log import Appended, Unfinished
from stepwire_core.log.session_index import listed_call
from stepwire_core.redis.backoff import Backoff
from stepwire_core.tracing.span_export import SpanExport
from stepwire_core.wire.kinds import RUN_END, STEP_END

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stepwire._transport.append_call import AppendCall
    from stepwire_core.redis.commands import Call
    from stepwire_core.redis.store import BlockingStore
    from stepwire_core.settings import Settings
    from stepwire_core.tracing.place import TracePlace

logger = logging.getLogger("stepwire.publisher")

_CLOSE_TIMEOUT_S: Final = 5.0

_MOST_TO_LIST: Final = 10_000
"""Sessions that wait to be told to the index, while Redis is away."""

_SENT_AGAIN: Final = (StoreUnavailable, SessionFull, Unfinished)
"""The outcomes after which a call has to be sent again, whole or the rest of it."""


@dataclass(slots=True)
class _Away:
    """Since when Redis takes nothing of a session, and what it says."""

    since: float
    why: str = ""


class Publisher:
    """Group commit: while one round trip is under way, what comes is gathered for the next.

    Memory is bounded by ``buffer_bytes``: past it :meth:`Producer.room` waits. With Redis away, or
    saying no for a moment, events wait and are sent again under the same sequence, so each is
    stored once; the producers of those that have waited for ``publish_timeout_s`` fail with
    :class:`StoreUnavailable`. What a person must change first is said at once
    (:class:`StoreRefused`). A call that cannot be made or that the log refuses cuts off its
    producer and nobody else.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: BlockingStore | None = None,
        on_death: Callable[[BaseException], object] | None = None,
    ) -> None:
        """``store`` is one to use instead of the one that the settings name.

        ``on_death`` is called, in the publisher's thread, if that ends although it should not:
        from then on nothing is stored, and every caller that emits gets an error that says so.
        """
        self.spans = SpanExport.of(settings, service="stepwire-worker")
        """Where what is stored goes as spans; None: nowhere."""
        self._store = store or _connected(settings)
        self.calls = SessionCalls(self._store, settings)
        self.intake = Intake(settings.buffer_bytes)
        self._on_death = on_death
        self._to_list: dict[str, str] = {}
        """Sessions that the index is to hear of, and their subjects, as far as they are known."""
        self._away: dict[str, _Away] = {}
        """The sessions that Redis takes nothing of at the moment."""
        self._backoff = Backoff()
        self.stored_events = 0
        """How many the log has taken."""
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="stepwire-publisher", daemon=True)
        self._thread.start()

    @property
    def settings(self) -> Settings:
        return self.calls.settings

    @property
    def must_wait(self) -> bool:
        """Whether more than ``buffer_bytes`` wait to be stored: code that emits waits for room."""
        return self.intake.is_full

    @property
    def buffered_bytes(self) -> int:
        """Memory that is held by what waits to be stored, about."""
        return self.intake.buffer.weight

    def producer(
        self,
        name: str,
        session_id: str,
        run_id: str = "",
        attempt: int = 0,
        *,
        create: bool = False,
        subject: str = "",
        trace: TracePlace | None = None,
    ) -> Producer:
        """A new source of events; ``name`` must be unique among all processes, for all time.

        With ``create``, its first event makes the session if it is not there. ``subject`` is whose
        session it is, if that is known; ``trace`` where its spans hang.
        """
        source = Source(name, session_id, run_id, attempt, create, subject, trace)
        return Producer(self.intake, self.calls, source)

    def silent_producer(self, session_id: str) -> Producer:
        """A source for a session that is gone: nothing of it is stored."""
        return Silent(self.intake, self.calls, Source("", session_id))

    def orphan(self) -> None:
        """In a forked child: thread and connection are the parent's, and its lock may be held."""
        self.intake.orphan()

    def close(self) -> None:
        """Store what waits, for a few seconds at most, and end the thread."""
        self._give_up_at = time.monotonic() + _CLOSE_TIMEOUT_S
        self.intake.close(_closed)
        self._thread.join(_CLOSE_TIMEOUT_S * 2)
        self._store.close()
        if self.spans is not None:
            self.spans.close()

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        calls: list[AppendCall] = []
        try:
            while calls := self.intake.take():
                waiting = self._without_overdue(self._commit(calls))
                waits = set(waiting)
                self.intake.settle([call for call in calls if call not in waits])
                if len(waiting) < len(calls):
                    # Redis does take something: what waits goes out again soon.
                    self._backoff.reset()
                calls = waiting
                self._hold(waiting)
                if self._to_list and not self.intake.has_waiting:
                    self._list()
        except BaseException as error:  # noqa: BLE001 - the process must not go on without knowing
            self._died(calls, error)

    def _died(self, calls: list[AppendCall], error: BaseException) -> None:
        logger.critical("the publisher has died: nothing more is stored", exc_info=error)
        try:
            self.intake.lose(partial(_dead, type(error).__name__), calls)
        finally:
            if self._on_death is not None:
                self._on_death(error)

    def _commit(self, calls: list[AppendCall]) -> list[AppendCall]:
        """Store the calls, each session's in their order; those that Redis does not take at the
        moment."""
        waiting: list[AppendCall] = []
        while calls:
            try:
                calls, away = self._send(calls)
            except StoreUnavailable as error:
                away = dict.fromkeys((call.source.session_id for call in calls), str(error))
            except StoreRefused as error:
                logger.error("Redis refuses to store events", extra={"error": str(error)})  # noqa: TRY400 - expected
                for call in calls:
                    self.intake.fail(call.source, error.with_traceback(None))
                break
            except Exception as error:  # noqa: BLE001 - whatever a call holds, it concerns no other
                waiting += self._isolate(calls, error)
                break
            for session_id, why in away.items():
                self._away.setdefault(session_id, _Away(time.monotonic())).why = why
            waiting += [call for call in calls if call.source.session_id in away]
            calls = [call for call in calls if call.source.session_id not in away]
        return waiting

    def _without_overdue(self, calls: list[AppendCall]) -> list[AppendCall]:
        """Fail the producers that have waited for too long; the calls of the others."""
        if not self._away:
            return calls
        now = time.monotonic()
        timeout_s = self.settings.publish_timeout_s
        is_over = now > self._give_up_at
        before = now if is_over else now - timeout_s
        overdue = {
            session_id for session_id, away in self._away.items() if is_over or away.since < before
        }
        for session_id in overdue:
            away = self._away[session_id].why
            logger.error(
                "Redis took nothing for too long: the waiting events fail",
                extra={"session_id": session_id, "error": away},
            )
            why = StoreUnavailable(
                f"Redis has taken nothing for {timeout_s:g} s (STEPWIRE_PUBLISH_TIMEOUT_S): {away}"
            )
            for call in calls:
                if call.source.session_id == session_id and call.since <= before:
                    self.intake.fail(call.source, why)
            self.intake.fail_waiting(session_id, before, why)
        left = [call for call in calls if call.source.failure is None]
        for session_id in overdue - {call.source.session_id for call in left}:
            del self._away[session_id]
        return left

    def _hold(self, calls: list[AppendCall]) -> None:
        """Let calls wait that Redis does not take at the moment. Those of other sessions go on: one
        node of a cluster may be away, or one session on its way to another node."""
        if not calls:
            if self._away and not self.intake.has_held:
                # Their producers have ended, in whatever way.
                self._away.clear()
            return
        delay_s = self._backoff.next_s()
        sessions = {call.source.session_id for call in calls}
        logger.warning(
            "Redis takes nothing at the moment, events wait",
            extra={
                "error": self._away[calls[0].source.session_id].why,
                "sessions": len(sessions),
                "retry_s": delay_s,
            },
        )
        self.intake.hold(calls, delay_s)

    def _isolate(self, calls: list[AppendCall], error: Exception) -> list[AppendCall]:
        """One of the calls cannot be made, packed or understood: find it by sending each alone.
        Returns those that Redis does not take at the moment."""
        if len(calls) > 1:
            waiting: list[AppendCall] = []
            for call in calls:
                # A later call of a session must not overtake one that waits.
                is_behind = any(call.source.session_id == w.source.session_id for w in waiting)
                waiting += [call] if is_behind else self._commit([call])
            return waiting
        [call] = calls
        logger.error("events cannot be stored", extra=_fields(call.source), exc_info=error)
        self.intake.fail(call.source, _not_storable(error))
        return []

    def _send(self, calls: list[AppendCall]) -> tuple[list[AppendCall], dict[str, str]]:
        """One round trip; the calls that must be sent again, and of each session whose calls Redis
        does not take at the moment, what it says.

        After the first call that is to be repeated, the later ones of its producer fail as gaps,
        and are repeated with it: the log takes a producer's events in order only. So are those
        after a call that a full session refused, with what they end.
        """
        calls = [call for call in calls if not call.is_empty and call.source.failure is None]
        sent_at = time.monotonic()
        replies = self._replies(calls, sent_at)
        again: list[AppendCall] = []
        waiting: set[Source] = set()
        away: dict[str, str] = {}
        for number, (call, reply) in enumerate(zip(calls, replies, strict=True)):
            if call.source in waiting:
                again.append(call)
                continue
            error = self._result(calls[number:], reply, sent_at)
            if isinstance(error, StoreUnavailable):
                away[call.source.session_id] = str(error)
            else:
                self._away.pop(call.source.session_id, None)
            if isinstance(error, _SENT_AGAIN):
                waiting.add(call.source)
                again.append(call)
            elif error is not None:
                self._cut_off(call.source, error)
        return again, away

    def _replies(self, calls: list[AppendCall], sent_at: float) -> list[Any]:
        """The reply to each, or the error that it came to.

        Raises:
            StoreUnavailable, StoreRefused: none of them has got through.
        """
        of_session = Counter(call.source.session_id for call in calls)
        appends = [
            call.form(sent_at, is_alone=of_session[call.source.session_id] == 1).call(self.settings)
            for call in calls
        ]
        # Calls of their own: the index need not lie where the sessions do.
        replies = self._store.call_many([*appends, *self._listing(self._to_list)])
        self._to_list = {}
        self._note(replies[len(appends) :])
        return replies[: len(appends)]

    def _list(self) -> None:
        """Tell the index by itself, since nothing else goes out."""
        try:
            replies = self._store.call_many(self._listing(self._to_list))
        except StepwireError as error:
            # It goes along with the next events.
            self._note([error])
        else:
            self._to_list = {}
            self._note(replies)

    def _listing(self, sessions: Mapping[str, str]) -> list[Call]:
        return [listed_call(self.settings, *session) for session in sessions.items()]

    def _note(self, replies: Sequence[Any]) -> None:
        """The index is not part of a session: a call that it refuses affects nothing else."""
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if errors:
            logger.warning("the list of sessions is behind", extra={"error": str(errors[0])})

    def _result(
        self, calls: list[AppendCall], reply: Any, sent_at: float
    ) -> StepwireError | Unfinished | None:
        """The outcome of the first of these calls, by its reply; None: it is stored."""
        call = calls[0]
        if isinstance(reply, StepwireError):
            return reply
        if isinstance(reply, Exception):
            return _not_storable(reply)
        try:
            result = call.result(reply, sent_at)
        except Exception as error:  # noqa: BLE001 - a reply of another version, say: its producer's
            return _not_storable(error)
        if isinstance(result, Appended):
            call.source.stored(result.top)
            self.stored_events += result.stored
            if self.spans is not None and call.source.trace is not None:
                _make_spans(self.spans, call.source.trace, call)
            if call.prepared().is_listed and result.top.epoch:
                self._is_to_list(call.source)
            return None
        if isinstance(result, SessionFull):
            logger.warning("a session is full", extra=_fields(call.source, result))
            self.intake.refused(result, calls)
        return result

    def _is_to_list(self, source: Source) -> None:
        if len(self._to_list) < _MOST_TO_LIST or source.session_id in self._to_list:
            self._to_list[source.session_id] = source.subject or self._to_list.get(
                source.session_id, ""
            )

    def _cut_off(self, source: Source, error: StepwireError) -> None:
        if not isinstance(error, RunEnded):
            logger.warning("a producer is cut off", extra=_fields(source, error))
        self.intake.fail(source, error)


def _make_spans(spans: SpanExport, place: TracePlace, call: AppendCall) -> None:
    """What has ended is a span once it is stored: that of a stale attempt never is."""
    for event in call.prepared().events:
        if event.type == STEP_END:
            spans.step(place, event.payload)
        elif event.type == RUN_END:
            spans.run(place, call.source.session_id, event.payload)


def _fields(source: Source, reason: StepwireError | None = None) -> dict[str, str]:
    fields = {"session_id": source.session_id, "run_id": source.run_id}
    return fields if reason is None else fields | {"reason": str(reason)}


def _not_storable(error: Exception) -> ProtocolViolation:
    # Not its repr: that of a UnicodeEncodeError has all of the text in it.
    return ProtocolViolation(f"what was emitted cannot be stored: {type(error).__name__}: {error}")


def _connected(settings: Settings) -> BlockingStore:
    # Here, so that a process loads redis-py when it connects, and not by `import stepwire`.
    from stepwire_core.redis.topologies.opening import connect_blocking_to

    return connect_blocking_to(settings.redis_url)


def _closed() -> StoreUnavailable:
    return StoreUnavailable("this process is shutting down; nothing more is stored")


def _dead(why: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"the thread that stores events has ended by {why}: a fault in stepwire, please report it; "
        "start this process anew"
    )
