"""A side task that a process needs does not end silently."""

from __future__ import annotations

import asyncio

import pytest

from stepwire_core.errors import SideTaskFailed, StepwireError, StoreRefused
from stepwire_core.process.supervision import Supervisor

pytestmark = pytest.mark.anyio

LIMIT_S = 10


class Failures:
    def __init__(self) -> None:
        self.seen: list[StepwireError] = []
        self.came = asyncio.Event()

    def __call__(self, error: StepwireError) -> None:
        self.seen.append(error)
        self.came.set()

    async def first(self) -> StepwireError:
        await asyncio.wait_for(self.came.wait(), LIMIT_S)
        return self.seen[0]


async def test_an_error_of_a_side_task_is_the_reason_why_its_process_ends() -> None:
    async def refused() -> None:
        raise StoreRefused("no right")

    async def broken() -> None:
        raise LookupError("no such thing")

    failures = Failures()
    async with Supervisor(failures) as side_tasks:
        side_tasks.start(refused(), "one")
        assert str(await failures.first()) == "no right"
        failures.seen.clear()
        failures.came.clear()
        side_tasks.start(broken(), "two")
        error = await failures.first()
    assert isinstance(error, SideTaskFailed)
    assert "'two' has failed (LookupError: no such thing)" in str(error)


async def test_a_side_task_that_somebody_cancels_has_failed() -> None:
    failures = Failures()
    async with Supervisor(failures) as side_tasks:
        task = side_tasks.start(asyncio.Event().wait(), "needed")
        task.cancel()
        assert "'needed' has failed (it was cancelled)" in str(await failures.first())


async def test_the_end_of_the_block_is_no_failure_of_its_side_tasks() -> None:
    failures = Failures()
    async with Supervisor(failures) as side_tasks:
        task = side_tasks.start(asyncio.Event().wait(), "needed")
        done = side_tasks.start(asyncio.sleep(0), "done")
        await asyncio.wait_for(done, LIMIT_S)
    assert task.cancelled()
    assert failures.seen == []
