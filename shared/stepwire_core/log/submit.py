"""What starts a run goes into the log, and the run into the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from stepwire_core.log.event_log import Appended, Batch, EventLog
from stepwire_core.log.scripts import SUBMIT
from stepwire_core.queue.run_queue import RunQueue, enqueue_args
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.scripts import Argument, script_args
from stepwire_core.wire.run_request import RunRequest


@dataclass(frozen=True, slots=True)
class _AppendAndEnqueue:
    """``append.lua`` with a job for the queue on the same server."""

    queue_keys: Sequence[str]
    job: Sequence[Argument]

    async def __call__(
        self, redis: Redis, keys: SessionKeys, *args: str | int | bytes
    ) -> list[Any]:
        both = (*keys.script_keys, *self.queue_keys)
        return await SUBMIT.call(
            redis, both, script_args("log/submit", *args, *self.job, count=len(args))
        )


async def submit(log: EventLog, queue: RunQueue, batch: Batch, request: RunRequest) -> Appended:
    """Store a batch and queue the run that it starts; nothing is queued if none of it was new.

    One round trip, and atomic, where the log and the queue are on one server. Else the run is
    queued after the batch was stored: a call that fails in between is completed by
    :meth:`RunQueue.enqueue`, which is safe to repeat.

    Raises: as :meth:`EventLog.append` and :meth:`RunQueue.enqueue`.
    """
    if log.is_beside_queue:
        script = _AppendAndEnqueue(queue.keys, enqueue_args(request))
        return await log.append(batch, script)
    appended = await log.append(batch)
    if appended.stored:
        await queue.enqueue(request)
    return appended
