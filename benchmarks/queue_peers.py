"""The queues of other people, each with a worker of one process.

    python benchmarks/queue_peers.py         make the environment of saq and taskiq, in build/

They have one of their own, since taskiq's Redis broker needs a newer redis-py than arq takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from accounting import children, cpu_s

REQUIREMENTS: Final = (
    *("saq==0.26.4", "taskiq==0.13.0", "taskiq-redis==1.2.4", "redis[hiredis]==8.1.0"),
)

FOLDER: Final = Path(__file__).parents[1] / "build" / "queues-venv"

AT_ONCE: Final = 10
"""Jobs that a worker executes at a time: the default of ours and of arq."""

_ARQ: Final = """
import asyncio, os
from arq.connections import RedisSettings, create_pool
from arq.worker import run_worker

SETTINGS = RedisSettings.from_dsn(os.environ["PEER_URL"])

async def brief(ctx):
    return None

async def opened():
    return await create_pool(SETTINGS)

async def enqueue(queue):
    await queue.enqueue_job("brief")

async def left(queue):
    return await queue.zcard("arq:queue")

def work():
    options = {"functions": [brief], "redis_settings": SETTINGS, "max_jobs": AT_ONCE}
    run_worker(options | {"poll_delay": 0.5})
"""

_SAQ: Final = """
import asyncio, os
from saq import Queue, Worker

async def brief(ctx):
    return None

async def opened():
    queue = Queue.from_url(os.environ["PEER_URL"])
    await queue.connect()
    return queue

async def enqueue(queue):
    await queue.enqueue("brief")

async def left(queue):
    return await queue.count("incomplete")

def work():
    queue = Queue.from_url(os.environ["PEER_URL"])
    worker = Worker(queue, functions=[("brief", brief)], concurrency=AT_ONCE)
    asyncio.run(worker.start())
"""

_TASKIQ: Final = """
import asyncio, os, sys
from redis.asyncio import Redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

url = os.environ["PEER_URL"]
results = RedisAsyncResultBackend(url, result_ex_time=3600)
broker = RedisStreamBroker(url).with_result_backend(results)

@broker.task(task_name="brief")
async def brief():
    return None

async def opened():
    await broker.startup()
    redis = Redis.from_url(url)
    return [redis, await redis.dbsize()]

async def enqueue(queue):
    queue[1] += 1
    await brief.kiq()

async def left(queue):
    # A result is a key.
    return queue[1] - await queue[0].dbsize()

def work():
    program = os.path.join(os.path.dirname(sys.executable), "taskiq")
    arguments = ["--workers", "1", "--max-async-tasks", str(AT_ONCE), "--log-level", "ERROR"]
    os.execv(program, [program, "worker", "peer:broker", *arguments])
"""

_CELERY: Final = """
import asyncio, os
from celery import Celery
from redis.asyncio import Redis

url = os.environ["PEER_URL"]
app = Celery("peer", broker=url, backend=url)
app.conf.broker_connection_retry_on_startup = True

@app.task(name="brief")
def brief():
    return None

async def opened():
    return [Redis.from_url(url), 0]

async def enqueue(queue):
    queue[1] += 1
    brief.delay()

async def left(queue):
    # A result is a key.
    return queue[1] - len(await queue[0].keys("celery-task-meta-*"))

def work():
    # One process, as all others; its tasks are no coroutines.
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    app.worker_main(["worker", "--pool=threads", f"--concurrency={AT_ONCE}", *quiet])
"""

_MAIN: Final = """
async def drained(runs):
    queue = await opened()
    for number in (AT_ONCE, runs):
        before = time.perf_counter()
        some = asyncio.Semaphore(50)

        async def one():
            async with some:
                await enqueue(queue)

        await asyncio.gather(*(one() for _ in range(number)))
        while await left(queue) > 0:
            await asyncio.sleep(0.01)
        print(time.perf_counter() - before, flush=True)
        # The processor time that this took is read before the next one.
        sys.stdin.readline()

if __name__ == "__main__":
    import time
    if sys.argv[1:] == ["work"]:
        work()
    else:
        asyncio.run(drained(int(sys.argv[1])))
"""

ARQ: Final = "arq 0.28"
CELERY: Final = "celery 5.5, threads"

PROGRAMS: Final[Mapping[str, str]] = {
    ARQ: _ARQ,
    "saq 0.26": _SAQ,
    "taskiq 0.13, Redis streams": _TASKIQ,
    CELERY: _CELERY,
}

_OF_DEVELOPMENT: Final = frozenset({ARQ, CELERY})
"""They are in the environment of this repository."""


@dataclass(frozen=True, slots=True)
class Emptied:
    """How long a worker took for all jobs, and its processor time."""

    seconds: float
    worker_s: float


def missing(peer: str = "") -> str:
    """Why it cannot be measured beside us here, or nothing."""
    if peer in _OF_DEVELOPMENT or (FOLDER / "bin" / "taskiq").exists():
        return ""
    return f"{peer or 'a queue'} is not installed, see 'make bench-peers'"


def install() -> None:
    """Make the environment; once is enough."""
    if missing():
        venv.create(FOLDER, with_pip=True, clear=True)
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)


def emptied(peer: str, url: str, runs: int) -> Emptied:
    """Let a worker of that queue do so many jobs that do nothing; all are queued at once."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "peer.py")
        head = f"import sys\nAT_ONCE = {AT_ONCE}\n"
        program.write_text(head + PROGRAMS[peer] + _MAIN)
        own = str(FOLDER / "bin" / "python")
        python = sys.executable if peer in _OF_DEVELOPMENT else own
        command = [python, str(program)]
        env = os.environ | {"PEER_URL": url, "PYTHONPATH": folder}
        with _running([*command, "work"], env) as worker, _asked([*command, str(runs)], env) as ask:
            # The first jobs find the worker started, with its modules and connections.
            _next(ask)
            pids = [worker.pid, *children(worker.pid)]
            before = cpu_s(pids)
            _go_on(ask)
            seconds = _next(ask)
            used = cpu_s(pids) - before
            _go_on(ask)
        return Emptied(seconds, used)


@contextmanager
def _running(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _asked(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def _next(process: subprocess.Popen[str]) -> float:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("a queue beside us did not do its jobs")
    return float(line)


def _go_on(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.write("\n")
        process.stdin.flush()


if __name__ == "__main__":
    install()
    print(f"{', '.join(REQUIREMENTS)}: {missing() or 'installed'}", file=sys.stderr)
