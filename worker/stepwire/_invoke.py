"""Calls the user's handlers: every way in which one can end is an :class:`Ending`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from stepwire._context import Frame, enter_frame, leave_frame
from stepwire._ending import CANCELLED, Ending
from stepwire._handlers import Feedback, Handlers, takes_argument
from stepwire._message import Message
from stepwire._signals import Cancellable, Signals
from stepwire_core.documents import (
    ON_CHAT_RESUME,
    ON_FEEDBACK,
    ON_MESSAGE,
    ON_STOP,
    ErrorInfo,
)
from stepwire_core.errors import HandlerNotFound, SessionFull, ValueTooLarge
from stepwire_core.json_values import encoded
from stepwire_core.text import require_size

if TYPE_CHECKING:
    from stepwire._context import Scope
    from stepwire_core.log import EventLog
    from stepwire_core.queue import RunRequest
    from stepwire_core.settings import Settings

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
        """Call the handler; every way it can end is an :class:`Ending`."""
        fields = {"session_id": scope.session_id, "run_id": scope.run_id, "handler": scope.handler}
        token = enter_frame(Frame(scope))
        timeout_s = self._handlers.policy(request.handler).timeout_s
        limit_s = self._settings.run_timeout_s if timeout_s is None else timeout_s
        limit = asyncio.timeout(limit_s)
        # A task of its own, so that what is cancelled is the handler and not the worker's own task.
        task = asyncio.create_task(self._handler(request, scope))
        asked = Cancellable(scope.session_id, scope.run_id, task)
        try:
            with self._watching(asked):
                async with limit:
                    result = await task
        except asyncio.CancelledError as stopped:
            if asked.requested and not _cancelling():
                return CANCELLED
            logger.warning("run interrupted", extra=fields)
            return Ending("interrupted", STOPPED_WORKER, stopped)
        except TimeoutError as error:
            if not limit.expired():
                return _failed(error, fields)
            logger.warning("run timed out", extra=fields)
            where = "STEPWIRE_RUN_TIMEOUT_S" if timeout_s is None else "timeout_s of the handler"
            message = f"it took longer than {limit_s:g} s ({where})"
            return Ending("error", ErrorInfo(type="RunTimeout", message=message), cause=error)
        except Exception as error:  # noqa: BLE001 - the boundary to the user's code
            return _failed(error, fields)
        finally:
            leave_frame(token)
        if asked.requested:
            return CANCELLED
        return self._outcome(request, result)

    def _outcome(self, request: RunRequest, result: object) -> Ending:
        """The end of a handler that has returned; who awaits its result gets it as JSON."""
        if not request.awaited:
            return Ending("ok")
        what = f"the result of task {request.handler!r}"
        try:
            text = encoded(result)
            require_size(what, text, self._settings.max_event_bytes)
        except ValueTooLarge as error:
            return Ending("error", ErrorInfo.of(error))
        except ValueError as error:
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
        token = enter_frame(Frame(scope))
        try:
            async with asyncio.timeout(ON_STOP_TIMEOUT_S):
                await _invoke(function)
        except Exception:
            logger.exception("on_stop failed", extra={"run_id": scope.run_id})
        finally:
            leave_frame(token)

    async def _handler(self, request: RunRequest, scope: Scope) -> object:
        if request.handler == ON_CHAT_RESUME and ON_CHAT_RESUME not in self._handlers.functions:
            return None
        function = self._handlers.get(request.handler)
        if request.handler in _GIVES_ARGUMENT:
            given = (await self._argument(request, scope),) if takes_argument(function) else ()
            return await _invoke(function, *given)
        return await _invoke(function, **request.arguments)

    async def _argument(self, request: RunRequest, scope: Scope) -> object:
        """What a handler gets that may take one thing, or nothing."""
        if request.message is not None:
            elements = await asyncio.to_thread(scope.downloads.fetch, scope, request.elements)
            return Message._received(request.message, scope, elements)
        if request.handler == ON_FEEDBACK:
            return Feedback._of(request.session_id, request.arguments)
        snapshot = await self._log.snapshot(request.session_id)
        thread = snapshot.model_dump(mode="json", include={"steps", "elements", "feedback"})
        return {"id": request.session_id, "metadata": dict(scope.user or {}), **thread}


_GIVES_ARGUMENT: Final = frozenset({ON_MESSAGE, ON_CHAT_RESUME, ON_FEEDBACK})


def _cancelling() -> bool:
    """Whether the running task itself is being cancelled, as by a worker that stops."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _invoke(function: Callable[..., Any], *args: Any, **kwargs: Any) -> object:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    # A synchronous handler gets a thread, with the context, so that it blocks only itself.
    result = await asyncio.to_thread(function, *args, **kwargs)
    return await result if isinstance(result, Awaitable) else result


def _failed(error: Exception, fields: dict[str, str]) -> Ending:
    # Our own errors say what to do; a traceback helps with those of the handler.
    detail = error if not isinstance(error, HandlerNotFound) else None
    logger.error("handler failed", extra=fields | {"error": str(error)}, exc_info=detail)
    # In a session that is full another attempt shows no more than this one.
    cause = None if isinstance(error, SessionFull) else error
    return Ending("error", ErrorInfo.of(error), cause=cause)
