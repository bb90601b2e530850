"""One execution of a handler: from its ``run.start`` to its ``run.end``."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
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
    IN_TURN,
    ON_CHAT_END,
    ON_CHAT_RESUME,
    ON_FEEDBACK,
    ON_MESSAGE,
    ON_STOP,
    OPTIONAL_HANDLERS,
    EndStatus,
    ErrorInfo,
)
from stepwire_core.errors import (
    HandlerNotFound,
    RunEnded,
    RunWaits,
    SessionNotFound,
    StepwireError,
)
from stepwire_core.events import run_start_event
from stepwire_core.ids import new_id
from stepwire_core.queue import RunRequest
from stepwire_core.runs import end_events, first_document

if TYPE_CHECKING:
    from pydantic import JsonValue

    from stepwire._context import Enqueues
    from stepwire._producer import Producer
    from stepwire._publisher import Publisher
    from stepwire_core.log import Begun, EventLog
    from stepwire_core.queue import RunQueue
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.run")

BUSY: Final = ErrorInfo(
    type="Busy", message="another message is being answered; send this one again when that is done"
)

ON_STOP_TIMEOUT_S: Final = 10.0

NOBODY: Final = ""

ORPHAN_TRIES: Final = 6
"""A run that has waited for its turn this often looks whether the one before it is still queued."""

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
    cause: BaseException | None = None
    """What may be worth another attempt."""
    result: JsonValue = None


class RetryLater(Exception):
    """The attempt has ended, and the next one is due in ``after_s`` seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__(after_s)
        self.after_s = after_s


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
        queue: RunQueue | None = None,
        sub_tasks: Enqueues | None = None,
        resting: Callable[[], AbstractContextManager[None]] = nullcontext,
        activity: Activity | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        """Without ``signals`` nobody can cancel a run; without a ``queue`` none waits for another;
        without ``dead_letters`` one that fails is not remembered. ``sub_tasks`` is where handlers
        put theirs; by default into the queue. ``resting`` gives a run's place to others while it
        waits for something.
        """
        self._handlers = handlers
        self._log = log
        self._signals = signals
        self._queue = queue
        self._sub_tasks = sub_tasks or queue
        self._resting = resting
        self._activity = activity or Activity()
        self._dead_letters = dead_letters
        self._publisher = publisher
        self._settings = settings

    async def execute(self, request: RunRequest, *, tried: int = 0) -> None:
        """Execute one attempt of a run; when it returns, the end of the run is stored.

        A run that is over already, or whose session is gone, is left alone. ``tried`` counts the
        earlier calls for this run, whether or not they began an attempt.

        Raises:
            RunWaits: it is not its turn yet; nothing was begun.
            RetryLater: the attempt has ended, and another one is to come.
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
        if not (missing and request.handler in OPTIONAL_HANDLERS - {ON_CHAT_RESUME}):
            try:
                await self._execute(request, tried)
            except (RunEnded, SessionNotFound) as error:
                fields = {"run_id": request.run_id, "reason": str(error)}
                logger.info("nothing to run", extra=fields)
                if tried and isinstance(error, RunEnded):
                    await self._bury_ended(request)
        await self._pass_turn(request.session_id, request.handler, request.run_id)

    async def refuse(self, session_id: str, run_id: str, error: ErrorInfo) -> None:
        """End a run whose request cannot be understood."""
        request = RunRequest(session_id=session_id, run_id=run_id, handler="?")
        with suppress(RunEnded, SessionNotFound):
            begun = await self._log.begin_run(session_id, run_id, new_id())
            producer = self._producer(request, begun)
            await self._attempt(request, self._scope(request, producer, {}), Ending("error", error))

    async def _execute(self, request: RunRequest, tried: int) -> None:
        begun, ending = await self._begin(request, tried)
        producer = self._producer(request, begun)
        if begun.attempt > 1 and not await self._close_earlier(request, producer):
            return
        scope = self._scope(request, producer, begun.user)
        try:
            with self._activity.running(request, begun.attempt):
                await self._attempt(request, scope, ending)
        finally:
            scope.downloads.close()

    async def _begin(self, request: RunRequest, tried: int) -> tuple[Begun, Ending | None]:
        """Begin an attempt when it is the run's turn; with its end, if it has one already."""
        session_id, run_id, token = request.session_id, request.run_id, new_id()
        concurrency = self._handlers.policy(request.handler).concurrency
        in_turn = (
            self._queue is not None and request.handler in IN_TURN and concurrency != "parallel"
        )
        try:
            begun = await self._log.begin_run(session_id, run_id, token, in_turn=in_turn)
        except RunWaits as waits:
            messages = [run for handler, run in waits.before if handler == ON_MESSAGE]
            if concurrency == "reject" and messages:
                begun = await self._log.begin_run(session_id, run_id, token)
                return begun, Ending("error", BUSY)
            if concurrency == "interrupt":
                await self._interrupt(session_id, messages)
            if tried >= ORPHAN_TRIES:
                await self._skip_orphan(session_id, waits)
            raise
        return begun, Ending("cancelled") if begun.cancelled else None

    async def _interrupt(self, session_id: str, messages: Sequence[str]) -> None:
        for run_id in messages:
            await self._log.cancel_run(session_id, run_id)
            if self._queue is not None:
                # One that waits itself ends as soon as a worker looks at it.
                await self._queue.hurry(run_id)

    async def _skip_orphan(self, session_id: str, waits: RunWaits) -> None:
        """Wait no more for a run that nobody has queued: its gateway died over it."""
        handler, run_id = waits.before[0]
        if self._queue is not None and not await self._queue.has(run_id):
            logger.warning("a run was never queued", extra={"run_id": run_id})
            await self._pass_turn(session_id, handler, run_id)

    async def _pass_turn(self, session_id: str, handler: str, run_id: str) -> None:
        """Let the run that waited for this one begin at once."""
        if self._queue is None or handler not in IN_TURN:
            return
        following = await self._log.leave_turn(session_id, run_id)
        if following is not None:
            await self._queue.hurry(following)

    async def look_again(self, request: RunRequest) -> None:
        """Its turn may have come between the moment when it was told to wait and the moment when
        it was back in the queue, where one can be hurried."""
        if self._queue is not None:
            first = await self._log.leave_turn(request.session_id, NOBODY)
            if first == request.run_id:
                await self._queue.hurry(request.run_id)

    def _producer(self, request: RunRequest, begun: Begun) -> Producer:
        name = f"{request.run_id}.{begun.attempt}"
        return self._publisher.producer(name, request.session_id, request.run_id, begun.attempt)

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
            default_parent_id=request.parent_id if request.message is None else request.message.id,
            user=user,
            loop=asyncio.get_running_loop(),
            signals=self._signals,
            resting=self._resting,
            queue=self._sub_tasks,
        )

    async def _close_earlier(self, request: RunRequest, producer: Producer) -> bool:
        """End what a lost attempt left open; whether the run may be tried again."""
        snapshot = await self._log.snapshot(request.session_id)
        retry = producer.attempt <= self._max_attempts(request)
        producer.publish(*closing_events(snapshot, request, producer.attempt - 1, retry=retry))
        await producer.flush()
        await self._log.cancel_children(request.session_id, request.run_id)
        if not retry:
            await self._bury(request, "interrupted", DEAD_WORKER, producer.attempt - 1)
        return retry

    async def _attempt(self, request: RunRequest, scope: Scope, ending: Ending | None) -> None:
        """From ``run.start`` to ``run.end``; with an ``ending`` there is nothing left to do."""
        producer = scope.producer
        run = first_document(request, producer.attempt)
        producer.publish(run_start_event(run))
        if ending is None:
            ending = await self._call(request, scope)
        scope.end_open("interrupted" if ending.status == "error" else ending.status)
        if ending.status == "cancelled":
            await self._on_stop(scope)
        after_s = self._next_try(request, ending, producer.attempt)
        if ending.status == "error" and ending.error is not None and after_s is None:
            self._show(ending.error, scope)
        run.status, run.error = ending.status, ending.error
        run.will_retry = after_s is not None
        run.ended_at = run.ts = now()
        producer.publish(*end_events(run, request, ending.result))
        await producer.flush()
        if not run.will_retry and ending.error is not BUSY:
            await self._bury(request, ending.status, ending.error, producer.attempt)
        if ending.stopped is not None:
            raise ending.stopped
        if after_s is not None:
            raise RetryLater(after_s)

    def _max_attempts(self, request: RunRequest) -> int:
        own = self._handlers.policy(request.handler).max_attempts
        return self._settings.max_attempts if own is None else own

    def _next_try(self, request: RunRequest, ending: Ending, attempt: int) -> float | None:
        """How long after this attempt the next one is due; None: it was the last."""
        if attempt >= self._max_attempts(request):
            return None
        if ending.stopped is not None:
            return 0.0
        if ending.cause is None:
            return None
        return self._handlers.policy(request.handler).delay_s(ending.cause, attempt)

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
                return Ending("cancelled")
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
            return Ending("cancelled")
        return self._outcome(request, result)

    @staticmethod
    def _outcome(request: RunRequest, result: object) -> Ending:
        """The end of a handler that has returned; who awaits its result gets it as JSON."""
        if not request.awaited:
            return Ending("ok")
        try:
            return Ending("ok", result=json.loads(json.dumps(result, allow_nan=False)))
        except (TypeError, ValueError) as error:
            message = (
                f"the result of task {request.handler!r} has to reach another process: {error}"
            )
            return Ending("error", ErrorInfo(type="InvalidArgument", message=message))

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
    return Ending("error", ErrorInfo.of(error), cause=error)
