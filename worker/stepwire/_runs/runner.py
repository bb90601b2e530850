"""One execution of a handler: from its ``run.start`` to its ``run.end``."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

from stepwire._asking.waiting import patiently
from stepwire._runs.activity import Activity
from stepwire._runs.call import Invoker
from stepwire._runs.outcome import FAULT, Ending, RetryLater
from stepwire._runs.recovery import DEAD_WORKER, RunFault, closing_events, run_closing_events
from stepwire._runs.turns import Turns
from stepwire._scope.context import Frame, Scope, enter_frame, leave_frame
from stepwire._scope.run_context import RunContext
from stepwire._scope.user_session import store_changes
from stepwire._tree.message import FailureMessage
from stepwire_core.errors import (
    RunEnded,
    RunFenced,
    SessionFull,
    SessionNotFound,
    StepwireError,
    StoreRefused,
    StoreUnavailable,
)
from stepwire_core.queue.dead_letters import DeadLetter, DeadLetters
from stepwire_core.values.clock import now
from stepwire_core.values.ids import attempt_token, fault_producer
from stepwire_core.wire.documents import ON_CHAT_END, ON_CHAT_RESUME, OPTIONAL_HANDLERS, ErrorInfo
from stepwire_core.wire.events import run_start_event
from stepwire_core.wire.run_ends import end_events, first_document
from stepwire_core.wire.run_request import RunRequest

if TYPE_CHECKING:
    from stepwire._handlers.registry import Handlers
    from stepwire._scope.run_context import Enqueues, Resting
    from stepwire._transport.producer import Producer
    from stepwire._transport.publisher import Publisher
    from stepwire._transport.signals import Signals
    from stepwire_core.log.event_log import Begun, EventLog
    from stepwire_core.queue.run_queue import RunQueue
    from stepwire_core.settings import Settings
    from stepwire_core.wire.documents import RunDocument

logger = logging.getLogger("stepwire.run")

_PASSED_ON: Final = (
    RetryLater,
    RunEnded,
    RunFenced,
    SessionNotFound,
    StoreRefused,
    StoreUnavailable,
)
"""Errors that are not our fault: the attempt has ended, or it cannot store anything any more."""


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
        activity: Activity | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        """Without ``signals`` nobody can cancel a run; without a ``queue`` none waits for another;
        without ``dead_letters`` one that fails is not remembered. ``sub_tasks`` is where handlers
        put theirs; by default into the queue.
        """
        self._handlers = handlers
        self._log = log
        self._signals = signals
        self._invoker = Invoker(handlers, log, signals, settings)
        self.turns = Turns(log, queue, settings)
        self._sub_tasks = sub_tasks or queue
        self._activity = activity or Activity()
        self._dead_letters = dead_letters
        self._publisher = publisher
        self._settings = settings

    async def execute(
        self, request: RunRequest, *, tried: int = 0, resting: Resting = nullcontext
    ) -> None:
        """Execute one attempt of a run; when it returns, the end of the run is stored.

        A run that is over already, or whose session is gone, is left alone. ``tried`` counts the
        earlier calls for this run, whether or not they began an attempt. ``resting`` gives its slot
        to others while it waits for something.

        Raises:
            RunWaits: it is not its turn yet; nothing was begun.
            RetryLater: the attempt has ended, and another one is to come.
            StoreUnavailable: the end could not be stored; the attempt counts as lost.
            StoreRefused: neither, and no attempt can be, until a person changes something.
            RunFenced: another worker has begun a newer attempt.
            asyncio.CancelledError: the worker is stopping; the attempt has ended as
            ``interrupted``.
        """
        missing = request.handler not in self._handlers.functions
        if request.handler == ON_CHAT_END:
            if not missing and tried < self._settings.max_attempts:
                await self._farewell(request, resting)
            return
        if not (missing and request.handler in OPTIONAL_HANDLERS - {ON_CHAT_RESUME}):
            try:
                await self._execute(request, tried, resting)
            except (RunEnded, SessionNotFound) as error:
                fields = {"run_id": request.run_id, "reason": str(error)}
                logger.info("nothing to run", extra=fields)
                if tried and isinstance(error, RunEnded):
                    await self._bury_ended(request)
        await self.turns.over(request)

    async def refuse(self, session_id: str, run_id: str, error: ErrorInfo) -> None:
        """End a run whose request cannot be understood, or executed."""
        request = RunRequest(session_id=session_id, run_id=run_id, handler="?")
        with suppress(RunEnded, SessionNotFound):
            begun = await self._log.begin_run(session_id, run_id, attempt_token())
            producer = self._producer(request, begun)
            ending = Ending("error", error, is_replayable=False)
            await self._attempt(request, self._scope(request, producer, {}, nullcontext), ending)

    async def _execute(self, request: RunRequest, tried: int, resting: Resting) -> None:
        concurrency = self._handlers.policy(request.handler).concurrency
        begun, ending = await self.turns.begin(request, concurrency, tried)
        producer = self._producer(request, begun)
        scope = self._scope(request, producer, begun.user, resting)
        try:
            if begun.attempt > 1 and not await self._close_earlier(request, producer):
                return
            with self._activity.running(request, begun.attempt):
                await self._attempt(request, scope, ending)
        except _PASSED_ON:
            raise
        except Exception:
            # The boundary around all of ours that is around a handler: whatever it was, the run
            # ends, once.
            logger.exception(
                "a run ends with an error of stepwire", extra={"run_id": request.run_id}
            )
            await self._end_anew(request, scope)
        finally:
            scope.close()

    async def _end_anew(self, request: RunRequest, scope: Scope) -> None:
        """End an attempt that could not end itself, from what is stored of it."""
        attempt = scope.producer.attempt
        with suppress(StepwireError):
            # Nothing follows, whoever still has it.
            scope.producer.publish_end(full=scope.producer.full)
        name = fault_producer(request.run_id, attempt)
        producer = self._publisher.producer(name, request.session_id, request.run_id, attempt)
        fault = RunFault("error", FAULT)
        run_alone = run_closing_events(None, request, attempt, fault, retry=False)
        try:
            session_id = request.session_id
            snapshot = await patiently(self._settings, lambda: self._log.snapshot(session_id))
            producer.publish(*closing_events(snapshot, request, attempt, fault, retry=False))
            await producer.flush()
        except _PASSED_ON:
            raise
        except Exception:
            # The state cannot be read, so what is open stays so; or the session is full, and takes
            # no end of a run that was written without knowing that.
            logger.exception("a run is ended without its handler", extra={"run_id": request.run_id})
            producer.publish_end(*run_alone, full=producer.full)
            await producer.flush()
        await self._bury(request, "error", FAULT, attempt)

    def _producer(self, request: RunRequest, begun: Begun) -> Producer:
        return self._publisher.producer(
            begun.producer, request.session_id, request.run_id, begun.attempt
        )

    async def _farewell(self, request: RunRequest, resting: Resting) -> None:
        """Let the user's ``on_chat_end`` do what is to be done when a session is gone."""
        producer = self._publisher.silent_producer(request.session_id)
        scope = self._scope(request, producer, dict(request.user), resting)
        try:
            ending = await self._invoker.call(request, scope)
        finally:
            scope.close()
        if ending.stopped is not None:
            raise ending.stopped

    def _scope(
        self, request: RunRequest, producer: Producer, user: dict[str, Any], resting: Resting
    ) -> Scope:
        parent_id = request.parent_id if request.message is None else request.message.id
        run = RunContext(
            asyncio.get_running_loop(),
            user,
            signals=self._signals,
            resting=resting,
            subject=request.subject,
            priority=request.priority,
            queue=self._sub_tasks,
        )
        return Scope(producer, parent_id, run)

    async def _close_earlier(self, request: RunRequest, producer: Producer) -> bool:
        """End what a lost attempt left open; whether the run may be tried again."""
        session_id, run_id, settings = request.session_id, request.run_id, self._settings
        snapshot = await patiently(settings, lambda: self._log.snapshot(session_id))
        retry = producer.attempt <= self._max_attempts(request)
        lost = RunFault("interrupted", DEAD_WORKER)
        earlier = producer.attempt - 1
        producer.publish(*closing_events(snapshot, request, earlier, lost, retry=retry))
        await producer.flush()
        await patiently(settings, lambda: self._log.cancel_children(session_id, run_id))
        if not retry:
            await self._bury(request, "interrupted", DEAD_WORKER, earlier)
        return retry

    async def _attempt(self, request: RunRequest, scope: Scope, ending: Ending | None) -> None:
        """From ``run.start`` to ``run.end``; with an ``ending`` there is nothing left to do."""
        producer = scope.producer
        run = first_document(request, producer.attempt)
        producer.publish(run_start_event(run))
        if ending is None:
            ending = await self._invoker.call(request, scope)
        scope.end_open(ending.of_open)
        if ending.status == "cancelled":
            await self._invoker.on_stop(scope)
        store_changes(scope)
        after_s = self._next_try(request, ending, producer.attempt)
        if ending.status == "error" and ending.error is not None and after_s is None:
            self._show(ending.error, scope)
        run.will_retry = after_s is not None
        ending = await self._store_end(run, request, ending, scope)
        if not run.will_retry and ending.is_replayable:
            await self._bury(request, ending.status, ending.error, producer.attempt)
        if ending.stopped is not None:
            raise ending.stopped
        if after_s is not None:
            raise RetryLater(after_s)

    async def _store_end(
        self, run: RunDocument, request: RunRequest, ending: Ending, scope: Scope
    ) -> Ending:
        """Store the end of an attempt; as what it was stored, since what came before it may not
        have fitted into the session."""
        producer = scope.producer
        while True:
            full = producer.full
            ending = ending.truly(full)
            run.status, run.error = ending.status, ending.error
            run.ended_at = run.ts = now()
            with suppress(SessionFull):
                # Threads that nobody waits for go on until here.
                producer.seal()
                scope.end_open(ending.of_open)
                producer.publish_end(*end_events(run, request, ending.result), full=full)
                await producer.flush()
            if producer.full is full:
                return ending

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
        self, request: RunRequest, status: str, error: ErrorInfo | None, attempts: int
    ) -> None:
        """Remember a run that has ended badly.

        After its end is stored and before its job is done: whatever happens in between, the job
        comes back, to a worker that finds the run ended (:meth:`_bury_ended`). The other way round,
        a run whose end could not be stored would be buried alive.
        """
        if self._dead_letters is None or status not in {"error", "interrupted"}:
            return
        try:
            letter = DeadLetter(
                request=request, status=status, error=error, attempts=attempts, ended_at=now()
            )
            await self._dead_letters.bury(letter)
        except _PASSED_ON:
            raise
        except Exception:
            # The run has ended; that it cannot be replayed must not look like another fault of it.
            logger.exception("a dead letter is not written", extra={"run_id": request.run_id})

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

    def _show(self, error: ErrorInfo, scope: Scope) -> None:
        """Tell the person, too, that a handler has failed."""
        token = enter_frame(Frame(scope))
        try:
            FailureMessage(error).show()
        except Exception:
            # The producer may be cut off, or full: the end of the run says the same.
            logger.debug("an error message could not be sent", exc_info=True)
        finally:
            leave_frame(token)
