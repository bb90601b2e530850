"""What a second worker process brings: short runs a second, and tokens a second.

Runs that do next to nothing, so that what is measured is the way from the queue to the stored end;
and runs that do nothing but stream. All are queued at once, from here, and the time is taken until
the queue is empty. With the processor time of the workers and of Redis for each: two workers and
one Redis share the cores of this machine, so the rate cannot double where they are all busy.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from pydantic import JsonValue
from redis.asyncio import Redis

from accounting import cpu_s
from in_process import client_of
from rounds import Row, table
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.log.event_log import open_log
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest
from worker_processes import ready

LIMIT_S = 120.0

HANDLERS = """
import stepwire as cl

@cl.task
async def brief():
    async with cl.Step("brief"):
        pass

@cl.task
async def stream(tokens):
    async with cl.Step("stream") as step:
        for number in range(tokens):
            await step.stream_token(f"token {number % 997} ")
"""


@dataclass(frozen=True, slots=True)
class Drained:
    """How long it took until the queue was empty, and what that cost."""

    seconds: float
    workers_s: float
    redis_s: float
    here_s: float

    @property
    def busy(self) -> float:
        """Cores that all of them together kept busy."""
        return (self.workers_s + self.redis_s + self.here_s) / self.seconds


async def drained(
    settings: Settings, pids: tuple[list[int], int], runs: int, task: str, tokens: int | None
) -> Drained:
    """Queue so many runs at once, and wait until the queue is empty."""
    arguments: dict[str, JsonValue] = {} if tokens is None else {"tokens": tokens}
    requests = []
    async with open_log(settings) as log, open_queue(settings) as queue:
        for _ in range(runs):
            run_id = new_id()
            await log.create(run_id, run_id)
            requests.append(
                RunRequest(session_id=run_id, run_id=run_id, handler=task, arguments=arguments)
            )
        workers, server = pids
        before = cpu_s(workers), cpu_s([server]), time.process_time()
        started = time.perf_counter()
        await asyncio.gather(*map(queue.enqueue, requests))
        await _empty(client_of(queue.store), settings.queue_name)
        seconds = time.perf_counter() - started
        after = cpu_s(workers), cpu_s([server]), time.process_time()
    used = [late - early for late, early in zip(after, before, strict=True)]
    return Drained(seconds, *used)


async def _empty(redis: Redis, queue_name: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            if not await redis.zcard(queue_name):
                return
            await asyncio.sleep(0.01)


def _with_workers(count: int, runs: int, streams: int, tokens: int) -> tuple[Drained, Drained]:
    """Brief runs, and runs that stream, through so many workers."""
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server, ExitStack() as stack:
        app = Path(folder, "app.py")
        app.write_text(HANDLERS)
        env = os.environ | {"STEPWIRE_REDIS_URL": server.url}
        workers = [
            child_processes.worker(app, env, log=Path(folder, f"{number}.log"))
            for number in range(count)
        ]
        for worker in workers:
            stack.callback(worker.stop)
            worker.start()
        for worker in workers:
            ready(worker)
        settings = Settings(redis_url=server.url)
        pids = [pid_of(each.process) for each in workers], pid_of(server.process)
        asyncio.run(drained(settings, pids, 10 * count, "brief", None))
        brief = asyncio.run(drained(settings, pids, runs, "brief", None))
        return brief, asyncio.run(drained(settings, pids, streams, "stream", tokens))


def pid_of(process: Popen[bytes] | None) -> int:
    if process is None:
        raise RuntimeError("the process does not run")
    return process.pid


def measure(*, short: bool = False) -> list[Row]:
    rounds, runs, streams, tokens = (1, 20, 4, 500) if short else (7, 400, 40, 20_000)
    one, two = [], []
    for _ in range(rounds):
        one.append(_with_workers(1, runs, streams, tokens))
        two.append(_with_workers(2, runs, streams, tokens))
    rows = []
    for at, what, unit, units, amount in (
        (0, "brief runs", "runs/s", "run", runs),
        (
            1,
            f"{streams} streams of {tokens:,} tokens",
            "tokens/s",
            "1,000 tokens",
            streams * tokens,
        ),
    ):
        ones, twos = [each[at] for each in one], [each[at] for each in two]
        scale = 1e6 / amount * (1 if at == 0 else 1_000)
        peer = "one worker"
        rows += [
            Row(
                f"{what}, two workers",
                unit,
                [amount / each.seconds for each in twos],
                peer,
                [amount / each.seconds for each in ones],
                "",
            ),
            Row(
                f"{what}, two workers: cores busy, of {os.cpu_count()}",
                "cores",
                [each.busy for each in twos],
                peer,
                [each.busy for each in ones],
                "",
            ),
            Row(
                f"{what}, two workers: CPU of the workers",
                f"µs/{units}",
                [each.workers_s * scale for each in twos],
                peer,
                [each.workers_s * scale for each in ones],
                "",
            ),
            Row(
                f"{what}, two workers: CPU of Redis",
                f"µs/{units}",
                [each.redis_s * scale for each in twos],
                peer,
                [each.redis_s * scale for each in ones],
                "",
            ),
        ]
    return rows


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
