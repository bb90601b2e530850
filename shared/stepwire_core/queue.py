"""The queue of runs: arq's own, with JSON instead of pickle and a list that wakes a worker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

from arq.constants import job_key_prefix, result_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms
from pydantic import BaseModel, JsonValue
from redis.asyncio import Redis

from stepwire_core.connections import connect, translated
from stepwire_core.documents import ElementDocument, StepDocument
from stepwire_core.settings import Settings

RUN_FUNCTION: Final = "stepwire.run"
"""The one function that our workers register with arq."""

JOB_TTL_MS: Final = 7 * 24 * 3600 * 1000
"""A job that no worker takes for this long is gone."""

WAKE_MAX: Final = 1_000
"""Wakes that wait while no worker listens; beyond them the poll finds the jobs."""


class RunRequest(BaseModel):
    """A run that waits for a worker: the argument of the job."""

    session_id: str
    run_id: str
    handler: str
    message: StepDocument | None = None
    elements: list[ElementDocument] = []
    """The files that came with the message."""
    arguments: dict[str, JsonValue] = {}
    user: dict[str, JsonValue] = {}
    """For ``on_chat_end``: what the session, which is gone by then, remembered."""


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
    """Puts runs into the queue. A run is queued once, however often it is enqueued.

    What it writes is what ``ArqRedis.enqueue_job`` writes, in one round trip instead of three, with
    the wake in the same step.
    """

    def __init__(self, redis: Redis, queue_name: str) -> None:
        self._redis = redis
        self._queue_name = queue_name
        source = files("stepwire_core").joinpath("lua", "enqueue.lua").read_bytes()
        self._script = redis.register_script(source)

    async def enqueue(self, request: RunRequest) -> None:
        """Queue a run and wake an idle worker.

        Raises:
            StoreUnavailable: the queue's Redis does not answer; enqueueing again is safe.
        """
        run_id, now_ms = request.run_id, timestamp_ms()
        job = serialize_job(
            RUN_FUNCTION, (request.model_dump(),), {}, None, now_ms, serializer=serialize
        )
        keys = [
            job_key_prefix + run_id,
            result_key_prefix + run_id,
            self._queue_name,
            wake_key(self._queue_name),
        ]
        async with translated():
            await self._script(keys=keys, args=[run_id, job, now_ms, JOB_TTL_MS, WAKE_MAX])

    @property
    def redis(self) -> Redis:
        """Where the queue is."""
        return self._redis

    async def ping(self) -> None:
        """Return when the queue's Redis answers."""
        async with translated():
            await self._redis.ping()


@asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[RunQueue]:
    """The queue that the settings name, with connections of its own."""
    redis = connect(settings.effective_queue_url)
    try:
        yield RunQueue(redis, settings.queue_name)
    finally:
        await redis.aclose()
