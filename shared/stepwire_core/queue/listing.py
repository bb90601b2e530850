"""The runs in the queue: those that wait, and those that workers have taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from stepwire_core.queue.arq_format import stored_job
from stepwire_core.queue.run_queue import JobKeys, held_key
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.redis.commands import command
from stepwire_core.values.clock import written
from stepwire_core.wire.run_request import RunRequest

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store
    from stepwire_core.wire.worker_document import WorkerDocument


class QueuedRun(BaseModel):
    """A run that waits or is executed."""

    state: Literal["running", "queued", "held", "deferred"]
    """``held``: a limit of its handler or subject holds it back; ``deferred``: it waits for its
    time, ``due_at``."""
    run_id: str
    session_id: str
    handler: str
    priority: int | None = None
    queued_at: str | None = None
    due_at: str | None = None
    attempt: int | None = None
    """What runs, and where; None while its worker has only just taken it, or is lost."""
    since: str | None = None
    worker_id: str | None = None
    host: str | None = None
    pid: int | None = None


async def read_queue(store: Store, queue_name: str, limit: int) -> list[QueuedRun]:
    """What runs, the oldest first, then what waits, the next one first; at most ``limit``.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
    """
    running = _running(await read_workers(store, queue_name))
    waiting: list[QueuedRun] = []
    # Runs that workers have taken have their lease's end as score: they come last.
    [scores] = await store.read(command("ZRANGE", queue_name, 0, max(limit, 1) - 1, "WITHSCORES"))
    job_ids = scores[::2]
    calls = []
    for job_id in job_ids:
        keys = JobKeys.of(queue_name, job_id.decode())
        calls.append(command("GET", keys.job))
        calls.append(command("EXISTS", keys.taken))
        calls.append(command("HEXISTS", held_key(queue_name), job_id))
    replies = await store.read(*calls)
    times_ms = map(float, scores[1::2])
    about = zip(job_ids, times_ms, replies[::3], replies[1::3], replies[2::3], strict=True)
    for job_id, at_ms, job, taken, held in about:
        if isinstance(job, bytes) and job_id.decode() not in running:
            run = _queued(job, at_ms, taken=bool(taken), held=bool(held))
            if run is not None:
                waiting.append(run)
    taken_runs = [run for run in waiting if run.state == "running"]
    rest = [run for run in waiting if run.state != "running"]
    return [*running.values(), *taken_runs, *rest][:limit]


def _running(workers: list[WorkerDocument]) -> dict[str, QueuedRun]:
    runs = {
        run.run_id: QueuedRun(
            state="running",
            run_id=run.run_id,
            session_id=run.session_id,
            handler=run.handler,
            attempt=run.attempt,
            since=run.since,
            worker_id=worker.id,
            host=worker.host,
            pid=worker.pid,
        )
        # The newest attempt stays: a worker that was paused may still show an older one.
        for worker, run in sorted(
            ((worker, run) for worker in workers for run in worker.runs),
            key=lambda pair: pair[1].attempt,
        )
    }
    return dict(sorted(runs.items(), key=lambda item: item[1].since or ""))


def _queued(job: bytes, at_ms: float, *, taken: bool, held: bool) -> QueuedRun | None:
    try:
        stored = stored_job(job)
        request = RunRequest.model_validate(stored.arguments[0])
        queued_at = written(stored.queued_ms)
    except (ValueError, LookupError, TypeError):
        # Somebody else's job in our queue.
        return None
    state: Literal["running", "queued", "held", "deferred"] = "queued"
    if taken:
        state = "running"
    elif held:
        state = "held"
    elif at_ms > time.time() * 1000:
        state = "deferred"
    return QueuedRun(
        state=state,
        run_id=request.run_id,
        session_id=request.session_id,
        handler=request.handler,
        priority=request.priority,
        queued_at=queued_at,
        due_at=written(int(at_ms)) if state == "deferred" else None,
    )
