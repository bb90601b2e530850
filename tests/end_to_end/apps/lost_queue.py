"""The handlers of test_lost_queue.py."""

import asyncio
import os
import pathlib

import stepwire as cl

GATE = pathlib.Path(os.environ["GATE"])


async def work(name):
    with GATE.with_name("journal").open("a") as journal:
        journal.write(name + "\n")
    while not GATE.exists():
        await asyncio.sleep(0.01)
    return name


@cl.task
async def part(name):
    return await work(name)


@cl.task(max_running=1)
async def scarce(name):
    return await work(name)


async def parts():
    parts = cl.enqueue(part, "a"), cl.enqueue(scarce, "b"), cl.enqueue(scarce, "c")
    assert [*await asyncio.gather(*parts)] == ["a", "b", "c"]


@cl.task
async def caller():
    await parts()


@cl.task
def caller_in_a_thread():
    asyncio.run(parts())


@cl.on_message
async def main(message):
    await cl.Message("yes").send()
