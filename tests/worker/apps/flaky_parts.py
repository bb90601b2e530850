"""A message whose parts fail twice, with an hour between the attempts, before they succeed."""

from __future__ import annotations

import asyncio

import stepwire as cl

TRIES: list[int] = []


@cl.task(max_attempts=3, retry_on=OSError, backoff_s=3600)
async def part(number: int) -> int:
    async with cl.Step(f"part {number}"):
        TRIES.append(number)
        if TRIES.count(number) < 3:
            raise OSError("again")
        return number * 2


@cl.on_message
async def main() -> None:
    async with cl.Step("agent"):
        results = await asyncio.gather(*(cl.enqueue(part, number) for number in range(3)))
        await cl.Message(str(results)).send()


@cl.task
async def fails() -> None:
    await cl.enqueue("nope")
