"""A producer: one ordered source of events, and the ways to wait until they are stored."""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeVar

from stepwire._transport.source import fresh
from stepwire._transport.threads import short_call
from stepwire_core.log.event_log import Registration
from stepwire_core.values.text import require_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stepwire._transport.append_call import ProgressUpdate
    from stepwire._transport.blobs import ContentStore
    from stepwire._transport.intake import Intake
    from stepwire._transport.session_calls import SessionCalls
    from stepwire._transport.source import Source
    from stepwire_core.errors import SessionFull, StepwireError
    from stepwire_core.settings import Settings
    from stepwire_core.tracing.place import TracePlace
    from stepwire_core.wire.events import NewEvent, Op
    from stepwire_core.wire.words import TextField

R = TypeVar("R")

_OF_ANY_SIZE: Final[Mapping[Op, str]] = {
    "open_ask": "what is asked",
    "keep_value": "a value of the user session",
}
"""Events whose parts have no limits of their own, as those of a step have."""


class Put(Protocol):
    """Puts events in, inside an operation of :meth:`Producer.atomically`."""

    def __call__(self, *events: NewEvent) -> None: ...


class Producer:
    """One attempt of a run in this process: the source of an ordered sequence of events.

    Its methods may be called from any thread, and from finalisers. Events of one session are stored
    in the order of the calls, whichever producer of this process they came from.

    What emits waits for room afterwards: :meth:`room`, or :meth:`room_sync` in synchronous code.
    """

    def __init__(self, intake: Intake, calls: SessionCalls, source: Source) -> None:
        self.session_id = source.session_id
        self.run_id = source.run_id
        self.attempt = source.attempt
        self.calls = calls
        self._source = source
        self._intake = intake
        self.max_text_chars = calls.settings.max_text_chars
        """Characters of one input or output of a step."""
        self.max_metadata_chars = calls.settings.max_metadata_chars
        """Characters of a step's metadata, as JSON."""

    @property
    def settings(self) -> Settings:
        return self.calls.settings

    @property
    def trace(self) -> TracePlace | None:
        """Where its spans hang; None: it is in no trace."""
        return self._source.trace

    @property
    def contents(self) -> ContentStore:
        """Where the bytes of its elements go.

        Raises:
            SettingsError: STEPWIRE_ELEMENTS_URL cannot be used.
        """
        return self.calls.contents

    def put_bytes(self, element_id: str, file: IO[bytes], size: int) -> None:
        """Store the bytes of an element; blocking.

        Raises: as :meth:`ContentStore.put`.
        """
        self.contents.put(self, element_id, file, size)

    @property
    def creates(self) -> bool:
        """Whether its next batch makes the session if it is not there."""
        return self._source.create

    @property
    def failure(self) -> StepwireError | None:
        """Why this producer can store nothing more, or None."""
        return None if self._source.failure is None else fresh(self._source.failure)

    @property
    def full(self) -> SessionFull | None:
        """Set once the session has refused something of this producer; it still takes what ends or
        removes something, and the end of the run. The same object each time; not to be raised."""
        return self._source.full

    def require(self) -> None:
        """Return when new things may be stored.

        Raises: as :meth:`publish`.
        """
        error = self._source.failure or self._source.full
        if error is not None:
            raise fresh(error)

    def publish(self, *events: NewEvent) -> None:
        """Take events; they are stored soon, in this order. Never waits.

        Raises:
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable, StoreRefused: this producer is
                cut off.
            SessionFull: the session is full, and none of the events ends anything; otherwise those
                that do are taken.
            ValueTooLarge: one is larger than ``STEPWIRE_MAX_EVENT_BYTES``; none was taken.
        """
        self._check(events)
        self._intake.run(self._intake.buffer.put, self._source, events)

    def atomically(self, operation: Callable[[Put], R]) -> R | None:
        """Run ``operation``, which may put events in: nothing that any other one does, and no end
        of a run, comes between its parts.

        It must be short and may call nothing of anybody else's, log or wait. In a finaliser that
        has interrupted another one it is put off until that is done; then the result is None, and
        what it raises is lost.

        Raises: as :meth:`publish`, inside the operation.
        """
        return self._intake.run(operation, self._put)

    def _put(self, *events: NewEvent) -> None:
        self._check(events)
        self._intake.buffer.put(self._source, events)

    def _check(self, events: Sequence[NewEvent]) -> None:
        for event in events:
            if what := _OF_ANY_SIZE.get(event.op):
                require_size(what, event.payload, self.settings.max_event_bytes)

    def seal(self) -> None:
        """The run is about to end: take only what ends something, and then its end. Everything else
        raises :class:`RunEnded`, so what is open now is all that there is to end."""
        self._intake.run(self._intake.buffer.seal, self._source)

    def publish_end(self, *events: NewEvent, full: SessionFull | None) -> None:
        """Take the end of the run, written with the knowledge of ``full``, as :attr:`full` says it.
        Nothing can follow it: code that still publishes, such as a thread that was not waited for,
        gets :class:`RunEnded`.

        Raises: as :meth:`publish`.
            SessionFull: the session has turned out to be full since then; nothing was taken.
        """
        self._intake.run(self._intake.buffer.put_end, self._source, events, full)

    def delta(self, step_id: str, text: str, field: TextField, replace: bool) -> bool:
        """Take a piece of text; pieces that wait side by side are stored as one event. Returns
        whether the buffer is full now.

        Raises: as :meth:`publish`.
        """
        return self._intake.put_delta(self._source, step_id, text, field, replace)

    def replace_progress(self, step_id: str, progress: str, ts: str) -> bool:
        """Tell how far a step is in the update of it that waits; False if none waits."""
        return bool(
            self._intake.run(
                self._intake.buffer.replace_progress, self._source, step_id, progress, ts
            )
        )

    def put_progress(self, update: ProgressUpdate, is_current: Callable[[], bool]) -> bool:
        """Take the update of a step that tells how far it is, unless it is outdated by now; whether
        it was taken. Never waits.

        Raises: as :meth:`publish`.
        """
        return self._intake.run(self._put_progress, update, is_current) is not False

    def _put_progress(self, update: ProgressUpdate, is_current: Callable[[], bool]) -> bool:
        if not is_current():
            return False
        self._intake.buffer.put_progress(self._source, update)
        return True

    @property
    def must_wait(self) -> bool:
        """Whether the process's buffer is full: :meth:`room` would wait."""
        intake = self._intake
        return intake.buffer.weight > intake.limit_bytes

    async def room(self) -> None:
        """Wait until the process's buffer has room; at once in the common case.

        It has room again when Redis has taken its events, or after
        ``STEPWIRE_PUBLISH_TIMEOUT_S``, when the producers that waited have failed.
        """
        if self._intake.is_full:
            await asyncio.wrap_future(self._intake.room())

    def room_sync(self) -> None:
        """The same for synchronous code: it blocks the thread, also that of an event loop, since
        nothing else can hold back code that emits there. Returns at once in a finaliser."""
        if self._intake.is_full and self._intake.may_wait():
            self._intake.room().result()

    async def flush(self) -> None:
        """Wait until all that this producer has taken so far is stored.

        Raises:
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable, StoreRefused: some of it cannot
                be.
            SessionFull: what this producer sent was refused, apart from what ends a step or an ask;
                said once, here or by :meth:`publish`. An end of the run that was on its way with it
                is not stored.
        """
        await asyncio.wrap_future(self._intake.flushed(self._source))

    def flush_sync(self) -> None:
        """The same, for code without an event loop. Returns at once in a finaliser."""
        if self._intake.may_wait():
            self._intake.flushed(self._source).result()

    def forget(self) -> None:
        """Let the log forget this emitter, which has flushed. Events of a task that outlives the
        emitter's block are published under a new name.

        It is not waited for: a log that does not hear of it keeps a number that is never asked for.
        """
        self._intake.run(self._intake.buffer.forget, self._source)

    async def state(self, fields: Sequence[str]) -> list[bytes | None]:
        """Documents of the session's state as JSON, by their fields in it; None: not there.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return await short_call(self.calls.state, self.session_id, fields)

    async def result(self, run_id: str) -> dict[str, Any] | None:
        """The result of an awaited run, which is handed over once; None: the run is under way.

        Raises:
            SessionNotFound: the session is gone.
            StoreUnavailable: Redis does not answer.
        """
        return await short_call(self.calls.result, self.session_id, run_id)

    def step_result(self, name: str) -> bytes | None:
        """What an earlier attempt of this run has stored for a durable step. Blocking.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return self.calls.step_result(self.session_id, self.run_id, name)

    async def register(self, run_id: str, work: str) -> None:
        """Make a run known that this one starts.

        Raises:
            SessionNotFound, RunFenced: nothing can be started from here any more.
            StoreUnavailable: Redis does not answer.
        """
        registration = Registration(
            self.session_id,
            run_id,
            work,
            parent_run_id=self.run_id,
            parent_attempt=self.attempt,
        )
        await short_call(self.calls.register, registration)

    async def cancel(self, run_id: str) -> None:
        """Ask for a run of the session to be cancelled.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await short_call(self.calls.cancel, self.session_id, run_id)


class Silent(Producer):
    """The producer of a session that is gone: it stores nothing, as no client can see it."""

    def _put_progress(self, update: ProgressUpdate, is_current: Callable[[], bool]) -> bool:  # noqa: ARG002
        """Let go of the update."""
        return True

    def put_bytes(self, element_id: str, file: IO[bytes], size: int) -> None:
        """Let go of the bytes."""

    def publish(self, *events: NewEvent) -> None:
        """Let go of the events."""

    def delta(self, step_id: str, text: str, field: TextField, replace: bool) -> bool:  # noqa: ARG002
        """Let go of the text."""
        return False

    def _put(self, *events: NewEvent) -> None:
        """Let go of the events."""
