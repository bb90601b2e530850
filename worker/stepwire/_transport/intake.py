"""Where what emits and the thread that stores meet: the buffer, and the one lock around it.

**The lock.** There is one for all of a publisher: around the buffer, and around what nodes and runs
do as one with it (``Intake.run``). No other lock of stepwire's is taken while it is held, and what
runs under it calls nothing of anybody else's, logs nothing and waits for nothing: documents are
built before, futures are answered afterwards. So there is no second order of locks to have.

**Finalisers.** The garbage collector may run one between any two instructions of any thread, also
of a thread that holds the lock: a generator's ``with cl.Step(…)`` block is left there, or a
``__del__`` emits. The lock lets the same thread in again, which is how it is noticed: what comes
then is put off until the interrupted operation is done, a moment later in the same thread. And a
finaliser never waits, neither for room nor for Redis: the code that it has interrupted may be what
it would wait for.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import weakref
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import get_ident
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from stepwire._transport.buffer import Buffer
from stepwire_core.errors import ForkedProcess, StepwireError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepwire._transport.append_call import AppendCall
    from stepwire._transport.source import Answer, Source
    from stepwire_core.errors import SessionFull
    from stepwire_core.wire.words import TextField

logger = logging.getLogger("stepwire.publisher")

P = ParamSpec("P")
R = TypeVar("R")


class Intake:
    """The buffer of a process, for use by all of its threads; bounded by ``limit_bytes``.

    It takes what it is given, also past the limit: the code that emits waits afterwards, by
    :meth:`room`. So it holds at most one event more of each task and thread. Whatever is done with
    :attr:`buffer` is done inside :meth:`run`.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.buffer = Buffer()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._busy = False
        self._put_off: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._unheard: deque[Exception] = deque(maxlen=100)
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._storing_thread = 0
        self._storing_thread_waits = False
        self._room: list[Future[None]] = []

    def run(self, operation: Callable[..., R], *args: Any) -> R | None:
        """What ``operation`` returns, which runs alone; None if it is put off (see above)."""
        with self._lock:
            if self._busy:
                self._put_off.append((operation, args))
                return None
            self._busy = True
            try:
                if self._put_off:
                    self._catch_up()
                return operation(*args)
            finally:
                self._busy = False
                if self._put_off:
                    self.run(_nothing)
                if self._storing_thread_waits and self.buffer:
                    self._storing_thread_waits = False
                    self._bell.put(None)

    def _catch_up(self) -> None:
        while self._put_off:
            operation, args = self._put_off.popleft()
            try:
                operation(*args)
            except Exception as error:  # noqa: BLE001 - the error of a finaliser reaches no caller
                self._unheard.append(error)

    # -- for code that emits --------------------------------------------------------------------

    def put_delta(
        self, source: Source, step_id: str, text: str, field: TextField, replace: bool
    ) -> bool:
        """As :meth:`Buffer.put_delta`; whether the buffer is full now."""
        # What `run` does, without its calls: this is done for every token.
        with self._lock:
            if self._busy or self._put_off or self._storing_thread_waits:
                self.run(self.buffer.put_delta, source, step_id, text, field, replace)
                return self.is_full
            self._busy = True
            try:
                weight = self.buffer.put_delta(source, step_id, text, field, replace)
            finally:
                self._busy = False
                if self._put_off:
                    self.run(_nothing)
        return weight > self.limit_bytes

    @property
    def is_full(self) -> bool:
        return self.buffer.weight > self.limit_bytes

    def room(self) -> Future[None]:
        """Done when there is room."""
        room: Future[None] = Future()
        self.run(self._room.append, room)
        self._answer([])
        return room

    def flushed(self, source: Source) -> Future[None]:
        """Done when all that the source has put in so far is over, with what it has failed with."""
        done: Future[None] = Future()
        self._answer(self.run(self.buffer.flush, source, done) or ())
        return done

    def may_wait(self) -> bool:
        """Whether the running code is not a finaliser, as far as one can see."""
        if get_ident() == self._storing_thread:
            return False
        with self._lock:
            # Held by this thread already, and busy: this has interrupted it.
            return not self._busy and not in_finaliser()

    # -- for the thread that stores -------------------------------------------------------------

    @property
    def has_waiting(self) -> bool:
        """Whether :meth:`take` would return at once, as far as one can see."""
        return bool(self.run(bool, self.buffer))

    @property
    def has_held(self) -> bool:
        """Whether something waits for its time to go out again; for the thread that stores."""
        return self.buffer.held_for_s is not None

    def take(self) -> list[AppendCall]:
        """Wait for the calls that go out next; none: it is closed, and none are left."""
        self._storing_thread = get_ident()
        while True:
            self._report()
            calls, is_over, wait_s = self.run(self._take) or ([], False, None)
            if calls or is_over:
                return calls
            with suppress(Empty):
                self._bell.get(timeout=wait_s)

    def _take(self) -> tuple[list[AppendCall], bool, float | None]:
        calls = self.buffer.take()
        self._storing_thread_waits = not calls
        wait_s = self.buffer.held_for_s
        return calls, self.buffer.refusal is not None and wait_s is None, wait_s

    def hold(self, calls: Sequence[AppendCall], for_s: float) -> None:
        """As :meth:`Buffer.hold`."""
        self.run(self.buffer.hold, calls, for_s)

    def settle(self, calls: Sequence[AppendCall]) -> None:
        """As :meth:`Buffer.settle`; answers the flushes."""
        self._answer(self.run(self.buffer.settle, calls) or ())

    def fail(self, source: Source, error: StepwireError) -> None:
        """As :meth:`Buffer.fail`; answers the flushes."""
        self._answer(self.run(self.buffer.fail, source, error) or ())

    def fail_waiting(self, session_id: str, before: float, error: StepwireError) -> None:
        """Fail all of a session that have something waiting here since before that moment."""
        for source in self.run(self.buffer.waiting_since, session_id, before) or ():
            self.fail(source, error)

    def refused(self, full: SessionFull, calls: Sequence[AppendCall]) -> None:
        """As :meth:`Buffer.refused`."""
        self.run(self.buffer.refused, full, calls)

    def close(self, refusal: Callable[[], StepwireError]) -> None:
        """Take nothing more; what is here goes out."""
        self.run(setattr, self.buffer, "refusal", refusal)
        self._bell.put(None)

    def lose(self, refusal: Callable[[], StepwireError], calls: Sequence[AppendCall] = ()) -> None:
        """Nothing is stored any more: fail all that wait, these calls among them."""

        def lost() -> Sequence[AppendCall]:
            self.buffer.refusal, self.buffer.is_lost = refusal, True
            return (*calls, *self.buffer.take_all())

        lost_calls = self.run(lost) or ()
        for call in lost_calls:
            self.fail(call.source, refusal())
        self.settle(lost_calls)

    def orphan(self) -> None:
        """In a forked child: the thread that stores is the parent's, and its lock may be held."""
        self.buffer = Buffer()
        self.buffer.refusal, self.buffer.is_lost = ForkedProcess, True
        self._begin()

    def _answer(self, answers: Sequence[Answer]) -> None:
        for future, error in answers:
            if not future.set_running_or_notify_cancel():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        if self._room and not self.is_full:
            for future in self.run(self._exchange_room) or ():
                if future.set_running_or_notify_cancel():
                    future.set_result(None)

    def _exchange_room(self) -> list[Future[None]]:
        room, self._room = self._room, []
        return room

    def _report(self) -> None:
        while self._unheard:
            logger.warning(
                "an event that a finaliser emitted was dropped",
                extra={"reason": str(self._unheard.popleft())},
            )


_FINALISE = weakref.finalize.__call__.__code__


def in_finaliser() -> bool:
    """Whether a generator is being closed here, or ``__del__`` or a ``weakref.finalize`` runs."""
    if isinstance(sys.exception(), GeneratorExit):
        return True
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_code is _FINALISE:
            return True
        frame = frame.f_back
    return False


def _nothing() -> None:
    pass
