"""Executes runs: whose turn it is, which attempt begins, and what is left to do without one."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from stepwire._asking.waiting import patiently
from stepwire._runs import start_page
from stepwire._runs.activity import Activity
from stepwire._runs.attempt import Attempt, Parts
from stepwire._runs.call import Invoker
from stepwire._runs.failed_runs import FailedRuns
from stepwire._runs.outcome import Ending, RetryLater
from stepwire._runs.run_numbers import RunNumbers
from stepwire._runs.turns import Turns
from stepwire._runs.user_code import invoke
from stepwire._scope.context import Scope
from stepwire._scope.run_context import RunContext
from stepwire_core.errors import RunEnded, SessionFull, SessionNotFound
from stepwire_core.log.script_calls import Batch
from stepwire_core.tracing.place import TracePlace
from stepwire_core.values.ids import attempt_token, message_producer
from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.events import subject_event
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.user_messages import message_events
from stepwire_core.wire.words import (
    ON_CHAT_END,
    ON_CHAT_RESUME,
    ON_CHAT_START,
    OPTIONAL_HANDLERS,
    START_PAGE,
)

if TYPE_CHECKING:
    from stepwire._handlers.registry import Handlers
    from stepwire._scope.run_context import Enqueues, Resting
    from stepwire._transport.producer import Producer
    from stepwire._transport.publisher import Publisher
    from stepwire._transport.signals import Signals
    from stepwire_core.log.event_log import Begun, EventLog
    from stepwire_core.queue.dead_letters import DeadLetters
    from stepwire_core.queue.run_queue import RunQueue
    from stepwire_core.settings import Settings
    from stepwire_core.wire.documents import StepDocument

logger = logging.getLogger("stepwire.run")


class Runner:
    """Executes the runs of one process, each in an :class:`Attempt`."""

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
        """Without ``signals`` no run can be cancelled; without a ``queue`` none waits for another;
        without ``dead_letters`` one that fails is not remembered. ``sub_tasks`` is where handlers
        put theirs; by default into the queue.
        """
        self._handlers = handlers
        self._queue = queue
        self._signals = signals
        self.turns = Turns(log, queue, settings)
        self._sub_tasks = sub_tasks or queue
        self._parts = Parts(
            log,
            publisher,
            settings,
            Invoker(handlers, log, signals, settings),
            FailedRuns(log, dead_letters),
            activity or Activity(),
            RunNumbers(handlers.functions),
        )

    @property
    def numbers(self) -> RunNumbers:
        """What its runs have come to."""
        return self._parts.numbers

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
        if request.handler == START_PAGE:
            if self._queue is not None:
                await start_page.answer(self._handlers, self._queue, request)
            return
        missing = request.handler not in self._handlers.functions
        if request.handler == ON_CHAT_END:
            if not missing:
                await self._end_chat(request, tried, resting)
            return
        if missing and self._is_idle(request.handler):
            await self.turns.skip(request)
        else:
            policy = self._handlers.policy(request.handler)
            try:
                begun, ending = await self.turns.begin(request, policy.concurrency, tried)
                if begun.has_lost_message and request.message is not None:
                    await self._store_again(request.message, request, begun)
                scope = self._scope(request, self._producer(request, begun), begun.user, resting)
                await Attempt(self._parts, request, scope, policy, ending).run()
            except (RunEnded, SessionNotFound) as error:
                fields = {"run_id": request.run_id, "reason": str(error)}
                logger.info("nothing to run", extra=fields)
                if tried and isinstance(error, RunEnded):
                    await self._parts.failed_runs.remember_ended(request)
        await self.turns.over(request)

    def _is_idle(self, handler: str) -> bool:
        """Whether a run does nothing if its handler is missing, and so need not be shown."""
        if handler == ON_CHAT_START:
            # It also gives the session its profile.
            return "set_chat_profiles" not in self._handlers.hooks
        return handler in OPTIONAL_HANDLERS - {ON_CHAT_RESUME}

    async def refuse(self, session_id: str, run_id: str, error: ErrorInfo) -> None:
        """End a run whose request cannot be understood, or executed."""
        request = RunRequest(session_id=session_id, run_id=run_id, handler="?")
        with suppress(RunEnded, SessionNotFound):
            begun = await self._parts.log.begin_run(session_id, run_id, attempt_token())
            scope = self._scope(request, self._producer(request, begun), {}, nullcontext)
            ending = Ending("error", error, is_replayable=False)
            policy = self._handlers.policy(request.handler)
            await Attempt(self._parts, request, scope, policy).refuse(ending)

    async def _end_chat(self, request: RunRequest, tried: int, resting: Resting) -> None:
        """Let the user's ``on_chat_end`` do what is to be done when a session is gone."""
        policy = self._handlers.policy(ON_CHAT_END)
        most = policy.max_attempts or self._parts.settings.max_attempts
        if tried >= most:
            return
        producer = self._parts.publisher.silent_producer(request.session_id)
        scope = self._scope(request, producer, dict(request.user), resting)
        try:
            ending = await self._parts.invoker.call(request, scope)
        finally:
            scope.close()
        if ending.stopped is not None:
            raise ending.stopped
        after_s = None if ending.cause is None else policy.delay_s(ending.cause, tried + 1)
        if after_s is not None and tried + 1 < most:
            raise RetryLater(after_s)

    async def _store_again(self, message: StepDocument, request: RunRequest, begun: Begun) -> None:
        """A failover of the log has lost the message after it was acknowledged; its run has it."""
        logger.warning("a message was lost, and is stored again", extra={"run_id": request.run_id})
        batch = Batch(
            request.session_id,
            message_events(message, request.elements),
            # As its client would store it, who may send it again.
            producer=message_producer(message.id),
            run_id=request.run_id,
            attempt=begun.attempt,
        )
        # In a full session the answer stands without it.
        with suppress(SessionFull):
            await patiently(self._parts.settings, partial(self._parts.log.append, batch))

    def _producer(self, request: RunRequest, begun: Begun) -> Producer:
        producer = self._parts.publisher.producer(
            begun.producer,
            request.session_id,
            request.run_id,
            begun.attempt,
            subject=begun.subject or request.subject or "",
            trace=self._trace(request),
        )
        if request.subject and not begun.subject:
            producer.publish(subject_event(request.subject))
        return producer

    def _trace(self, request: RunRequest) -> TracePlace | None:
        spans = self._parts.publisher.spans
        return TracePlace.of_run(request, None if spans is None else spans.samples)

    def _scope(
        self, request: RunRequest, producer: Producer, user: dict[str, Any], resting: Resting
    ) -> Scope:
        parent_id = request.parent_id if request.message is None else request.message.id
        rename = self._handlers.hooks.get("author_rename")
        run = RunContext(
            asyncio.get_running_loop(),
            user,
            signals=self._signals,
            resting=resting,
            subject=request.subject,
            priority=request.priority,
            repeats=request.message.id if request.message and request.retry_of else None,
            queue=self._sub_tasks,
            rename=None if rename is None else partial(invoke, rename),
        )
        return Scope(producer, parent_id, run)
