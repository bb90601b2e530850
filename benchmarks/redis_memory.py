"""What a session takes of Redis, and its tokens, beside the same tokens as one stream entry each.

By ``used_memory`` of a server, before and after 20 sessions (the peer: 20 streams), in each round.
A session is a message and the run that answers it with one step. Its tokens come as fast as
the handler makes them, or one by one, so that each is an event of its own, which is what the pace
of a model comes to. A peer's entry is what a reader of several steps needs to place a token (type,
run, step and text, as our own events have them), or nothing but the text.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis

import stepwire as cl
from in_process import InProcess, running
from rounds import Row, table
from stepwire._scope.context import current_frame
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.log.event_log import Batch
from stepwire_core.values.ids import message_producer, new_id
from stepwire_core.wire.events import delta_event
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.user_messages import message_events, user_message

Fill = Callable[[str, int], Awaitable[None]]


def _token(number: int) -> str:
    return f"token {number % 997} "


async def _bytes_each(fill: Fill, count: int) -> float:
    """Bytes of Redis for each of what ``fill`` makes."""
    with embedded_server() as server:
        redis = Redis.from_url(server.url)
        try:
            # Scripts, functions and the buffers of clients are kept once, and not for each session.
            # The same amount before leaves only what each session adds.
            await fill(server.url, count)
            before = await _used(redis)
            await fill(server.url, count)
            after = await _used(redis)
        finally:
            await redis.aclose()
    return (after - before) / count


async def _used(redis: Redis) -> int:
    """Bytes that a server uses without its other clients, whose buffers it frees a little later."""
    for _ in range(1_000):
        if (await redis.info("clients"))["connected_clients"] == 1:
            break
        await asyncio.sleep(0.01)
    used: int = (await redis.info("memory"))["used_memory"]
    return used


def _sessions(tokens: int, *, one_by_one: bool) -> Fill:
    """Sessions with one answer of so many tokens."""

    async def fill(url: str, count: int) -> None:
        async def handler() -> None:
            async with cl.Step(name="answer", type="llm") as step:
                for number in range(tokens):
                    await step.stream_token(_token(number))
                    if one_by_one:
                        await current_frame("a flush").scope.producer.flush()

        async with running(url, handler) as run:
            for _ in range(count):
                await _answered(run)

    return fill


async def _answered(run: InProcess) -> None:
    session_id, run_id, message_id = new_id(), new_id(), new_id()
    await run.log.create(session_id, run_id)
    message = user_message(session_id, message_id, "go", run_id=run_id)
    events = message_events(message)
    await run.log.append(
        Batch(session_id, events, producer=message_producer(message_id), run_id=run_id)
    )
    request = RunRequest(
        session_id=session_id, run_id=run_id, handler="on_message", message=message
    )
    await run.runner.execute(request)


def _streams(tokens: int, entry: Callable[[str], dict[Any, Any]]) -> Fill:
    """Streams with so many entries."""

    async def fill(url: str, count: int) -> None:
        redis = Redis.from_url(url)
        try:
            for _ in range(count):
                key = f"stream:{new_id()}"
                pipe = redis.pipeline(transaction=False)
                for number in range(tokens):
                    pipe.xadd(key, entry(_token(number)))
                await pipe.execute()
        finally:
            await redis.aclose()

    return fill


def _bare(text: str) -> dict[Any, Any]:
    return {"text": text}


def _placed(text: str) -> dict[Any, Any]:
    payload = delta_event(_ID, text).payload
    data = f'{{"id":"{_ID}","field":"output","text":"{payload}"}}'
    return {"t": "step.delta", "r": _ID, "d": data}


_ID = new_id()


async def _round(tokens: int, count: int) -> dict[str, float]:
    """KiB for each session of this many tokens, by how they are kept."""
    ways = {
        "fast": _sessions(tokens, one_by_one=False),
        "one by one": _sessions(tokens, one_by_one=True),
        "bare": _streams(tokens, _bare),
        "placed": _streams(tokens, _placed),
    }
    return {name: await _bytes_each(fill, count) / 1024 for name, fill in ways.items()}


def _rows(what: str, took: Sequence[dict[str, float]]) -> list[Row]:
    def of(name: str) -> list[float]:
        return [each[name] for each in took]

    peers = (("placed", "an entry with type, run, step, text"), ("bare", "an entry with the text"))
    return [
        Row(f"{what}, {ours}", "KiB", of(ours), f"{peer} for each token", of(theirs), "<= 0.3")
        for ours in ("fast", "one by one")
        for theirs, peer in peers
    ]


def measure(*, short: bool = False) -> list[Row]:
    rounds, count, tokens = (1, 2, 100) if short else (3, 20, 1_000)
    # Above 2,000 events the log is trimmed, so what comes after costs less than what came before.
    less, more = 5 * tokens, 10 * tokens
    small, further, empty = [], [], []
    for _ in range(rounds):
        small.append(asyncio.run(_round(tokens, count)))
        shorter, longer = (asyncio.run(_round(size, 2)) for size in (less, more))
        further.append(
            {way: (longer[way] - shorter[way]) * tokens / (more - less) for way in longer}
        )
        fill = _sessions(0, one_by_one=False)
        empty.append(asyncio.run(_bytes_each(fill, 5 * count)) / 1024)
    return [
        Row("Redis memory of a session without tokens", "KiB", empty, "", [], ""),
        *_rows(f"Redis memory of a session with {tokens:,} tokens", small),
        *_rows(f"Redis memory of {tokens:,} tokens more, after {less:,}", further),
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
