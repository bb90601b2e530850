"""What an idle worker costs Redis, and how soon it starts a job, while nothing and while 200 jobs
run, beside stock arq.

The 200 jobs are held by a worker of their own, as full as it may be, so the next job is for the
idle one. Commands are deltas of ``INFO commandstats``, which counts what scripts do, too, and is
about the whole server: with 200 jobs both workers count, ours with the leases that the full one
renews (stock arq has none). Jobs are enqueued straight from here.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.asyncio import Redis

from in_process import client_of
from rounds import Row, percentile, table
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.log.event_log import EventLog, open_log
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest

JOBS = 200
LIMIT_S = 60

HANDLERS = """
import asyncio, time
import stepwire as cl

@cl.task
async def hold():
    async with cl.Step("held"):
        await asyncio.sleep(3600)

@cl.task
async def started():
    at = time.monotonic_ns()
    async with cl.Step("started") as step:
        step.output = at
"""

STOCK = """
import asyncio, os, time
from arq.connections import RedisSettings
from arq.worker import run_worker

async def hold(ctx):
    await ctx["redis"].incr("held")
    await asyncio.sleep(3600)

async def started(ctx):
    return time.monotonic_ns()

run_worker({
    "functions": [hold, started],
    "redis_settings": RedisSettings.from_dsn(os.environ["PEER_URL"]),
    "poll_delay": float(os.environ["PEER_POLL_S"]),
    "max_jobs": int(os.environ["PEER_MAX_JOBS"]),
    "job_timeout": 7200,
    # As it is, an idle worker looks at the first 100 jobs of the queue, and all of them run: it
    # would never find the next one.
    "queue_read_limit": 1000,
})
"""


@dataclass(slots=True)
class Figures:
    """The figures of one system: commands a second, and milliseconds to a start, round by round."""

    idle: list[float] = field(default_factory=list)
    holding: list[float] = field(default_factory=list)
    start_ms: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Form:
    """How long it is measured."""

    rounds: int
    window_s: float
    calls: int


async def _measured(
    redis: Redis,
    form: Form,
    worker: Callable[[int], object],
    ready: Callable[[], Awaitable[None]],
    hold: Callable[[], Awaitable[None]],
    start: Callable[[], Awaitable[float]],
) -> Figures:
    """The one course of events, for every system."""
    figures = Figures()
    worker(JOBS)
    await ready()
    figures.idle = [await _commands_per_s(redis, form.window_s) for _ in range(form.rounds)]
    await hold()
    worker(10)
    await ready()
    figures.holding = [await _commands_per_s(redis, form.window_s) for _ in range(form.rounds)]
    for _ in range(form.rounds):
        took = []
        for call in range(form.calls):
            # Spread over the poll interval, as real requests are.
            await asyncio.sleep(0.02 + 0.5 * call / form.calls)
            took.append(await start())
        figures.start_ms.append(took)
    return figures


async def _commands_per_s(redis: Redis, window_s: float) -> float:
    async def calls() -> int:
        stats = await redis.info("commandstats")
        return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_info")

    before, started = await calls(), time.monotonic()
    await asyncio.sleep(window_s)
    return (await calls() - before) / (time.monotonic() - started)


async def ours(form: Form) -> Figures:
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server, ExitStack() as stack:
        app = _handlers(folder)
        settings = Settings(redis_url=server.url)
        children: list[child_processes.Child] = []

        def worker(max_jobs: int) -> None:
            env = {"STEPWIRE_REDIS_URL": server.url, "STEPWIRE_MAX_JOBS": str(max_jobs)}
            child = child_processes.worker(
                app, os.environ | env, log=Path(folder, f"{max_jobs}.log")
            )
            stack.callback(child.kill)
            child.start()
            children.append(child)

        async def all_ready() -> bool:
            return all("worker ready" in child.output for child in children)

        async def ready() -> None:
            await _until(all_ready)

        async with _client(settings) as client:

            async def hold() -> None:
                runs = [await client.run("hold") for _ in range(JOBS)]
                for run in runs:
                    await client.first_step(run)

            async def start() -> float:
                before = time.monotonic_ns()
                run = await client.run("started")
                # Not asked at once: reading would take the processor from the measured processes.
                await asyncio.sleep(0.03)
                return (int(await client.first_step(run)) - before) / 1e6

            return await _measured(client.redis, form, worker, ready, hold, start)


@dataclass(frozen=True, slots=True)
class _Client:
    redis: Redis
    log: EventLog
    enqueue: Callable[[RunRequest], Awaitable[None]]

    async def run(self, task: str) -> str:
        run_id = new_id()
        await self.log.create(run_id, run_id)
        await self.enqueue(RunRequest(session_id=run_id, run_id=run_id, handler=task))
        return run_id

    async def first_step(self, run_id: str) -> str:
        """What the run's only step has put out; returns once it has begun or, if it ends, ended."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for step in (await self.log.snapshot(run_id)).steps:
                if step.name == "held" or step.output:
                    return step.output
            await asyncio.sleep(0.005)
        raise TimeoutError


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[_Client]:
    async with open_log(settings) as log, open_queue(settings) as queue:
        yield _Client(client_of(log.store), log, queue.enqueue)


async def stock(form: Form, poll_s: float) -> Figures:
    """The same for arq workers without us."""
    with embedded_server() as server, ExitStack() as stack:

        def worker(max_jobs: int) -> None:
            env = {"PEER_URL": server.url, "PEER_POLL_S": str(poll_s)}
            process = subprocess.Popen(
                [sys.executable, "-c", STOCK],
                env=os.environ | env | {"PEER_MAX_JOBS": str(max_jobs)},
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

        redis: ArqRedis = await create_pool(RedisSettings.from_dsn(server.url))
        expected = 0

        async def connected() -> bool:
            # One connection each, and ours here.
            return len(await redis.client_list()) > expected

        async def all_held() -> bool:
            return int(await redis.get("held") or 0) == JOBS

        async def ready() -> None:
            nonlocal expected
            expected += 1
            await _until(connected)
            await asyncio.sleep(0.2)

        async def hold() -> None:
            for _ in range(JOBS):
                await redis.enqueue_job("hold")
            await _until(all_held)

        async def start() -> float:
            before = time.monotonic_ns()
            job = await redis.enqueue_job("started")
            if job is None:
                raise RuntimeError("arq did not take the job")
            at: int = await job.result(timeout=LIMIT_S, poll_delay=0.01)
            return (at - before) / 1e6

        try:
            async with asyncio.timeout(600):
                return await _measured(redis, form, worker, ready, hold, start)
        finally:
            await redis.aclose(close_connection_pool=True)


def _handlers(folder: str) -> Path:
    app = Path(folder, "app.py")
    app.write_text(HANDLERS)
    return app


async def _until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            if await true():
                return
            await asyncio.sleep(0.01)


def measure(*, short: bool = False) -> list[Row]:
    # Leases are renewed every five seconds: each window sees that once.
    form = Form(1, 1.0, 3) if short else Form(5, 5.0, 20)
    mine = asyncio.run(ours(form))
    rows = []
    for poll_s in (0.5, 0.01):
        theirs = asyncio.run(stock(form, poll_s))
        peer = f"stock arq, poll {poll_s:g} s"
        rows += [
            Row("idle worker", "commands/s", mine.idle, peer, theirs.idle, ""),
            Row(
                f"full worker with {JOBS} jobs and idle one",
                "commands/s",
                mine.holding,
                f"{peer}, reading 1,000 jobs",
                theirs.holding,
                "< 1",
            ),
        ]
        rows += [
            Row(
                f"enqueue to start beside {JOBS} jobs, {name}",
                "ms",
                [percentile(took, percent) for took in mine.start_ms],
                f"{peer}, reading 1,000 jobs",
                [percentile(took, percent) for took in theirs.start_ms],
                "< 1",
            )
            for name, percent in (("p50", 50), ("p99", 99))
        ]
    return rows


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
