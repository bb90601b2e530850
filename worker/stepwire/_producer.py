"""A producer: one ordered source of events, and what it has waiting in the publisher."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.events import ALWAYS_TAKEN, NewEvent, delta_event
from stepwire_core.ids import emitter_producer
from stepwire_core.log import Appended, Batch, Registration
from stepwire_core.text import require_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from stepwire._publisher import Publisher
    from stepwire_core.documents import TextField
    from stepwire_core.errors import SessionFull, StepwireError
    from stepwire_core.events import Op


_OF_ANY_SIZE: Final[Mapping[Op, str]] = {
    "Q": "what is asked",
    "U": "a value of the user session",
}
"""Events whose parts have no limits of their own, as those of a step have."""


@dataclass(slots=True)
class PendingDelta:
    """Adjacent deltas of one step, merged while they wait."""

    step_id: str
    field: TextField
    replace: bool
    parts: list[str]
    size: int

    def event(self) -> NewEvent:
        return delta_event(
            self.step_id, "".join(self.parts), field=self.field, replace=self.replace
        )


@dataclass(slots=True)
class PendingCall:
    """Events of one producer that go to the log in one script call."""

    producer: Producer
    pending: list[NewEvent | PendingDelta] = field(default_factory=list)
    size: int = 0
    published: int = 0
    batch: Batch | None = None
    forgets: bool = False
    """Nothing is pending: it lets the log forget the producer."""

    def prepared(self) -> Batch:
        """The batch, built once: a repeated call carries the same sequence."""
        if self.batch is None and self.forgets:
            self.batch = self.producer._last_batch()
        elif self.batch is None:
            self.batch = self.producer._next_batch(
                [item.event() if isinstance(item, PendingDelta) else item for item in self.pending]
            )
        return self.batch

    def keep_what_fits(self) -> None:
        """Let go of all that a full session does not take, and of the end of the run: that was
        written as if all before it were stored."""
        self.batch = None
        self.pending = [item for item in self.pending if fits_always(item)]


def fits_always(item: NewEvent | PendingDelta) -> bool:
    """Whether a full session takes it; the end of a run, which it takes too, is not meant."""
    if isinstance(item, PendingDelta):
        return False
    return item.type in ALWAYS_TAKEN or (item.op == "U" and not item.payload)


class Producer:
    """One attempt of a run in this process: the source of an ordered sequence of events.

    Its methods may be called from any thread. Events of one session are stored in the order of the
    calls, whichever producer of this process they came from.
    """

    def __init__(
        self,
        publisher: Publisher,
        name: str,
        session_id: str,
        *,
        run_id: str,
        attempt: int,
        create: bool,
    ) -> None:
        self.session_id = session_id
        self.run_id = run_id
        self.attempt = attempt
        self.publisher = publisher
        self._name = name
        self.creates = create
        self._next = 1
        self._epoch = ""
        self._failure: StepwireError | None = None
        self._full: SessionFull | None = None
        self._full_was_told = False
        self._ended = False
        self._lock = threading.RLock()

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Who holds it begins, ends or removes something, or ends the run, as one. Reentrant."""
        # In a forked child, the thread that holds it may be the parent's.
        return nullcontext() if self.publisher._orphaned else self._lock

    @property
    def failure(self) -> StepwireError | None:
        """Why this producer can store nothing more, or None."""
        return self._failure

    @property
    def full(self) -> SessionFull | None:
        """That the session took something of this producer no more; it still takes what ends or
        removes something, and the end of the run."""
        return self._full

    def publish(self, *events: NewEvent) -> None:
        """Take events; they are stored soon, in this order. Never blocks.

        Raises:
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: this producer is cut off.
            SessionFull: the session is full, and none of the events ends anything; otherwise those
                that do are taken.
            ValueTooLarge: one is larger than ``STEPWIRE_MAX_EVENT_BYTES``; none was taken.
        """
        for event in events:
            if what := _OF_ANY_SIZE.get(event.op):
                require_size(what, event.payload, self.publisher.settings.max_event_bytes)
        self.publisher._take(self, events)

    def publish_end(self, *events: NewEvent, full: SessionFull | None) -> None:
        """Take the end of the run, written with the knowledge of ``full``, as :attr:`full` says it.
        Nothing can follow it: who still publishes, such as a thread that was not waited for, gets
        :class:`RunEnded`.

        Raises: as :meth:`publish`.
            SessionFull: the session has turned out to be full since then; nothing was taken.
        """
        self.publisher._take_end(self, events, full)

    def delta(self, step_id: str, text: str, *, field: TextField, replace: bool) -> None:
        """Take a piece of text; pieces that wait side by side are stored as one event.

        Raises: as :meth:`publish`.
        """
        self.publisher._take_delta(self, step_id, text, field, replace)

    @property
    def max_text_chars(self) -> int:
        """Characters of one input or output of a step."""
        return self.publisher.max_text_chars

    @property
    def max_metadata_chars(self) -> int:
        """Characters of a step's metadata, as JSON."""
        return self.publisher.settings.max_metadata_chars

    async def room(self) -> None:
        """Wait until the process's buffer has room; at once in the common case."""
        if self.publisher.full:
            await asyncio.wrap_future(self.publisher._room())

    def room_sync(self) -> None:
        """The same, for code without an event loop."""
        if self.publisher.full:
            self.publisher._room().result()

    async def flush(self) -> None:
        """Wait until all that was taken so far is stored.

        Raises:
            RunFenced, RunEnded, SessionNotFound, StoreUnavailable: some of it cannot be.
            SessionFull: what this producer sent was refused, apart from what ends a step or an ask;
                said once, here or by :meth:`publish`. An end of the run that was on its way with it
                is not stored.
        """
        await asyncio.wrap_future(self.publisher._flushed(self))

    def flush_sync(self) -> None:
        """The same, for code without an event loop."""
        self.publisher._flushed(self).result()

    def forget(self) -> None:
        """Let the log forget this emitter, which has flushed. What is published all the same, by a
        task that outlives its block, comes under a new name.

        It is not waited for: a log that does not hear of it keeps a number that nobody asks for.
        """
        self.publisher._forget(self)

    async def state(self, fields: Sequence[str]) -> list[bytes | None]:
        """Documents of the session's state as JSON, by their fields in it; None: not there.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return await asyncio.to_thread(self.publisher.state, self.session_id, fields)

    async def result(self, run_id: str) -> dict[str, Any] | None:
        """What an awaited run has come to; None: it has not. It is handed over once.

        Raises:
            SessionNotFound: the session is gone.
            StoreUnavailable: Redis does not answer.
        """
        return await asyncio.to_thread(self.publisher.result, self.session_id, run_id)

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
        await asyncio.to_thread(self.publisher.register, registration)

    async def cancel(self, run_id: str) -> None:
        """Ask for a run of the session to be cancelled.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        await asyncio.to_thread(self.publisher.cancel, self.session_id, run_id)

    def _next_batch(self, events: list[NewEvent]) -> Batch:
        batch = Batch(
            self.session_id,
            events,
            producer=self._name,
            first=self._next,
            known_epoch=self._epoch,
            run_id=self.run_id,
            attempt=self.attempt,
            create=self.creates,
            closing=self._full is not None,
        )
        self.creates = False
        self._next += len(events)
        return batch

    @property
    def _is_known(self) -> bool:
        """Whether the log has a number of it."""
        return self._next > 1 and self._failure is None

    def _last_batch(self) -> Batch:
        batch = Batch(self.session_id, (), producer=self._name, forget=True)
        self._name, self._next = emitter_producer(), 1
        return batch

    def _stored(self, appended: Appended) -> None:
        self._epoch = str(appended.top.epoch)

    def _refused(self, batch: Batch, full: SessionFull) -> None:
        """Nothing of that batch is stored: what follows is numbered in its place."""
        self._full = full
        self._next = batch.first


class Silent(Producer):
    """What belongs to a session that is gone: nobody is left to see it, so nothing is stored."""

    def __init__(self, publisher: Publisher, session_id: str) -> None:
        super().__init__(publisher, "", session_id, run_id="", attempt=0, create=False)

    def publish(self, *events: NewEvent) -> None:
        """Let go of the events."""

    def delta(self, step_id: str, text: str, *, field: TextField, replace: bool) -> None:
        """Let go of the text."""
