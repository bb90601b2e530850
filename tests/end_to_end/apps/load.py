"""The handlers of test_load.py."""

import asyncio
import os
import pathlib

import stepwire as cl

GATE = pathlib.Path(os.environ["GATE"])


def note(name):
    with GATE.with_name("journal").open("a") as journal:
        journal.write(name + "\n")


async def work(name, wait=True):
    async with cl.Step(name, disable_feedback=False):
        while wait and not GATE.exists():
            await asyncio.sleep(0.01)


@cl.task(max_running=2)
async def few(number):
    await work(f"few {number}")


@cl.task
async def waits(name):
    await work(name)


@cl.task
async def quick(name):
    await work(name, wait=False)


@cl.task
async def noted(name):
    note(name)


@cl.on_feedback
async def rated(feedback):
    note(feedback.comment)


@cl.on_chat_end
async def ended():
    note("end of " + cl.context.session.id)


@cl.task
async def parts(count):
    async with cl.Step("parts"):
        await asyncio.gather(*(cl.enqueue(quick, f"part {n}") for n in range(count)))


@cl.task
async def waiting_parts(count):
    await asyncio.gather(*(cl.enqueue(waits, f"part {n}") for n in range(count)))
