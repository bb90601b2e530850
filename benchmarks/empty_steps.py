"""Steps a second from one handler, stored, beside a plain pipelined ``XADD`` for each start and
end.

A run of 500 empty steps, from ``run.start`` to the stored ``run.end``. (The library whose API this
is does about 600 a second.) What a step costs in processor time, in all threads of the process,
depends less on what else the machine does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from redis.asyncio import Redis

import stepwire as cl
from in_process import running
from rounds import Row, table
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.values.ids import new_id


async def _ours(url: str, steps: int) -> tuple[float, float]:
    """Steps a second, and microseconds of processor time for each."""

    async def handler() -> None:
        for number in range(steps):
            async with cl.Step(name=f"step {number}", type="tool"):
                pass

    async with running(url, handler) as run:
        before = time.process_time()
        took = await run.seconds()
        return steps / took, (time.process_time() - before) / steps * 1e6


async def _theirs(url: str, steps: int) -> tuple[float, float]:
    redis = Redis.from_url(url)
    key = new_id()
    document: dict[Any, Any] = {"data": "x" * 480}
    try:
        started, before = time.perf_counter(), time.process_time()
        pipe = redis.pipeline(transaction=False)
        for _ in range(2 * steps):
            pipe.xadd(key, document)
        await pipe.execute()
        took, cpu = time.perf_counter() - started, time.process_time() - before
    finally:
        await redis.delete(key)
        await redis.aclose()
    return steps / took, cpu / steps * 1e6


def measure(*, short: bool = False) -> list[Row]:
    rounds, steps = (1, 50) if short else (9, 500)
    ours, theirs = [], []
    with embedded_server() as server:
        for _ in range(rounds):
            ours.append(asyncio.run(_ours(server.url, steps)))
            theirs.append(asyncio.run(_theirs(server.url, steps)))
    (rate, cpu), (their_rate, their_cpu) = zip(*ours, strict=True), zip(*theirs, strict=True)
    goal, peer = ">= 3,000 steps/s", "two XADD a step"
    return [
        Row("empty steps, stored", "steps/s", rate, peer, their_rate, goal),
        Row("empty steps: processor time of the process", "µs/step", cpu, peer, their_cpu, ""),
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
