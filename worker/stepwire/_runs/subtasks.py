"""Sub-tasks: work that a handler hands to any worker, and awaits."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from stepwire._asking.waiting import patiently, waited_for
from stepwire._handlers.registry import name_of_task
from stepwire._scope.context import current_frame
from stepwire._scope.user_session import store_changes
from stepwire_core.errors import InvalidArgument, StepwireError, TaskFailed
from stepwire_core.values.ids import new_id
from stepwire_core.values.json_values import encoded
from stepwire_core.values.text import require_size
from stepwire_core.wire.unreadable import readable
from stepwire_core.wire.words import is_event_handler

if TYPE_CHECKING:
    from stepwire._scope.context import Scope
    from stepwire._scope.run_context import Enqueues
    from stepwire_core.wire.run_request import RunRequest

logger = logging.getLogger("stepwire.enqueue")

CANCEL_TIMEOUT_S: Final = 5.0

P = ParamSpec("P")
R = TypeVar("R")


@overload
async def enqueue(task: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


@overload
async def enqueue(task: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


@overload
async def enqueue(task: str, /, **kwargs: Any) -> Any: ...


async def enqueue(task: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Any:
    """Run a ``@cl.task`` on any worker and await its result: ``await cl.enqueue(add, 1, 2)``.

    It is a run of its own, with the attempts and the time that the task's decorator says; its steps
    nest under the step around this call. It has the priority of the calling run. While it is
    awaited, the calling handler takes no place in its worker and counts for no limit, so any number
    may be under way: ``await asyncio.gather(*(cl.enqueue(part, i) for i in range(100)))``.
    Cancelling the caller, or the run that it belongs to, cancels the task; a caller whose worker
    dies takes its tasks along. A task that the queue's Redis has lost is queued again, within about
    twice ``STEPWIRE_LEASE_S``.

    Args:
        task: The decorated function, or the name of a task that only the workers know.
        *args: Its arguments; they must be JSON. By name alone (``**kwargs``) for a name.

    Returns:
        What the task returned, as JSON: a tuple is a list.

    Raises:
        TaskFailed: it raised, was cancelled, or was lost with its worker for the last time.
        InvalidArgument: no task, or arguments that it does not take or that are not JSON, or too
            large (``ValueTooLarge``).
        NoActiveSession: outside any session.
        RunFenced: the calling run is over, or has a newer attempt elsewhere.
        SessionNotFound: it cannot be queued.
        StoreUnavailable: neither, since Redis was away for ``STEPWIRE_PUBLISH_TIMEOUT_S``.
    """
    from stepwire_core.wire.documents import ErrorInfo
    from stepwire_core.wire.run_request import RunRequest

    frame = current_frame("cl.enqueue")
    name, arguments = _work(task, args, kwargs)
    digest = json.dumps([name, arguments], sort_keys=True)
    scope = frame.scope
    settings = scope.producer.settings
    require_size(f"what task {name!r} is to do", digest, settings.max_event_bytes)
    request = RunRequest(
        session_id=scope.session_id,
        run_id=new_id(),
        handler=name,
        arguments=arguments,
        parent_id=frame.parent_id,
        parent_run_id=scope.run_id or None,
        awaited=True,
        subject=None if scope.run is None else scope.run.subject,
        priority=0 if scope.run is None else scope.run.priority,
        traceparent=None if frame.span is None else frame.span.header(),
    )
    part = _Part(scope, request)
    # What it nests under is there before it, and what it may look up.
    store_changes(scope)
    await scope.producer.flush()
    await patiently(settings, lambda: scope.producer.register(request.run_id, digest))
    try:
        await patiently(settings, part.queue)
        outcome = await waited_for(scope, request.run_id, part.outcome)
    except asyncio.CancelledError:
        await _cancel(scope, request.run_id)
        raise
    if outcome["status"] != "ok":
        error = ErrorInfo.model_validate(outcome["error"] or {"type": "", "message": ""})
        raise TaskFailed(name, request.run_id, outcome["status"], error.type, error.message)
    return outcome["value"]


def _work(
    task: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    name = task if isinstance(task, str) else name_of_task(task)
    if not name or is_event_handler(name):
        what = getattr(task, "__qualname__", None) or repr(task)
        raise InvalidArgument(
            f"cl.enqueue takes a function with @cl.task, or the name of a task; {what} is neither"
        )
    if callable(task):
        try:
            arguments = inspect.signature(task).bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArgument(f"task {name!r}: {error}") from error
        for parameter in inspect.signature(task).parameters.values():
            if parameter.kind == parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name, {})
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise InvalidArgument(
                    f"task {name!r} takes {parameter.name!r} by position: the arguments of a task "
                    "travel by name"
                )
    elif args:
        raise InvalidArgument(f"give the arguments of {name!r} by name: cl.enqueue({name!r}, a=…)")
    else:
        arguments = kwargs
    try:
        return name, json.loads(encoded(arguments))
    except ValueError as error:
        raise InvalidArgument(
            f"the arguments of task {name!r} have to reach another process: {error}; pass what is "
            "JSON"
        ) from error


class _Part:
    """The run of a task that is awaited, and its job."""

    def __init__(self, scope: Scope, request: RunRequest) -> None:
        self._scope = scope
        self._request = request
        self._lease_s = scope.producer.settings.lease_s
        self._look_at = time.monotonic() + self._lease_s
        self._was_gone = False

    async def queue(self) -> None:
        """Let workers see it; again changes nothing."""
        async with _queue_of(self._scope) as queue:
            await queue.enqueue(self._request)

    async def outcome(self) -> dict[str, Any] | None:
        """What it has come to; None: nothing yet."""
        outcome = await self._result()
        if outcome is None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._lease_s
            outcome = await self._look_for_job()
        return outcome

    async def _look_for_job(self) -> dict[str, Any] | None:
        """Without its job no worker would ever end the run: put it back.

        One that is gone twice, a lease apart, is lost: a worker that has the run has renewed its
        lease by then. A worker that is cut off from the queue counts as lost, as ever: the session
        counts the attempts, so the run is not executed more often than its handler says.
        """
        async with _queue_of(self._scope) as queue:
            gone = not await queue.has(self._request.run_id)
            if not (gone and self._was_gone):
                self._was_gone = gone
                return None
            if (end := await self._end()) is not None:
                return end
            logger.warning(
                "the queue has lost a task: it is queued again",
                extra={"run_id": self._request.run_id},
            )
            await queue.enqueue(self._request)
        self._was_gone = False
        return None

    async def _end(self) -> dict[str, Any] | None:
        """The end of the run, if it has one: a worker may have ended it without knowing that it is
        awaited."""
        from stepwire_core.wire.documents import RunDocument
        from stepwire_core.wire.run_ends import unreadable_outcome

        [document] = await self._scope.producer.state([f"r:{self._request.run_id}"])
        if document is None:
            return None
        ids = {"id_": self._request.run_id, "session_id": self._request.session_id}
        run = readable(RunDocument, document, "run", **ids)
        if run is None:
            return await self._result() or unreadable_outcome("how it ended cannot be read")
        if run.status == "running" or run.will_retry:
            return None
        error = None if run.error is None else run.error.model_dump()
        return await self._result() or {"status": run.status, "error": error, "value": None}

    async def _result(self) -> dict[str, Any] | None:
        return await self._scope.producer.result(self._request.run_id)


@asynccontextmanager
async def _queue_of(scope: Scope) -> AsyncIterator[Enqueues]:
    from stepwire_core.queue.run_queue import open_queue

    run = scope.run
    if run is not None and run.queue is not None and run.loop is asyncio.get_running_loop():
        yield run.queue
        return
    # A script, or a loop of its own: connections cannot be kept here.
    async with open_queue(scope.producer.settings) as queue:
        yield queue


async def _cancel(scope: Scope, run_id: str) -> None:
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await asyncio.shield(scope.producer.cancel(run_id))
    except (StepwireError, TimeoutError) as error:
        logger.warning(
            "a task could not be cancelled", extra={"run_id": run_id, "error": str(error)}
        )
