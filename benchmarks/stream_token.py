"""Tokens a second from ``stream_token``, stored, beside pipelined XADD of the same tokens.

One process each time, in turn, against the same server: a whole run from ``run.start`` to the
stored ``run.end``, and redis-py pipelines of 1,000 ``XADD``. Also counts what Redis was asked:
round trips are script calls, and there are far fewer of them than tokens.
"""

from __future__ import annotations

import asyncio
import sys
import time

from redis.asyncio import Redis

import stepwire as cl
from in_process import running
from rounds import Row, table
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.values.ids import new_id

PIPELINE = 1_000


def _token(number: int) -> str:
    return f"token {number % 997} "


async def _ours(url: str, tokens: int) -> tuple[float, float]:
    """Tokens a second, and tokens a script call."""

    async def handler() -> None:
        async with cl.Step(name="stream", type="llm") as step:
            for number in range(tokens):
                await step.stream_token(_token(number))

    async with running(url, handler) as run:
        await run.redis.config_resetstat()
        took = await run.seconds()
        stats = await run.redis.info("commandstats")
        output = (await run.log.snapshot(run.session_id)).steps[0].output
    if output != "".join(map(_token, range(tokens))):
        raise RuntimeError("tokens were lost")
    return tokens / took, tokens / stats["cmdstat_evalsha"]["calls"]


async def _theirs(url: str, tokens: int) -> float:
    redis = Redis.from_url(url)
    key = new_id()
    try:
        started = time.perf_counter()
        for start in range(0, tokens, PIPELINE):
            pipe = redis.pipeline(transaction=False)
            for number in range(start, min(start + PIPELINE, tokens)):
                pipe.xadd(key, {"text": _token(number)})
            await pipe.execute()
        took = time.perf_counter() - started
    finally:
        await redis.delete(key)
        await redis.aclose()
    return tokens / took


def measure(*, short: bool = False) -> list[Row]:
    rounds, tokens = (1, 5_000) if short else (7, 200_000)
    ours, theirs, per_call = [], [], []
    with embedded_server() as server:
        for _ in range(rounds):
            rate, merged = asyncio.run(_ours(server.url, tokens))
            ours.append(rate)
            per_call.append(merged)
            theirs.append(asyncio.run(_theirs(server.url, tokens)))
    return [
        Row("stream_token, stored", "tokens/s", ours, "pipelined XADD", theirs, ">= 1.0"),
        Row(
            "tokens a round trip",
            "tokens",
            per_call,
            "one round trip a token",
            [1.0] * rounds,
            "> 1",
        ),
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
