"""Steps a second from one handler, stored, beside a plain pipelined ``XADD`` for each start and
end.

A run of 500 empty steps, from ``run.start`` to the stored ``run.end``. (The library whose API this
is does about 600 a second.)
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


async def _ours(url: str, steps: int) -> float:
    async def handler() -> None:
        for number in range(steps):
            async with cl.Step(name=f"step {number}", type="tool"):
                pass

    async with running(url, handler) as run:
        return steps / await run.seconds()


async def _theirs(url: str, steps: int) -> float:
    redis = Redis.from_url(url)
    key = new_id()
    document: dict[Any, Any] = {"data": "x" * 480}
    try:
        started = time.perf_counter()
        pipe = redis.pipeline(transaction=False)
        for _ in range(2 * steps):
            pipe.xadd(key, document)
        await pipe.execute()
        took = time.perf_counter() - started
    finally:
        await redis.delete(key)
        await redis.aclose()
    return steps / took


def measure(*, short: bool = False) -> list[Row]:
    rounds, steps = (1, 50) if short else (9, 500)
    ours, theirs = [], []
    with embedded_server() as server:
        for _ in range(rounds):
            ours.append(asyncio.run(_ours(server.url, steps)))
            theirs.append(asyncio.run(_theirs(server.url, steps)))
    goal = ">= 3,000 steps/s"
    return [Row("empty steps, stored", "steps/s", ours, "two XADD a step", theirs, goal)]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
