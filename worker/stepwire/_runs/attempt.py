"""One attempt of a run: from what an earlier attempt left open to its own stored end."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire._asking.waiting import patiently
from stepwire._runs.failed_runs import NOT_OUR_FAULT
from stepwire._runs.outcome import FAULT, Ending, RetryLater
from stepwire._runs.recovery import DEAD_WORKER, RunFault, closing_events, run_closing_events
from stepwire._scope.context import Frame, enter_frame, leave_frame
from stepwire._scope.user_session import store_changes
from stepwire._tree.message import FailureMessage
from stepwire_core.errors import SessionFull, StepwireError
from stepwire_core.values.clock import now
from stepwire_core.values.ids import fault_producer
from stepwire_core.wire.events import run_start_event
from stepwire_core.wire.run_ends import end_events, first_document

if TYPE_CHECKING:
    from stepwire._handlers.policy import Policy
    from stepwire._runs.activity import Activity
    from stepwire._runs.call import Invoker
    from stepwire._runs.failed_runs import FailedRuns
    from stepwire._runs.run_numbers import RunNumbers
    from stepwire._scope.context import Scope
    from stepwire._transport.publisher import Publisher
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.settings import Settings
    from stepwire_core.wire.documents import ErrorInfo, RunDocument, UsageSum
    from stepwire_core.wire.run_request import RunRequest

logger = logging.getLogger("stepwire.run")

_PASSED_ON: Final = (RetryLater, *NOT_OUR_FAULT)
"""Errors after which this attempt has nothing to end any more."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all attempts of a process share."""

    log: EventLog
    publisher: Publisher
    settings: Settings
    invoker: Invoker
    failed_runs: FailedRuns
    activity: Activity
    numbers: RunNumbers


class Attempt:
    """An attempt that has begun: every earlier one is fenced off."""

    def __init__(
        self,
        parts: Parts,
        request: RunRequest,
        scope: Scope,
        policy: Policy,
        ending: Ending | None = None,
    ) -> None:
        """With an ``ending`` the handler is not called: the attempt has ended already."""
        self._parts = parts
        self._request = request
        self._scope = scope
        self._producer = scope.producer
        self._policy = policy
        self._ending = ending
        self._used: UsageSum | None = None
        self._began_at = time.monotonic()

    async def run(self) -> None:
        """Call the handler; when this returns, the end of the attempt is stored.

        Raises: as :meth:`Runner.execute`.
        """
        try:
            if self._producer.attempt > 1 and not await self._close_earlier():
                return
            with self._parts.activity.running(self._request, self._producer.attempt):
                run = self._begin()
                ending = self._ending
                if ending is None:
                    ending = await self._parts.invoker.call(self._request, self._scope)
                await self._end(run, ending)
        except _PASSED_ON:
            raise
        except Exception:
            # The boundary around all of ours that is around a handler: whatever it was, the run
            # ends, once.
            fields = {"run_id": self._request.run_id}
            logger.exception("a run ends with an error of stepwire", extra=fields)
            await self._end_from_state()
        finally:
            self._scope.close()

    async def refuse(self, ending: Ending) -> None:
        """End it without its handler, and without a look at earlier attempts.

        Raises: as :meth:`run`; and whatever a fault of ours raises.
        """
        await self._end(self._begin(), ending)

    def _begin(self) -> RunDocument:
        run = first_document(self._request, self._producer.attempt)
        run.usage = self._used
        if self._scope.run is not None:
            self._scope.run.usage.begin(run)
        self._producer.publish(run_start_event(run))
        return run

    async def _end(self, run: RunDocument, ending: Ending) -> None:
        """From the end of the handler to the end of the attempt."""
        scope, attempt = self._scope, self._producer.attempt
        scope.end_open(ending.status_for_open_steps)
        if ending.status == "cancelled":
            await self._parts.invoker.on_stop(scope)
        store_changes(scope)
        after_s = self._next_try(ending)
        if ending.status == "error" and ending.error is not None and after_s is None:
            self._show(ending.error.without_traceback())
        run.will_retry = after_s is not None
        ending = await self._store_end(run, ending)
        self._parts.numbers.ended(
            self._request.handler,
            ending.status,
            time.monotonic() - self._began_at,
            is_final=not run.will_retry,
        )
        if not run.will_retry and ending.is_replayable:
            await self._parts.failed_runs.remember(
                self._request, ending.status, ending.error, attempt
            )
        if ending.stopped is not None:
            raise ending.stopped
        if after_s is not None:
            raise RetryLater(after_s)

    async def _store_end(self, run: RunDocument, ending: Ending) -> Ending:
        """Store the end of the attempt. Returns it as it was stored, since what came before it may
        not have fitted into the session."""
        producer = self._producer
        while True:
            full = producer.full
            ending = ending.with_losses(full)
            run.status, run.error = ending.status, self._public(ending.error)
            run.ended_at = run.ts = now()
            with suppress(SessionFull):
                # Threads that were not awaited go on until here.
                producer.seal()
                self._scope.end_open(ending.status_for_open_steps)
                producer.publish_end(*end_events(run, self._request, ending.result), full=full)
                await producer.flush()
            if producer.full is full:
                return ending

    def _public(self, error: ErrorInfo | None) -> ErrorInfo | None:
        """An error as clients get it; the list of failed runs has all of it."""
        if error is None or self._parts.settings.tracebacks == "clients":
            return error
        return error.without_traceback()

    async def _close_earlier(self) -> bool:
        """End what a lost attempt left open; whether the run may be tried again."""
        request, producer, parts = self._request, self._producer, self._parts
        session_id, run_id, settings = request.session_id, request.run_id, parts.settings
        snapshot = await patiently(settings, lambda: parts.log.snapshot(session_id))
        retry = producer.attempt <= self._max_attempts
        lost = RunFault("interrupted", DEAD_WORKER)
        # One that came after the last may have died while it closed that, and called no handler.
        earlier = min(producer.attempt - 1, self._max_attempts)
        run = snapshot.run(run_id)
        self._used = None if run is None else run.usage
        producer.publish(*closing_events(snapshot, request, earlier, lost, retry=retry))
        await producer.flush()
        await patiently(settings, lambda: parts.log.cancel_children(session_id, run_id))
        if not retry:
            await parts.failed_runs.remember(request, "interrupted", DEAD_WORKER, earlier)
        return retry

    async def _end_from_state(self) -> None:
        """End an attempt that could not end itself, from what is stored of it."""
        request, parts, attempt = self._request, self._parts, self._producer.attempt
        session_id = request.session_id
        with suppress(StepwireError):
            # Nothing follows, whatever still holds the old producer.
            self._producer.publish_end(full=self._producer.full)
        name = fault_producer(request.run_id, attempt)
        producer = parts.publisher.producer(
            name, session_id, request.run_id, attempt, trace=self._producer.trace
        )
        fault = RunFault("error", FAULT)
        run_alone = run_closing_events(None, request, attempt, fault, retry=False)
        try:
            snapshot = await patiently(parts.settings, lambda: parts.log.snapshot(session_id))
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
        await parts.failed_runs.remember(request, "error", FAULT, attempt)

    @property
    def _max_attempts(self) -> int:
        own = self._policy.max_attempts
        return self._parts.settings.max_attempts if own is None else own

    def _next_try(self, ending: Ending) -> float | None:
        """How long after this attempt the next one is due; None: it was the last."""
        attempt = self._producer.attempt
        if attempt >= self._max_attempts:
            return None
        if ending.stopped is not None:
            return 0.0
        return None if ending.cause is None else self._policy.delay_s(ending.cause, attempt)

    def _show(self, error: ErrorInfo) -> None:
        """Tell the person, too, that a handler has failed."""
        token = enter_frame(Frame(self._scope))
        try:
            FailureMessage(error).show()
        except Exception:
            # The producer may be cut off, or full: the end of the run says the same.
            logger.debug("an error message could not be sent", exc_info=True)
        finally:
            leave_frame(token)
