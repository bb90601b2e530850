"""The queue of runs: arq's own, with JSON instead of pickle and a list that wakes a worker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from arq.connections import ArqRedis
from pydantic import BaseModel, JsonValue
from redis.asyncio import ConnectionPool

from stepwire_core.connections import CONNECT_TIMEOUT_S, translated
from stepwire_core.documents import StepDocument
from stepwire_core.settings import Settings

RUN_FUNCTION: Final = "stepwire.run"
"""The one function that our workers register with arq."""

WAKE_MAX: Final = 1_000
"""Wakes that wait while no worker listens; beyond them the poll finds the jobs."""


class RunRequest(BaseModel):
    """A run that waits for a worker: the argument of the job."""

    session_id: str
    run_id: str
    handler: str
    message: StepDocument | None = None
    arguments: dict[str, JsonValue] = {}


def wake_key(queue_name: str) -> str:
    """The list on which idle workers block."""
    return f"{queue_name}:wake"


def serialize(job: dict[str, Any]) -> bytes:
    # An exception as a job's result has no JSON; its text is what a reader can use.
    return json.dumps(job, ensure_ascii=False, default=repr).encode()


def deserialize(job: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(job)
    return decoded


class RunQueue:
    """Puts runs into the queue. A run is queued once, however often it is enqueued."""

    def __init__(self, redis: ArqRedis, queue_name: str) -> None:
        self._redis = redis
        self._queue_name = queue_name

    async def enqueue(self, request: RunRequest) -> None:
        """Queue a run and wake an idle worker.

        Raises:
            StoreUnavailable: the queue's Redis does not answer; enqueueing again is safe.
        """
        async with translated():
            await self._redis.enqueue_job(
                RUN_FUNCTION, request.model_dump(), _job_id=request.run_id
            )
            wake = wake_key(self._queue_name)
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.lpush(wake, request.run_id)
                pipe.ltrim(wake, 0, WAKE_MAX - 1)
                await pipe.execute()

    async def ping(self) -> None:
        async with translated():
            await self._redis.ping()


@asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[RunQueue]:
    """The queue that the settings name, with connections of its own."""
    pool = ConnectionPool.from_url(
        settings.effective_queue_url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_keepalive=True,
    )
    redis = ArqRedis(
        pool,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=settings.queue_name,
    )
    try:
        yield RunQueue(redis, settings.queue_name)
    finally:
        await redis.aclose()
        await pool.disconnect()
