"""One execution of a handler: from its ``run.start`` to its ``run.end``."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepwire._closing import DEAD_WORKER, closing_events
from stepwire._context import Frame, Scope, enter_frame, leave_frame
from stepwire._downloads import Downloads
from stepwire._handlers import Feedback, Handlers, takes_argument
from stepwire._message import ErrorMessage, Message
from stepwire._producer import Silent
from stepwire._registration import Activity
from stepwire._signals import Cancellable, Signals
from stepwire_core.clock import now
from stepwire_core.dead_letters import DeadLetter, DeadLetters
from stepwire_core.documents import (
    ON_CHAT_END,
    ON_CHAT_RESUME,
    ON_FEEDBACK,
    ON_MESSAGE,
    ON_STOP,
    OPTIONAL_HANDLERS,
    EndStatus,
    ErrorInfo,
    RunDocument,
)
from stepwire_core.errors import HandlerNotFound, RunEnded, SessionNotFound, StepwireError
from stepwire_core.events import run_end_event, run_start_event
from stepwire_core.ids import new_id

if TYPE_CHECKING:
    from stepwire._producer import Producer
    from stepwire._publisher import Publisher
    from stepwire_core.log import EventLog
    from stepwire_core.queue import RunRequest
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.run")

ON_STOP_TIMEOUT_S: Final = 10.0

STOPPED_WORKER: Final = ErrorInfo(
    type="WorkerStopped", message="the worker was stopped before this ended"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended."""

    status: EndStatus
    error: ErrorInfo | None = None
    stopped: asyncio.CancelledError | None = None
    """The worker is stopping: another one may try again, and the cancellation has to go on."""


class Runner:
    """Executes runs: begins the attempt, calls the handler, sends every event up to the end."""

    def __init__(
        self,
        handlers: Handlers,
        log: EventLog,
        publisher: Publisher,
        settings: Settings,
        *,
        signals: Signals | None = None,
        resting: Callable[[], AbstractContextManager[None]] = nullcontext,
        activity: Activity | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        """Without ``signals`` nobody can cancel a run. ``resting`` gives a run's place to others
        while it waits for a person. Without ``dead_letters`` a run that fails is not remembered."""
        self._handlers = handlers
        self._log = log
        self._signals = signals
        self._resting = resting
        self._activity = activity or Activity()
        self._dead_letters = dead_letters
        self._publisher = publisher
        self._settings = settings

    async def execute(self, request: RunRequest, *, tried: int = 0) -> None:
        """Execute one attempt of a run; when it returns, the end of the run is stored.

        A run that is over already, or whose session is gone, is left alone. ``tried`` counts
        attempts of which the log knows nothing, since their session is gone.

        Raises:
            StoreUnavailable: the end could not be stored; the attempt counts as lost.
            RunFenced: another worker has begun a newer attempt.
            asyncio.CancelledError: the worker is stopping; the attempt has ended as
            ``interrupted``.
        """
        missing = request.handler not in self._handlers.functions
        if request.handler == ON_CHAT_END:
            if not missing and tried < self._settings.max_attempts:
                await self._farewell(request)
            return
        if missing and request.handler in OPTIONAL_HANDLERS - {ON_CHAT_RESUME}:
            return
        try:
            await self._execute(request)
        except (RunEnded, SessionNotFound) as error:
            logger.info("nothing to run", extra={"run_id": request.run_id, "reason": str(error)})
            if tried and isinstance(error, RunEnded):
                await self._bury_ended(request)

    async def _execute(self, request: RunRequest) -> None:
        begun = await self._log.begin_run(request.session_id, request.run_id, new_id())
        attempt = begun.attempt
        producer = self._publisher.producer(
            f"{request.run_id}.{attempt}", request.session_id, request.run_id, attempt
        )
        if attempt > 1 and not await self._close_earlier(request, producer):
            return
        scope = self._scope(request, producer, begun.user)
        try:
            with self._activity.running(request, attempt):
                await self._attempt(request, scope, cancelled=begun.cancelled)
        finally:
            scope.downloads.close()

    async def _farewell(self, request: RunRequest) -> None:
        """Let the user's ``on_chat_end`` do what is to be done when a session is gone."""
        producer = Silent(self._publisher, request.session_id)
        scope = self._scope(request, producer, dict(request.user))
        try:
            ending = await self._call(request, scope)
        finally:
            scope.downloads.close()
        if ending.stopped is not None:
            raise ending.stopped

    def _scope(self, request: RunRequest, producer: Producer, user: dict[str, Any]) -> Scope:
        return Scope(
            producer,
            request.handler,
            Downloads(),
            default_parent_id=None if request.message is None else request.message.id,
            user=user,
            loop=asyncio.get_running_loop(),
            signals=self._signals,
            resting=self._resting,
        )

    async def _close_earlier(self, request: RunRequest, producer: Producer) -> bool:
        """End what a lost attempt left open; whether the run may be tried again."""
        snapshot = await self._log.snapshot(request.session_id)
        retry = producer.attempt <= self._settings.max_attempts
        producer.publish(*closing_events(snapshot, request, producer.attempt - 1, retry=retry))
        await producer.flush()
        if not retry:
            await self._bury(request, "interrupted", DEAD_WORKER, producer.attempt - 1)
        return retry

    async def _attempt(self, request: RunRequest, scope: Scope, *, cancelled: bool) -> None:
        producer = scope.producer
        run = RunDocument(
            run_id=request.run_id,
            handler=request.handler,
            attempt=producer.attempt,
            message_id=None if request.message is None else request.message.id,
            status="running",
            started_at=(ts := now()),
            ts=ts,
        )
        producer.publish(run_start_event(run))
        ending = Ending("cancelled") if cancelled else await self._call(request, scope)
        scope.end_open("interrupted" if ending.status == "error" else ending.status)
        if ending.status == "cancelled":
            await self._on_stop(scope)
        if ending.status == "error" and ending.error is not None:
            self._show(ending.error, scope)
        run.status, run.error = ending.status, ending.error
        run.will_retry = bool(ending.stopped) and producer.attempt < self._settings.max_attempts
        run.ended_at = run.ts = now()
        producer.publish(run_end_event(run))
        await producer.flush()
        if not run.will_retry:
            await self._bury(request, ending.status, ending.error, producer.attempt)
        if ending.stopped is not None:
            raise ending.stopped

    async def _bury(
        self, request: RunRequest, status: EndStatus, error: ErrorInfo | None, attempts: int
    ) -> None:
        """Remember a run that has ended badly.

        After its end is stored and before its job is done: whatever happens in between, the job
        comes back, to a worker that finds the run ended (:meth:`_bury_ended`). The other way round,
        a run whose end could not be stored would be buried alive.
        """
        if self._dead_letters is not None and status in {"error", "interrupted"}:
            letter = DeadLetter(
                request=request, status=status, error=error, attempts=attempts, ended_at=now()
            )
            await self._dead_letters.bury(letter)

    async def _bury_ended(self, request: RunRequest) -> None:
        """A job came back although its run is over: its worker was lost before it could bury it.

        Only for one that came back: a request that a client repeats must not bring a dead letter
        back that was replayed.
        """
        try:
            run = await self._log.run(request.session_id, request.run_id)
        except SessionNotFound:
            return
        if run is not None and run.status != "running":
            await self._bury(request, run.status, run.error, run.attempt)

    async def _call(self, request: RunRequest, scope: Scope) -> Ending:
        """Call the handler; every way it can end is an :class:`Ending`."""
        fields = {"session_id": scope.session_id, "run_id": scope.run_id, "handler": scope.handler}
        token = enter_frame(Frame(scope))
        limit = asyncio.timeout(self._settings.run_timeout_s)
        # A task of its own, so that what is cancelled is the handler and not the worker's own task.
        task = asyncio.create_task(self._handler(request, scope))
        asked = Cancellable(scope.session_id, scope.run_id, task)
        try:
            with self._watching(asked):
                async with limit:
                    await task
        except asyncio.CancelledError as stopped:
            if asked.requested and not _cancelling():
                return Ending("cancelled")
            logger.warning("run interrupted", extra=fields)
            return Ending("interrupted", STOPPED_WORKER, stopped)
        except TimeoutError as error:
            if not limit.expired():
                return _failed(error, fields)
            logger.warning("run timed out", extra=fields)
            return Ending(
                "error",
                ErrorInfo(
                    type="RunTimeout",
                    message=f"it took longer than {self._settings.run_timeout_s:g} s "
                    "(STEPWIRE_RUN_TIMEOUT_S)",
                ),
            )
        except Exception as error:  # noqa: BLE001 - the boundary to the user's code
            return _failed(error, fields)
        finally:
            leave_frame(token)
        return Ending("cancelled" if asked.requested else "ok")

    def _watching(self, asked: Cancellable) -> AbstractContextManager[None]:
        return nullcontext() if self._signals is None else self._signals.watching(asked)

    async def _on_stop(self, scope: Scope) -> None:
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
        scope.end_open("cancelled")

    def _show(self, error: ErrorInfo, scope: Scope) -> None:
        """Tell the person, too, that a handler has failed."""
        token = enter_frame(Frame(scope))
        try:
            ErrorMessage(error.message or error.type)._end("error", error)
        except StepwireError:
            # The producer is cut off: the end of the run will say so.
            logger.debug("an error message could not be sent", exc_info=True)
        finally:
            leave_frame(token)

    async def _handler(self, request: RunRequest, scope: Scope) -> None:
        if request.handler == ON_CHAT_RESUME and ON_CHAT_RESUME not in self._handlers.functions:
            return
        function = self._handlers.get(request.handler)
        if request.handler in _GIVES_ARGUMENT:
            given = (await self._argument(request, scope),) if takes_argument(function) else ()
            await _invoke(function, *given)
        else:
            await _invoke(function, **request.arguments)

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


async def _invoke(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    if inspect.iscoroutinefunction(function):
        await function(*args, **kwargs)
        return
    # A synchronous handler gets a thread, with the context, so that it blocks only itself.
    result = await asyncio.to_thread(function, *args, **kwargs)
    if isinstance(result, Awaitable):
        await result


def _failed(error: Exception, fields: dict[str, str]) -> Ending:
    # Our own errors say what to do; a traceback helps with those of the handler.
    detail = error if not isinstance(error, HandlerNotFound) else None
    logger.error("handler failed", extra=fields | {"error": str(error)}, exc_info=detail)
    return Ending("error", ErrorInfo.of(error))
