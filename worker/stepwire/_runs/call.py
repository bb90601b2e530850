"""Calls the user's handlers: every way in which one can end is an :class:`Ending`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from stepwire._asking.waiting import patiently
from stepwire._elements.received_files import fetch
from stepwire._handlers.registry import Handlers, feedback_of, takes_argument
from stepwire._runs.outcome import CANCELLED, Ending
from stepwire._runs.start_page import choose_profile
from stepwire._runs.user_code import Cut, UserCode, invoke
from stepwire._scope.context import Frame, enter_frame, leave_frame
from stepwire._scope.user_session import visible
from stepwire._transport.signals import Cancellable, Signals
from stepwire._transport.threads import in_thread
from stepwire._tree.action import clicked
from stepwire._tree.message import ReceivedMessage
from stepwire._values.tracebacks import traceback_of
from stepwire_core.errors import (
    HandlerNotFound,
    SessionFull,
    StoreRefused,
    ValueTooLarge,
)
from stepwire_core.values.json_values import encoded
from stepwire_core.values.text import require_size
from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.words import (
    ON_CHAT_RESUME,
    ON_CHAT_START,
    ON_FEEDBACK,
    ON_MESSAGE,
    ON_SETTINGS_EDIT,
    ON_SETTINGS_UPDATE,
    ON_STOP,
    REPLACES,
    is_action,
)

if TYPE_CHECKING:
    from stepwire._elements.element_base import Element
    from stepwire._scope.context import Scope
    from stepwire._tree.message import Trigger
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.settings import Settings
    from stepwire_core.wire.documents import StepDocument
    from stepwire_core.wire.run_request import RunRequest

logger = logging.getLogger("stepwire.run")

ON_STOP_TIMEOUT_S: Final = 10.0

STOPPED_WORKER: Final = ErrorInfo(
    type="WorkerStopped", message="the worker was stopped before this ended"
)


class Invoker:
    """The handlers of one module, each called in the place in the tree where it belongs."""

    def __init__(
        self, handlers: Handlers, log: EventLog, signals: Signals | None, settings: Settings
    ) -> None:
        self._handlers = handlers
        self._log = log
        self._signals = signals
        self._settings = settings

    async def call(self, request: RunRequest, scope: Scope) -> Ending:
        """Call the handler; every way it can end is an :class:`Ending`.

        Raises:
            StoreRefused: what it needs of Redis is refused, until a person changes something.
        """
        fields = {
            "session_id": scope.session_id,
            "run_id": scope.run_id,
            "handler": request.handler,
        }
        timeout_s = self._handlers.policy(request.handler).timeout_s
        limit_s = self._settings.run_timeout_s if timeout_s is None else timeout_s
        handler = _begun(self._handler(request, scope), scope)
        asked = Cancellable(scope.session_id, scope.run_id, handler.cancel)
        with self._watching(asked):
            outcome = await handler.outcome(limit_s)
        if outcome.cut == "cancelled" or asked.requested:
            return CANCELLED
        if outcome.cut == "stopped":
            logger.warning("run interrupted", extra=fields)
            return Ending("interrupted", STOPPED_WORKER, outcome.stopped)
        if outcome.cut == "timeout":
            logger.warning("run timed out", extra=fields)
            where = "STEPWIRE_RUN_TIMEOUT_S" if timeout_s is None else "timeout_s of the handler"
            message = f"it took longer than {limit_s:g} s ({where})"
            error = ErrorInfo(type="RunTimeout", message=message)
            return Ending("error", error, cause=TimeoutError(message))
        if outcome.error is not None:
            return _failed(outcome.error, fields, self._settings)
        return self._outcome(request, outcome.result)

    def _outcome(self, request: RunRequest, result: object) -> Ending:
        """The end of a handler that has returned; code that awaits its result gets it as JSON."""
        if not request.awaited:
            return Ending("ok")
        what = f"the result of task {request.handler!r}"
        try:
            text = encoded(result)
            require_size(what, text, self._settings.max_event_bytes)
        except ValueTooLarge as error:
            return Ending("error", ErrorInfo.of(error))
        except Exception as error:  # noqa: BLE001 - it is the user's object, of any depth
            message = f"{what} has to reach another process: {error}"
            return Ending("error", ErrorInfo(type="InvalidArgument", message=message))
        return Ending("ok", result=json.loads(text))

    def _watching(self, asked: Cancellable) -> AbstractContextManager[None]:
        return nullcontext() if self._signals is None else self._signals.watching(asked)

    async def on_stop(self, scope: Scope) -> None:
        """Let the user's ``on_stop`` clean up; it may show steps, which still belong to the run."""
        function = self._handlers.functions.get(ON_STOP)
        if function is None:
            return
        fields = {"run_id": scope.run_id}
        # A worker that stops meanwhile cuts it short, and the run ends at once.
        own_s = self._handlers.policy(ON_STOP).timeout_s
        limit_s = ON_STOP_TIMEOUT_S if own_s is None else own_s
        outcome = await _begun(invoke(function), scope).outcome(limit_s)
        if outcome.cut is not None:
            logger.error("on_stop was cut short", extra=fields | {"reason": outcome.cut})
        elif outcome.error is not None:
            logger.error("on_stop failed", extra=fields, exc_info=outcome.error)

    async def _handler(self, request: RunRequest, scope: Scope) -> object:
        if request.handler == ON_CHAT_START:
            await choose_profile(self._handlers, scope)
        if request.handler in _MAY_LACK and request.handler not in self._handlers.functions:
            return None
        function = self._handlers.get(request.handler)
        if request.handler in _GIVES_ARGUMENT or is_action(request.handler):
            given = (await self._argument(request, scope),) if takes_argument(function) else ()
            return await invoke(function, *given)
        return await invoke(function, **request.arguments)

    async def _argument(self, request: RunRequest, scope: Scope) -> object:
        """The one argument of a handler that may take it or leave it out."""
        if request.message is not None:
            elements = await self._files(request, scope)
            return ReceivedMessage(
                request.message, scope, elements, _trigger(request.message, request)
            )
        if request.handler == ON_FEEDBACK:
            return feedback_of(request.session_id, request.arguments)
        if is_action(request.handler):
            return clicked(request.arguments)
        if request.handler in (ON_SETTINGS_UPDATE, ON_SETTINGS_EDIT):
            return dict(request.arguments)
        snapshot = await patiently(self._settings, lambda: self._log.snapshot(request.session_id))
        thread = snapshot.model_dump(mode="json", include={"steps", "elements", "feedback"})
        return {
            "id": request.session_id,
            "metadata": {} if scope.run is None else visible(scope.run.user),
            **thread,
        }

    async def _files(self, request: RunRequest, scope: Scope) -> list[Element]:
        if not request.elements:
            return []
        return await patiently(self._settings, lambda: in_thread(fetch, scope, request.elements))


_GIVES_ARGUMENT: Final = frozenset(
    {ON_MESSAGE, ON_CHAT_RESUME, ON_FEEDBACK, ON_SETTINGS_UPDATE, ON_SETTINGS_EDIT}
)
_MAY_LACK: Final = frozenset({ON_CHAT_START, ON_CHAT_RESUME})
"""Handlers whose run is shown, whether or not there is a function to call."""


def _trigger(message: StepDocument, request: RunRequest) -> Trigger:
    if message.run_id != request.run_id:
        # It has started another run, which this one repeats.
        return "regenerate"
    if REPLACES in message.metadata or request.retry_of is not None:
        return "edit"
    return "submit"


def _begun(code: Coroutine[Any, Any, object], scope: Scope) -> UserCode:
    """User code, begun in its place in the tree."""

    def on_cut(cut: Cut) -> None:
        if cut != "cancelled":
            scope.cancellation.status = "interrupted"

    token = enter_frame(Frame(scope))
    try:
        return UserCode(code, on_cut)
    finally:
        leave_frame(token)


def _failed(error: BaseException, fields: dict[str, str], settings: Settings) -> Ending:
    if isinstance(error, StoreRefused):
        raise error
    info = _info(error)
    # Our own errors say what to do; a traceback helps with those of the handler.
    detail = error if not isinstance(error, HandlerNotFound) else None
    if detail is not None and settings.tracebacks != "off":
        # What clients get of it is decided where the end is written (attempt.py).
        info.traceback = traceback_of(error)
    logger.error("handler failed", extra=fields | {"error": info.message}, exc_info=detail)
    # In a session that is full another attempt shows no more than this one.
    cause = None if isinstance(error, SessionFull) else error
    return Ending("error", info, cause=cause)


def _info(error: BaseException) -> ErrorInfo:
    if isinstance(error, asyncio.CancelledError):
        message = "something that the handler awaited was cancelled, although the run was not"
        return ErrorInfo(type="CancelledError", message=message)
    if isinstance(error, SystemExit):
        code = ErrorInfo.of(error).message
        return ErrorInfo(
            type="SystemExit", message=f"sys.exit({code}) ends the run, and not the worker"
        )
    return ErrorInfo.of(error)
