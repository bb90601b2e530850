"""Where a step is emitted to, and what it nests under."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from stepwire._scope.thread_calls import Calls
from stepwire_core.errors import NoActiveSession

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from stepwire._transport.producer import Producer
    from stepwire._transport.signals import Signals
    from stepwire._tree.received_files import Downloads
    from stepwire._tree.step import Step
    from stepwire_core.wire.documents import EndStatus
    from stepwire_core.wire.run_request import RunRequest

logger = logging.getLogger("stepwire.context")


Resting = Callable[[], AbstractAsyncContextManager[object]]
"""While the block runs, a handler waits for something, and others may have its slot."""


class Open(Protocol):
    """Something that was begun and has to be ended: a step, a message, a question."""

    def _end(self, status: EndStatus) -> None: ...


class Enqueues(Protocol):
    """Hands runs to workers; ``RunQueue`` is the real one."""

    async def enqueue(self, request: RunRequest, /) -> None: ...

    async def has(self, run_id: str, /) -> bool: ...


class Inner(Protocol):
    """A step that a library's own context has around the running code."""

    @property
    def step(self) -> Step: ...

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


@dataclass(frozen=True, slots=True)
class Scope:
    """One attempt of a run, or one emitter, in this process: what its steps have in common."""

    producer: Producer
    handler: str
    downloads: Downloads
    """The files that people have sent."""
    default_parent_id: str | None = None
    """What steps nest under that no other step is around: the message that started the run."""
    user: dict[str, Any] | None = None
    """The user session of a run; None outside runs."""
    handed_out: dict[str, str] = field(default_factory=dict)
    """Of its lists and dicts that a handler has, the JSON that is stored of them."""
    loop: AbstractEventLoop | None = None
    """Where the handler runs."""
    signals: Signals | None = None
    """How the handler hears of a person's answer; None: it has to look."""
    resting: Resting = nullcontext
    """While the block runs, the handler waits for a person and takes no place in the worker."""
    subject: str | None = None
    """Who has asked for the run, and so for what it enqueues."""
    priority: int = 0
    queue: Enqueues | None = None
    """Where tasks go that the handler awaits; None: it has to connect."""
    calls: Calls = field(default_factory=Calls)
    """The calls of the handler's threads that wait for its loop."""
    open: dict[str, Open] = field(default_factory=dict)
    """Begun and not ended, in the order of their beginnings."""
    libraries: list[Library] = field(default_factory=list)
    """Those that have shown steps here. In most runs none, and then nobody is asked anything."""

    @property
    def session_id(self) -> str:
        return self.producer.session_id

    @property
    def run_id(self) -> str:
        return self.producer.run_id

    @property
    def attempt(self) -> int:
        return self.producer.attempt

    def end_open(self, status: EndStatus) -> None:
        """End what was left open (sent by hand, or in a task nobody awaited), the latest first."""
        if self.producer.failure is not None:
            # Nothing more can be stored: whoever took over, or deleted the session, has seen to it.
            self.open.clear()
        for id_, item in reversed(list(self.open.items())):
            try:
                item._end(status)
            except Exception:
                # A handler may have put anything into it. The other open steps are ended anyway.
                logger.exception("something could not be ended properly", extra={"id": id_})


@dataclass(frozen=True, slots=True)
class Frame:
    """An immutable place in the tree: a task or thread that copies the context keeps it."""

    scope: Scope
    step: Step | None = None

    @property
    def parent_id(self) -> str | None:
        """The enclosing step, else what the scope names."""
        return self.step.id if self.step is not None else self.scope.default_parent_id


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
    return _frame.set(frame)


def leave_frame(token: Token[Frame | None]) -> None:
    try:
        _frame.reset(token)
    except ValueError:
        # A generator may be closed in another context than the one it ran in; that one is gone.
        return


@dataclass(frozen=True, slots=True)
class Session:
    """The session that the running code belongs to."""

    id: str


class Context:
    """What runs now: ``cl.context``."""

    @property
    def session(self) -> Session:
        """The current session.

        Raises:
            NoActiveSession: outside any handler.
        """
        return Session(current_frame("context.session").scope.session_id)

    @property
    def run_id(self) -> str | None:
        """The current run; None for code that emits into a session without one.

        Raises:
            NoActiveSession: outside any handler.
        """
        return current_frame("context.run_id").scope.run_id or None

    @property
    def current_step(self) -> Step | None:
        """The innermost step around the running code, or None."""
        frame = _frame.get()
        return None if frame is None else innermost(frame).step


context: Context = Context()
"""Where the running code stands: the session, the run, the step around it."""
