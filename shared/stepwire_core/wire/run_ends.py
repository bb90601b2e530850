"""The ends of runs, as all who may end one write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import JsonValue

from stepwire_core.values.clock import now
from stepwire_core.wire.documents import RunDocument
from stepwire_core.wire.events import NewEvent, result_event, run_end_event, run_start_event
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.unreadable import UNREADABLE


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
        retry_of=request.retry_of,
        ts=ts,
    )


def end_events(
    run: RunDocument, request: RunRequest, result: JsonValue = None
) -> Sequence[NewEvent]:
    """The end of an attempt; a final one comes with the result, if a caller awaits it."""
    if not request.awaited or run.will_retry:
        return (run_end_event(run),)
    error = None if run.error is None else run.error.model_dump()
    outcome = {"status": run.status, "error": error, "value": result}
    # In this order: the result is there when the run is over.
    return (result_event(run.run_id, json.dumps(outcome, allow_nan=False)), run_end_event(run))


def outcome_of(run_id: str, session_id: str, result: bytes) -> dict[str, Any]:
    """The outcome of an awaited run, as :func:`end_events` has stored it; for a result that
    cannot be read, an error that says so."""
    with suppress(ValueError, RecursionError):
        outcome = json.loads(result)
        if isinstance(outcome, dict) and isinstance(outcome.get("status"), str):
            return {"error": None, "value": None} | outcome
    UNREADABLE.note("result", run_id, "it is not what a run comes to", session_id=session_id)
    return unreadable_outcome("its result cannot be read")


def unreadable_outcome(why: str) -> dict[str, Any]:
    """The outcome of an awaited run whose documents this version does not understand."""
    return {"status": "error", "error": {"type": "Unreadable", "message": why}, "value": None}


def cancelled_events(request: RunRequest, attempt: int) -> Sequence[NewEvent]:
    """A run that is cancelled before a handler has begun it."""
    run = first_document(request, attempt)
    ended = run.model_copy(update={"status": "cancelled", "ended_at": run.ts})
    return (run_start_event(run), *end_events(ended, request))
