"""What the workers run while they are being killed: deterministic work, with steps all the way."""

from __future__ import annotations

import asyncio
import json
import time

import stepwire as cl
from faults.work import Work, part_of


@cl.on_message
async def work(message: cl.Message) -> None:
    todo = Work(**json.loads(message.content))
    # The next run of the session goes on from here, wherever it runs.
    count = cl.user_session.get("count", 0) + 1
    cl.user_session.set("count", count)
    async with cl.Step("counted") as counted:
        counted.output = str(count)
    async with cl.Step("work", type="run") as step:
        async with cl.Step("words", type="llm") as words:
            for word in todo.words:
                await words.stream_token(word)
                await pause(todo)
            async with cl.Step("inside", type="tool"):
                await pause(todo)
        await asyncio.gather(*(branch(todo, number) for number in range(2)))
        async with cl.Step("parts", type="tool") as parts:
            found = (
                cl.enqueue(part, todo.seed, number, todo.pause_s) for number in range(todo.parts)
            )
            parts.output = sum(await asyncio.gather(*found))
        step.output = str(todo.result)
    if todo.fails:
        raise ValueError(f"told to fail with {todo.result}")
    answer = cl.Message()
    for digit in str(todo.result):
        await answer.stream_token(digit)
    await answer.send()


@cl.task(max_running=4)
async def part(seed: int, number: int, pause_s: float) -> int:
    async with cl.Step(f"part {number}", type="tool") as step:
        for _ in range(5):
            await asyncio.sleep(pause_s)
            await step.stream_token("x")
    return part_of(seed, number)


async def branch(todo: Work, number: int) -> None:
    async with cl.Step(f"branch {number}", type="tool") as step:
        await pause(todo)
        step.output = number


async def pause(todo: Work) -> None:
    if todo.blocks:
        time.sleep(todo.pause_s)  # noqa: ASYNC251 - what other people's handlers do, too
    else:
        await asyncio.sleep(todo.pause_s)
