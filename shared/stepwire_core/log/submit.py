"""What starts a run goes into the log, and the run into the queue."""

from __future__ import annotations

from stepwire_core.log.event_log import Appended, Batch, EventLog, NewJob
from stepwire_core.queue.run_queue import RunQueue, enqueue_args
from stepwire_core.wire.run_request import RunRequest


def is_one_step(log: EventLog, queue: RunQueue) -> bool:
    """Whether one call can store a batch and queue a run: both are on one server."""
    return log.store.server == queue.store.server


async def submit(log: EventLog, queue: RunQueue, batch: Batch, request: RunRequest) -> Appended:
    """Store a batch and queue the run that it starts; nothing is queued if none of it was new.

    One round trip, and atomic, where the log and the queue are on one server. Else the run is
    queued after the batch was stored: a call that fails in between is completed by
    :meth:`RunQueue.enqueue`, which is safe to repeat.

    Raises: as :meth:`EventLog.append` and :meth:`RunQueue.enqueue`.
    """
    if is_one_step(log, queue):
        return await log.append(batch, NewJob(queue.keys, enqueue_args(request)))
    appended = await log.append(batch)
    if appended.stored:
        await queue.enqueue(request)
    return appended
