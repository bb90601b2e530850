"""Where a step is emitted to, and what it nests under."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from stepwire._scope.file_folder import FileFolder
from stepwire._scope.span_context import Entered, current_span, enter_span, leave_span
from stepwire_core.errors import NoActiveSession

if TYPE_CHECKING:
    from stepwire._scope.run_context import RunContext
    from stepwire._transport.producer import Producer
    from stepwire_core.values.trace_context import TraceContext
    from stepwire_core.wire.words import EndStatus

logger = logging.getLogger("stepwire.context")


End = Callable[["EndStatus"], object]
"""Ends something that was begun: a step, a message, a question."""


class Place:
    """A step under which others nest."""

    id: Any
    """Its id, a text. Steps check it where it is assigned, so they have a descriptor here."""


class Inner(Protocol):
    """A step that a library's own context has around the running code."""

    @property
    def step(self) -> Place: ...

    @property
    def number(self) -> int:
        """Of two that are around the same code, the inner one has the higher number."""
        ...


class Library(Protocol):
    """Somebody else's code that keeps its own account of what runs inside what.

    Between our ``with`` blocks it has steps that no frame of ours knows: it may enter them in a
    context that we never see. So it is asked, whenever a place in the tree is needed.
    """

    def inside(self, frame: Frame) -> Inner | None:
        """Its innermost step that began in ``frame`` and is around the running code; never raises.

        A step that began in another frame is not inside this one: this one was entered in it.
        """
        ...


@dataclass(slots=True)
class Cancellation:
    """How steps end that a cancellation leaves."""

    status: EndStatus = "cancelled"
    """``interrupted`` once the attempt itself is cut short: out of time, or its worker stops."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One attempt of a run, or one emitter, in this process: what its steps need."""

    producer: Producer
    default_parent_id: str | None = None
    """The parent of steps that no other step is around: the message that started the run."""
    run: RunContext | None = None
    """All that only a run has; None outside runs."""
    files: FileFolder = field(default_factory=FileFolder)
    """Where the files that people have sent are put."""
    open: dict[str, End] = field(default_factory=dict)
    """How to end what was begun and not ended, by its id, in the order of the beginnings."""
    cancellation: Cancellation = field(default_factory=Cancellation)
    libraries: list[Library] = field(default_factory=list)
    """The libraries that have shown steps here. Most runs have none, and pay nothing for them."""

    @property
    def session_id(self) -> str:
        return self.producer.session_id

    @property
    def run_id(self) -> str:
        return self.producer.run_id

    @property
    def attempt(self) -> int:
        return self.producer.attempt

    def require_run(self, what: str) -> RunContext:
        """What only a run has, for ``what`` works only in one.

        Raises:
            NoActiveSession: this is not a run.
        """
        if self.run is None:
            raise NoActiveSession(what)
        return self.run

    def end_open(self, status: EndStatus) -> None:
        """End what was left open, the latest first: what was sent by hand, or in a task that the
        handler did not await."""
        if self.producer.failure is not None:
            # Nothing more can be stored: the worker that took over, or the session's deletion, has
            # ended these steps.
            self.open.clear()
        for id_, end in reversed(list(self.open.items())):
            try:
                end(status)
            except Exception:
                # A handler may have put anything into it. The other open steps are ended anyway.
                logger.exception("something could not be ended properly", extra={"id": id_})

    def close(self) -> None:
        """The block or the run is over: nothing waits for it, and its files are deleted."""
        if self.run is not None:
            self.run.calls.close()
        self.files.close()


@dataclass(frozen=True, slots=True)
class Frame:
    """An immutable place in the tree: a task or thread that copies the context keeps it."""

    scope: Scope
    step: Place | None = None
    outside: Entered | None = field(default=None, compare=False)
    """Of code in a trace, what OpenTelemetry's context was around it."""

    @property
    def span(self) -> TraceContext | None:
        """The span around the code in it; None: it is in no trace."""
        producer = self.scope.producer
        if producer.trace is None:
            return None
        return producer.trace.inside(
            producer.session_id, producer.run_id, producer.attempt, self.parent_id
        )

    @property
    def parent_id(self) -> str | None:
        """The enclosing step, else what the scope names."""
        if self.step is None:
            return self.scope.default_parent_id
        parent_id: str = self.step.id
        return parent_id


_frame: ContextVar[Frame | None] = ContextVar("stepwire_frame", default=None)


def current_frame(what: str) -> Frame:
    """Where the code that runs now is in the tree.

    Raises:
        NoActiveSession: it runs outside any session.
    """
    frame = _frame.get()
    if frame is None:
        raise NoActiveSession(what)
    return innermost(frame) if frame.scope.libraries else frame


def own_frame() -> Frame | None:
    """The innermost frame of ours, whatever a library has begun in it; None outside any session."""
    return _frame.get()


def innermost(frame: Frame) -> Frame:
    """``frame``, or the place that a library has begun in it for the code that runs now."""
    places = [library.inside(frame) for library in frame.scope.libraries]
    found = [place for place in places if place is not None]
    if not found:
        return frame
    return Frame(frame.scope, max(found, key=lambda inner: inner.number).step)


def enter_frame(frame: Frame) -> Token[Frame | None]:
    if frame.scope.producer.trace is not None:
        frame = replace(frame, outside=enter_span(frame.span))
    return _frame.set(frame)


def leave_frame(token: Token[Frame | None]) -> None:
    left = _frame.get()
    try:
        _frame.reset(token)
    except ValueError:
        # A generator may be closed in another context than the one it ran in; that one is gone.
        return
    if left is not None and left.outside is not None:
        leave_span(left.outside)


def trace_here() -> TraceContext | None:
    """The span around the running code: a step's, a run's, or one of OpenTelemetry's."""
    frame = _frame.get()
    return (None if frame is None else frame.span) or current_span()
