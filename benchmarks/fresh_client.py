"""A client without a cursor opens a long session, beside a plain GET of as many bytes.

100,000 tokens were streamed into 50 steps. Measured from the request to the last byte of the
snapshot; the GET is that of redis-py from the same server.
"""

from __future__ import annotations

import asyncio
import sys
import time

from gateway_process import Session, gateway_session
from rounds import Row, table
from stepwire_core.wire.events import delta_event

STEPS = 50


async def _snapshot(session: Session) -> tuple[float, bytes]:
    """Milliseconds until the snapshot is there, and the answer up to its end."""
    started = time.perf_counter()
    reader, writer = await session.open()
    await reader.readuntil(b"event: snapshot\ndata: ")
    data = await reader.readuntil(b"\n\n")
    took = (time.perf_counter() - started) * 1e3
    writer.close()
    return took, data


async def _rounds(rounds: int, tokens: int) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    async with gateway_session() as session:
        for number in range(STEPS):
            await session.start_step(f"step{number}")
            texts = [f"token {n % 997} " for n in range(tokens // STEPS)]
            await session.append([delta_event(f"step{number}", text) for text in texts])
        _, data = await _snapshot(session)
        await session.redis.set("as many bytes", data)
        for _ in range(rounds):
            ours.append((await _snapshot(session))[0])
            started = time.perf_counter()
            await session.redis.get("as many bytes")
            theirs.append((time.perf_counter() - started) * 1e3)
    return ours, theirs


def measure(*, short: bool = False) -> list[Row]:
    rounds, tokens = (2, 5_000) if short else (15, 100_000)
    ours, theirs = asyncio.run(_rounds(rounds, tokens))
    what = f"fresh client, {tokens:,} tokens in {STEPS} steps"
    return [Row(what, "ms", ours, "GET of as many bytes", theirs, "<= 5")]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
