"""What ends an attempt that cannot end itself, since its worker has died."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepwire_core.clock import now
from stepwire_core.documents import ErrorInfo, Snapshot, StepDocument
from stepwire_core.events import NewEvent, ask_end_event, step_event
from stepwire_core.runs import end_events, first_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepwire_core.queue import RunRequest

DEAD_WORKER: Final = ErrorInfo(
    type="WorkerLost", message="the worker that ran this died or lost its connection"
)


def closing_events(
    snapshot: Snapshot, request: RunRequest, lost_attempt: int, *, retry: bool
) -> list[NewEvent]:
    """What ends a lost attempt: what it asked, its open steps, the deepest first, then the run."""
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
            update={"status": "interrupted", "error": DEAD_WORKER, "ended_at": ts, "ts": ts}
        )
        events.append(step_event("step.end", ended))
    run = snapshot.run(request.run_id)
    if run is None:
        # It died between its beginning and its first event.
        run = first_document(request, lost_attempt)
        unfinished = not retry
    else:
        unfinished = run.status == "running" or (run.will_retry and not retry)
    if unfinished:
        end = {
            "status": "interrupted",
            "error": DEAD_WORKER,
            "will_retry": retry,
            "ended_at": ts,
            "ts": ts,
        }
        events += end_events(run.model_copy(update=end), request)
    return events


def _depth(snapshot: Snapshot) -> Callable[[StepDocument], int]:
    parents = {step.id: step.parent_id for step in snapshot.steps}

    def depth(step: StepDocument) -> int:
        level, parent = 0, step.parent_id
        # A parent that comes from a user may point in a circle.
        while parent is not None and level <= len(parents):
            level, parent = level + 1, parents.get(parent)
        return level

    return depth
