"""Emitting from anywhere: scripts, threads, other task queues, other processes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepwire._scope.context import (
    Frame,
    Scope,
    current_frame,
    enter_frame,
    leave_frame,
    trace_here,
)
from stepwire._transport.process_publisher import process_publisher
from stepwire_core.errors import InvalidArgument, StepwireError
from stepwire_core.tracing.place import TracePlace
from stepwire_core.values.ids import check_id, emitter_producer
from stepwire_core.values.trace_context import TraceContext

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType
    from typing import Self
    from uuid import UUID

logger = logging.getLogger("stepwire.session")

EXPORT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Current:
    """Where the running code stands in the tree: ``cl.current()``."""

    session_id: str
    run_id: str | None
    parent_id: str | None
    """The parent of a step that is opened now: the enclosing step, else the run's message."""
    traceparent: str | None = None
    """The span around the running code (W3C Trace Context), if it is in a trace."""

    def export(self) -> dict[str, Any]:
        """A small JSON-able form, to travel in any message; :func:`attach` continues from it."""
        return {
            "v": EXPORT_VERSION,
            "session_id": self.session_id,
            "parent_id": self.parent_id,
            **({} if self.traceparent is None else {"traceparent": self.traceparent}),
        }


def current() -> Current:
    """Where the running code stands.

    Raises:
        NoActiveSession: outside any session.
    """
    frame = current_frame("current()")
    return Current(
        frame.scope.session_id,
        frame.scope.run_id or None,
        frame.parent_id,
        None if frame.span is None else frame.span.header(),
    )


class session:  # noqa: N801 - used like a function: `with cl.session("id"):`
    """Emit into a session from any code: ``async with cl.session("id"):``, or plain ``with``.

    Steps and messages inside the block go to that session; they belong to no run. The session is
    made if it is not there, by the first thing that is emitted. When the block is left, steps that
    are still open are ended, and what was emitted is stored; only a generator that is closed before
    its end, and a finaliser, go on without waiting for that. Settings come from the environment
    (``STEPWIRE_…``).

    Blocks may be nested and used side by side in tasks and threads; an object is used once at a
    time.

    Raises:
        InvalidId: the session's id has a form that keys and URLs cannot carry.
        StoreUnavailable: on leaving: Redis has taken nothing for ``STEPWIRE_PUBLISH_TIMEOUT_S``.
        StoreRefused: on leaving: Redis refuses it until its set-up is changed.
    """

    _create = True

    def __init__(self, session_id: str | UUID, *, parent_id: str | UUID | None = None) -> None:
        self._session_id = check_id(session_id, "session")
        self._parent_id = None if parent_id is None else check_id(parent_id, "parent")
        self._scope: Scope | None = None
        self._outer: TraceContext | None = None
        self._token: Token[Frame | None] | None = None

    def __enter__(self) -> Self:
        if self._scope is not None:
            raise InvalidArgument("this session block is in use; make another: cl.session(id)")
        name = emitter_producer()
        publisher = process_publisher()
        sample = None if publisher.spans is None else publisher.spans.samples
        trace = TracePlace.of_emitter(self._outer or trace_here(), sample, self._parent_id)
        producer = publisher.producer(name, self._session_id, create=self._create, trace=trace)
        self._scope = Scope(producer, self._parent_id)
        self._token = enter_frame(Frame(self._scope))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope = self._left(exc)
        try:
            scope.producer.flush_sync()
            scope.producer.forget()
        except StepwireError as error:
            self._raise_or_report(error, exc)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope = self._left(exc)
        if isinstance(exc, GeneratorExit):
            # Nobody awaits an async generator that is let go of.
            return
        try:
            await scope.producer.flush()
            scope.producer.forget()
        except StepwireError as error:
            self._raise_or_report(error, exc)

    def _left(self, exc: BaseException | None) -> Scope:
        if self._scope is None or self._token is None:
            raise InvalidArgument("this session block was left without having been entered")
        leave_frame(self._token)
        scope, self._scope, self._token = self._scope, None, None
        scope.end_open("ok" if exc is None else "interrupted")
        scope.close()
        return scope

    def _raise_or_report(self, error: StepwireError, exc: BaseException | None) -> None:
        if exc is None:
            raise error
        # Raised from here it would hide the exception that leaves the block.
        logger.warning(
            "events of a session block could not be stored",
            extra={"session_id": self._session_id, "error": str(error)},
        )


class attach(session):  # noqa: N801 - used like a function: `with cl.attach(context):`
    """Continue elsewhere under the place that ``cl.current().export()`` has named.

    ``async with cl.attach(context):`` or plain ``with``, in whatever process the context has
    travelled to. The steps nest under the step that was open there, and belong to no run: they may
    go on when that run has ended. Otherwise as :class:`session`, but the session must be there.

    Raises:
        InvalidArgument: it is not what ``export()`` returned.
        SessionNotFound: on leaving: the session has gone meanwhile.
    """

    _create = False

    def __init__(self, context: Mapping[str, Any]) -> None:
        known = isinstance(context, Mapping) and context.get("v") == EXPORT_VERSION
        if not known or not {"session_id", "parent_id"} <= context.keys():
            raise InvalidArgument(
                f"cl.attach takes what cl.current().export() returned, not {context!r}"
            )
        super().__init__(context["session_id"], parent_id=context["parent_id"])
        told = context.get("traceparent")
        self._outer = TraceContext.parse(told if isinstance(told, str) else None)
