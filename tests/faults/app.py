"""What the workers run while they are being killed: deterministic work, with steps all the way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import cast

import stepwire as cl
from faults.work import DROPPED, Work, part_of


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


# -- what no handler should do: faults.work.HOSTILE says how each of these may end -----------------


@cl.task
async def exits() -> None:
    async with cl.Step("exits"):
        sys.exit(3)


@cl.task
def exits_in_a_thread() -> None:
    with cl.Step("exits"):
        # It says "error: …" and calls sys.exit().
        ArgumentParser().parse_args(["--there-is-no-such-option"])


@cl.task(timeout_s=1)
async def swallows_its_cancellation() -> None:
    async with cl.Step("goes on"):
        # Counted, not timed: a worker that is paused must not find this over before its time limit.
        for _ in range(20):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.2)


@cl.task
async def strays() -> None:
    other = asyncio.ensure_future(asyncio.sleep(60))
    other.cancel()
    await other


@cl.task
async def says_a_bad_value() -> None:
    cl.user_session.set("seen:\ud83d", 1)


@cl.task(timeout_s=1)
def blocks_a_thread() -> None:
    with cl.Step("blocks"):
        threading.Event().wait()


@cl.task
async def drops_generators() -> None:
    """In cycles, so that they end whenever and wherever the garbage collector comes by."""

    def others() -> None:
        for number in range(50):
            with cl.Step(f"beside {number}"):
                gc.collect(0)

    async with cl.Step("drops"):
        beside = asyncio.create_task(asyncio.to_thread(others))
        for _ in range(20):
            cycle: list[object] = [words()]
            cycle.append(cycle)
            next(cast("Iterator[str]", cycle[0]))
            await asyncio.sleep(0)
        await beside
        gc.collect()


@cl.step(name=DROPPED)
def words() -> Iterator[str]:
    yield "one"
    yield "two"


@cl.task
async def has_no_metadata() -> None:
    async with cl.Step("no metadata") as step:
        step.metadata = None


async def branch(todo: Work, number: int) -> None:
    async with cl.Step(f"branch {number}", type="tool") as step:
        await pause(todo)
        step.output = number


async def pause(todo: Work) -> None:
    if todo.blocks:
        time.sleep(todo.pause_s)  # noqa: ASYNC251 - what other people's handlers do, too
    else:
        await asyncio.sleep(todo.pause_s)
