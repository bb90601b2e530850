"""A handler is cancelled at every point where it can be, and leaves a whole tree behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

import stepwire as cl
from bench import Bench
from stepwire._scope.context import current_frame
from stepwire_core.values.ids import new_id

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BIG = "x" * 70_000
"""More than the buffer holds: code that streams this waits for room."""


async def everything() -> None:
    async with cl.Step("outer", elements=[cl.Text("note", content="a")]) as outer:
        await outer.stream_token(BIG)
        with cl.Step("sync"):
            await outer.stream_token(BIG)
        await cl.Message("said", elements=[cl.Text("late", content="b")]).send()
        by_hand = await cl.Step("by hand").send()
        by_hand.output = "later"
        await by_hand.update()
        await outer.stream_token(BIG, is_sequence=True)
        async for item in items():
            await outer.stream_token(item)
        await cl.make_async(blocking)()
        removed = await cl.Step("removed").send()
        await removed.remove()
        await asyncio.gather(one("a"), one("b"))
        outer.elements.append(cl.Text("end", content="c"))


@cl.step
async def items() -> AsyncIterator[str]:
    yield "1"
    await cl.sleep(0)
    yield BIG


@cl.step
def blocking() -> str:
    return "done"


async def one(name: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(f"{name}1"))
        group.create_task(leaf(f"{name}2"))


async def leaf(name: str) -> None:
    async with cl.Step(name) as step:
        await asyncio.sleep(0)
        await step.stream_token(name)


async def asking() -> None:
    async with cl.Step("outer"):
        await cl.AskUserMessage("?", timeout=0.005).send()
        async with cl.Step("after"):
            await asyncio.sleep(0)


def step_in_thread() -> None:
    with cl.Step("in a thread"):
        pass


def message_in_thread() -> None:
    asyncio.run(cl.Message("from a thread").send())


@pytest.fixture
def bench(bench: Bench) -> Bench:
    # A thread that starves for a moment must not fail the test.
    bench.publisher.intake.limit_bytes = 64 * 1024
    return bench


@pytest.mark.parametrize("handler", [everything, asking])
async def test_a_handler_can_be_cancelled_at_every_turn_of_the_loop(
    bench: Bench, handler: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    finished, cancelled, turns = 0, 0, 0
    left: set[str] = set()
    while finished < 3:
        task: asyncio.Task[None] | None = None

        async def cancelled_after_some_turns(limit: int = turns) -> None:
            nonlocal task
            task = asyncio.create_task(handler())
            for _ in range(limit):
                if task.done():
                    break
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            left.update(names_of_open_ones())

        bench.session_id = new_id()
        await bench.log.create(bench.session_id, new_id())
        assert (await bench.run(cancelled_after_some_turns)).status == "ok"
        await assert_whole(bench)
        assert task is not None
        finished, cancelled = finished + (not task.cancelled()), cancelled + task.cancelled()
        # What waits for a thread takes thousands of turns: not every one of those is worth a run.
        turns += max(1, turns // 8)
        assert turns < 10_000_000
    assert cancelled > 10
    # Steps that were sent by hand end with the run, and a thread outlives its handler;
    # everything else has ended with its own block.
    assert left <= {"by hand", "removed", "blocking"}


@pytest.mark.parametrize("show", [step_in_thread, message_in_thread])
async def test_a_thread_that_outlives_its_run_leaves_a_whole_tree(
    bench: Bench, show: Callable[[], None]
) -> None:
    threads: list[asyncio.Task[None]] = []

    async def handler() -> None:
        begun = threading.Event()

        def work() -> None:
            while True:
                show()
                begun.set()
                time.sleep(0.0001)  # the log keeps only so many

        threads.append(asyncio.create_task(asyncio.to_thread(work)))
        await asyncio.to_thread(begun.wait)

    for _ in range(30):
        bench.session_id = new_id()
        await bench.log.create(bench.session_id, new_id())
        assert (await bench.run(handler)).status == "ok"
        with pytest.raises(cl.RunEnded):
            await threads.pop()
        await assert_whole(bench)


def names_of_open_ones() -> list[str]:
    ends = current_frame("the test").scope.open.values()
    return [getattr(getattr(end, "__self__", None), "name", "a question") for end in ends]


async def assert_whole(bench: Bench) -> None:
    """Every start has its one end, every parent is there, nothing follows the run's end."""
    events = await bench.events()
    assert events[-1][0] == "run.end"
    started: dict[str, str] = {}
    ended: list[str] = []
    removed: list[str] = []
    for type_, data in events:
        if type_ == "step.start":
            assert data["id"] not in started
            assert data["parent_id"] is None or data["parent_id"] in started
            started[data["id"]] = data["name"]
        elif type_ == "step.end":
            ended.append(data["id"])
        elif type_ == "step.remove":
            removed.append(data["id"])
        elif type_ == "ask":
            started[data["id"]] = "ask"
        elif type_ == "ask.end":
            ended.append(data["id"])
    assert sorted([*ended, *removed]) == sorted(started), [
        name for id_, name in started.items() if id_ not in ended
    ]
    for step in (await bench.snapshot()).steps:
        assert step.status in ("ok", "cancelled", "error"), step.name
        assert step.error is None or step.error.type == "BaseExceptionGroup", step
