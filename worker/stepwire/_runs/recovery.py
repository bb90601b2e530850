"""The end of an attempt that cannot end itself: its worker has died, or we are at fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire_core.values.clock import now
from stepwire_core.wire.documents import ErrorInfo, RunDocument, Snapshot, StepDocument
from stepwire_core.wire.events import NewEvent, ask_end_event, step_event
from stepwire_core.wire.run_ends import end_events, first_document
from stepwire_core.wire.words import EndStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stepwire_core.wire.run_request import RunRequest

DEAD_WORKER: Final = ErrorInfo(
    type="WorkerLost", message="the worker that ran this died or lost its connection"
)


@dataclass(frozen=True, slots=True)
class RunFault:
    """How an attempt ended that could not end itself, and what was left open with it."""

    status: EndStatus
    error: ErrorInfo


def closing_events(
    snapshot: Snapshot, request: RunRequest, attempt: int, fault: RunFault, *, retry: bool
) -> list[NewEvent]:
    """The events that end such an attempt: its asks, its open steps, the deepest first, the run."""
    ts = now()
    asks = [ask for ask in snapshot.asks if ask.run_id == request.run_id and ask.status == "open"]
    open_steps = [
        step
        for step in snapshot.steps
        if step.run_id == request.run_id and step.status == "running"
    ]
    events = [
        ask_end_event(ask.model_copy(update={"status": "interrupted", "ended_at": ts, "ts": ts}))
        for ask in asks
    ]
    for step in sorted(open_steps, key=_depth(snapshot), reverse=True):
        ended = step.model_copy(
            update={"status": "interrupted", "error": fault.error, "ended_at": ts, "ts": ts}
        )
        events.append(step_event("step.end", ended))
    run = snapshot.run(request.run_id)
    return [*events, *run_closing_events(run, request, attempt, fault, retry=retry)]


def run_closing_events(
    run: RunDocument | None, request: RunRequest, attempt: int, fault: RunFault, *, retry: bool
) -> Sequence[NewEvent]:
    """The event that ends the run alone; ``run`` as it stands in the state."""
    ts = now()
    if run is None:
        # It died between its beginning and its first event.
        run = first_document(request, attempt)
        unfinished = not retry
    else:
        unfinished = run.status == "running" or (run.will_retry and not retry)
    if not unfinished:
        return ()
    end = {
        "status": fault.status,
        "error": fault.error,
        "will_retry": retry,
        "ended_at": ts,
        "ts": ts,
    }
    return end_events(run.model_copy(update=end), request)


def _depth(snapshot: Snapshot) -> Callable[[StepDocument], int]:
    parents = {step.id: step.parent_id for step in snapshot.steps}

    def depth(step: StepDocument) -> int:
        level, parent = 0, step.parent_id
        # A parent that comes from a user may point in a circle.
        while parent is not None and level <= len(parents):
            level, parent = level + 1, parents.get(parent)
        return level

    return depth
