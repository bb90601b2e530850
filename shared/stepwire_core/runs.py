"""The ends of runs, as all who may end one write them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import JsonValue

from stepwire_core.clock import now
from stepwire_core.documents import RunDocument
from stepwire_core.events import NewEvent, result_event, run_end_event, run_start_event
from stepwire_core.queue import RunRequest


def first_document(request: RunRequest, attempt: int) -> RunDocument:
    """A run as an attempt of it begins."""
    ts = now()
    return RunDocument(
        run_id=request.run_id,
        handler=request.handler,
        attempt=attempt,
        message_id=None if request.message is None else request.message.id,
        status="running",
        started_at=ts,
        parent_run_id=request.parent_run_id,
        ts=ts,
    )


def end_events(
    run: RunDocument, request: RunRequest, result: JsonValue = None
) -> Sequence[NewEvent]:
    """The end of an attempt; a final one comes with the result, if somebody awaits it."""
    if not request.awaited or run.will_retry:
        return (run_end_event(run),)
    error = None if run.error is None else run.error.model_dump()
    outcome = {"status": run.status, "error": error, "value": result}
    # In this order: the result is there when the run is over.
    return (result_event(run.run_id, json.dumps(outcome)), run_end_event(run))


def cancelled_events(request: RunRequest, attempt: int) -> Sequence[NewEvent]:
    """A run that is cancelled before a handler has begun it."""
    run = first_document(request, attempt)
    ended = run.model_copy(update={"status": "cancelled", "ended_at": run.ts})
    return (run_start_event(run), *end_events(ended, request))
