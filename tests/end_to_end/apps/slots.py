"""The handlers of test_hostile_handlers.py."""

import asyncio
import os
import pathlib

import stepwire as cl

GATE = pathlib.Path(os.environ["GATE"])
running = most = 0


@cl.task
async def fails():
    raise ValueError("x")


@cl.task
async def slow():
    while not GATE.exists():
        await asyncio.sleep(0.01)


@cl.task(max_attempts=2, retry_on=cl.TaskFailed, backoff_s=0.01, max_running=1)
async def parent():
    await asyncio.gather(cl.enqueue(fails), cl.enqueue(slow))


@cl.task
async def probe():
    global running, most
    running += 1
    most = max(most, running)
    await asyncio.sleep(0.1)
    running -= 1
    await cl.Message(str(most)).send()
