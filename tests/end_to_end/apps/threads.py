"""The handlers of test_threads.py."""

import asyncio
import threading
from typing import Any

import stepwire as cl

NEVER = threading.Event()


@cl.task
def blocks():
    with cl.Step("blocks"):
        NEVER.wait()


@cl.task
async def blocks_in_make_async():
    async with cl.Step("blocks"):
        await cl.make_async(NEVER.wait)()


@cl.task
async def blocks_the_default_executor():
    async with cl.Step("blocks"):
        await asyncio.gather(*(asyncio.to_thread(NEVER.wait) for _ in range(100)))


@cl.task
def deep(level: int) -> Any:
    return 0 if not level else 1 + cl.run_sync(cl.enqueue(deep, level=level - 1))


@cl.on_message
def main(message):
    answer = cl.run_sync(cl.AskUserMessage("your name?", timeout=30).send())
    assert answer is not None
    with cl.Step("greets") as step:
        step.output = answer["output"]
