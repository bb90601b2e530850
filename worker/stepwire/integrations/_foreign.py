"""What the integrations share: steps that somebody else's code begins and ends.

A ``with`` block is not to be had there: a callback begins a step and another one ends it, maybe in
another task or thread. And it is their call that our code sits in, so nothing of ours may break it.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from stepwire._context import Frame, _frame, enter_frame, leave_frame
from stepwire._step import Step, _outcome
from stepwire._text import jsonable
from stepwire_core.documents import ErrorInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from types import TracebackType

logger = logging.getLogger("stepwire.integrations")

MAX_OPEN: Final = 10_000
"""Steps of one library that are open at once; past it the oldest is left to the end of its run."""

MAX_SOLID_CHARS: Final = 2_000
"""A longer text without a space is a file in base64; users see its size instead."""

K = TypeVar("K", bound="Hashable")


class Guard(ContextDecorator):
    """``with guard:`` or ``@guard`` around our code in somebody else's call: failures stay inside.

    One is logged with its traceback, the first time of each kind. Cancellations go on.
    """

    def __init__(self, library: str) -> None:
        self._library = library
        self._said: set[type[BaseException]] = set()

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(exc, Exception):
            return False
        if type(exc) not in self._said:
            self._said.add(type(exc))
            logger.warning(
                "a step could not be shown; more of this kind are not logged",
                extra={"library": self._library},
                exc_info=exc,
            )
        return True


class Switch:
    """Something that is put in place once, however often it is asked for, and taken back once.

    Args:
        put: Puts it in place; returns what takes it back.
    """

    def __init__(self, put: Callable[[], Callable[[], None]]) -> None:
        self._put = put
        self._undo: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def on(self) -> Callable[[], None]:
        """Put it in place; returns :meth:`off`."""
        with self._lock:
            if self._undo is None:
                self._undo = self._put()
        return self.off

    def off(self) -> None:
        """Take it back; does nothing if it is not in place."""
        with self._lock:
            undo, self._undo = self._undo, None
        if undo is not None:
            undo()


class OpenSteps(Generic[K]):
    """The open steps of one library, by its own ids, from any thread.

    A step nests under the one that the library names as its parent, in that one's session, else
    under the stepwire step around the running code. Outside any session there is none.
    """

    def __init__(self) -> None:
        self._steps: dict[K, Step] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        key: K,
        parent: K | None,
        *,
        name: str,
        type: str,
        id: str | None = None,
        **fields: Any,
    ) -> Step | None:
        """Start the step of ``key`` (fields: see :func:`begin`); None outside any session."""
        step = begin(self.get(parent), name=name, type=type, id=id, **fields)
        self._keep(key, step)
        return step

    def skip(self, key: K, parent: K | None) -> None:
        """``key`` is not shown: what nests under it nests under its parent."""
        self._keep(key, self.get(parent))

    def get(self, key: K | None) -> Step | None:
        return None if key is None else self._steps.get(key)

    def pop(self, key: K) -> Step | None:
        """The step of ``key``, which is over; None if it was not shown."""
        with self._lock:
            return self._steps.pop(key, None)

    def _keep(self, key: K, step: Step | None) -> None:
        if step is None:
            return
        with self._lock:
            self._steps[key] = step
            if len(self._steps) > MAX_OPEN:
                del self._steps[next(iter(self._steps))]


def begin(
    parent: Step | None,
    *,
    name: str,
    type: str,
    id: str | None = None,
    input: object = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
) -> Step | None:
    """A step that has started, under ``parent`` or else the step around the running code.

    None outside any session: there is nobody to show it to.
    """
    frame = _frame.get()
    if parent is not None and parent._scope is not None:
        frame = Frame(parent._scope, parent)
    if frame is None:
        return None
    step = Step(name=name, type=type, id=id, metadata=metadata, tags=tags)
    show_input(step, input)
    token = enter_frame(frame)
    try:
        step._started()
    finally:
        leave_frame(token)
    return step


def show_input(step: Step, value: object) -> None:
    """Set the input of a step, visibly; None leaves it."""
    if value is not None:
        step.show_input = step._set("input", concise(value)) or True


def end(
    step: Step,
    *,
    output: object = None,
    metadata: Mapping[str, Any] | None = None,
    error: BaseException | ErrorInfo | None = None,
) -> None:
    """End a step, once; what has been streamed into it stays its output.

    Libraries that tell an error in words give an :class:`ErrorInfo`.
    """
    if output is not None and not step.output:
        step.output = concise(output)
    step.metadata |= {k: v for k, v in (metadata or {}).items() if v not in (None, "", [], {})}
    if step.ended_at is not None:
        step._update()
    elif isinstance(error, ErrorInfo):
        step._end("error", error)
    else:
        step._end(*_outcome(error))


def concise(value: object) -> Any:
    """``value`` in JSON's own types, files in it as a mark with their size."""
    return value if isinstance(value, str) else _without_files(jsonable(value))


def _without_files(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_SOLID_CHARS and value.isascii() and len(value.split(None, 1)) == 1:
            return f"{value[:32]}… ({len(value)} characters)"
        return value
    if isinstance(value, dict):
        return {key: _without_files(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_files(item) for item in value]
    return value
