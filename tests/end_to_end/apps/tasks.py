"""The handlers of test_runs.py."""

import asyncio
import os
import pathlib
import signal

import stepwire as cl

GATE = pathlib.Path(os.environ["GATE"])
TRIES = pathlib.Path(os.environ["TRIES"])


def tried():
    with TRIES.open("a") as file:
        file.write("x")
    return len(TRIES.read_text())


@cl.task(max_attempts=3, retry_on=(ConnectionError,), backoff_s=0.05)
async def flaky(good_at, error="ConnectionError"):
    async with cl.Step("try") as step:
        step.output = number = tried()
        if number < good_at:
            raise {"ConnectionError": ConnectionError, "ValueError": ValueError}[error]("no")


@cl.task(max_attempts=2)
async def asks_for_it(after=0.0):
    if tried() < 5:
        raise cl.Retry(after)


@cl.task(timeout_s=0.2, max_attempts=2, retry_on=TimeoutError, backoff_s=0)
async def slow():
    tried()
    await asyncio.sleep(60)


@cl.task
async def part(number, wait=False, fail=False):
    async with cl.Step(f"part {number}") as step:
        step.output = "begun"
        await step.update()
        while wait and not GATE.exists():
            await asyncio.sleep(0.01)
    if fail:
        raise ValueError("as asked")
    return {"square": number * number}


@cl.task(max_attempts=100)
async def dies_elsewhere(number, caller):
    if not TRIES.exists():
        if os.getpid() == caller:
            raise cl.Retry(0.01)
        tried()
        async with cl.Step("lost"):
            os.kill(os.getpid(), signal.SIGKILL)
    async with cl.Step(f"part {number}"):
        return number


@cl.task
async def calls():
    async with cl.Step("call"):
        answer = await cl.enqueue(dies_elsewhere, 7, caller=os.getpid())
        await cl.Message(f"it was {answer}").send()


@cl.task
async def fan_out(count, wait=False):
    async with cl.Step("fan out") as step:
        results = await asyncio.gather(*(cl.enqueue(part, n, wait=wait) for n in range(count)))
        step.output = sum(result["square"] for result in results)


@cl.task
async def careful():
    try:
        await cl.enqueue(part, 1, fail=True)
    except cl.TaskFailed as error:
        await cl.Message(f"{error.status} {error.type} {error.message}").send()
    try:
        await cl.enqueue("nope", a=1)
    except cl.TaskFailed as error:
        await cl.Message(f"{error.status} {error.type}").send()
    await cl.Message(str(await cl.enqueue("part", number=3))).send()


@cl.task
async def one(name):
    async with cl.Step("one"):
        await cl.Message(str(await cl.enqueue(name, number=7))).send()


@cl.task
async def after_the_gate():
    while not GATE.exists():
        await asyncio.sleep(0.01)
    async with cl.Step("call") as step:
        step.output = (await cl.enqueue(part, 4))["square"]


@cl.task
async def bad():
    return object()


@cl.task
async def deep(level):
    async with cl.Step(f"level {level}"):
        return 0 if not level else 1 + await cl.enqueue(deep, level - 1)
