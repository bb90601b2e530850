"""A producer as the buffer knows it: its name, how far it has come, and why it goes no further."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from stepwire._transport.tail_places import TailPlaces
from stepwire_core.errors import SessionFull, StepwireError
from stepwire_core.log.event_log import Batch
from stepwire_core.values.ids import emitter_producer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from stepwire_core.tracing.place import TracePlace
    from stepwire_core.values.cursor import Cursor
    from stepwire_core.wire.events import NewEvent

E = TypeVar("E", bound=StepwireError)

Answer = tuple["Future[None]", StepwireError | None]
"""The future of a flush, and the error that it gets; None: all is stored."""


def fresh(error: E) -> E:
    """The same error, never raised before.

    An exception that is raised again and again keeps every traceback, with all that their frames
    hold.
    """
    return copy(error)


@dataclass(slots=True, eq=False)
class Source:
    """The state of a producer; changed only in the operations of the buffer."""

    name: str
    session_id: str
    run_id: str = ""
    attempt: int = 0
    create: bool = False
    """Its first batch makes the session if it is not there."""
    subject: str = ""
    """Whose session it is, if that is known."""
    trace: TracePlace | None = None
    """Where its spans hang; None: it is in no trace."""
    failure: StepwireError | None = None
    """Why nothing more of it is stored. Never raised itself: see :func:`fresh`."""
    full: SessionFull | None = None
    """Set once its session has refused something for want of room. Never raised itself, either."""
    full_was_reported: bool = False
    is_ending: bool = False
    """It takes what ends something, and nothing else."""
    has_ended: bool = False
    taken: int = 0
    settled: int = 0
    """How many of its events are stored, or never will be."""
    flushes: list[tuple[int, Future[None]]] = field(default_factory=list)
    """The flushes that wait for its events, each with the number of the last one."""
    places: TailPlaces = field(default_factory=TailPlaces)
    """Where its texts go on."""
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

    def unreported_error(self) -> StepwireError | None:
        """The error that a flush raises: that the session is full only if it was not raised yet."""
        if self.failure is not None:
            return fresh(self.failure)
        if self.full is None or self.full_was_reported:
            return None
        self.full_was_reported = True
        return fresh(self.full)

    def flush(self, future: Future[None]) -> list[Answer]:
        """Answer ``future`` when all that it has put in so far is over; the answers due now."""
        if self.failure is not None:
            return [(future, fresh(self.failure))]
        self.flushes.append((self.taken, future))
        return self.due()

    def due(self) -> list[Answer]:
        """The answers to those flushes that wait for nothing any more."""
        if not self.flushes:
            return []
        due = [future for up_to, future in self.flushes if up_to <= self.settled]
        # They are in the order of their numbers.
        self.flushes = self.flushes[len(due) :]
        return [(future, self.unreported_error()) for future in due]

    def fail(self, error: StepwireError) -> list[Answer]:
        """Nothing more of it is stored; every flush is told the first reason."""
        if self.failure is None:
            self.failure = error
        flushes, self.flushes = self.flushes, []
        return [(future, fresh(self.failure)) for _, future in flushes]
