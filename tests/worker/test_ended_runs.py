"""A run whose end is lost in a failover, after its job went, is taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stack import Stack, wait_until
from stepwire._worker.ended_runs import MOST_BYTES, EndedRuns
from stepwire_core.log.event_log import EventLog, open_log
from stepwire_core.queue.run_queue import RunQueue, open_queue
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.wire.run_request import RunRequest

pytestmark = pytest.mark.anyio

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        await cl.Message("yes").send()
"""


def test_a_run_whose_end_was_lost_ends_again(stack: Stack) -> None:
    """As after a failover: the log has what it had before, the queue has done with the run."""
    stack.worker(APP, STEPWIRE_LEASE_S="2", STEPWIRE_MAX_ATTEMPTS="2")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "go")["run_id"]
    assert gateway.wait_for_end(session, run)["attempt"] == 1
    wait_until(lambda: not stack.redis.exists(stack.queue), "the queue has done with it")
    meta = SessionKeys.of(session).meta
    attempt, is_over, _ = str(stack.redis.hget(meta, f"r:{run}")).strip("b'").partition("!")
    assert is_over
    stack.redis.hset(meta, f"r:{run}", attempt.partition(":")[0])

    def has_ended_again() -> bool:
        found = gateway.run(session, run)
        return found is not None and (found["attempt"], found["status"]) == (2, "ok")

    wait_until(has_ended_again, "it ends again")


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[EventLog]:
    async with open_log(settings) as log:
        yield log


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[RunQueue]:
    async with open_queue(settings) as queue:
        yield queue


async def test_one_that_the_log_has_forgotten_is_queued_and_that_of_a_lost_session_is_not(
    log: EventLog, queue: RunQueue, session_id: str
) -> None:
    await log.create(session_id, "run")
    ended = EndedRuns(0)
    for session, run in (("gone", f"{session_id}-a"), (session_id, f"{session_id}-b")):
        ended.add(RunRequest(session_id=session, run_id=run, handler="task"), 10)
    watching = asyncio.create_task(ended.watch(log, queue))
    async with asyncio.timeout(10):
        while not await queue.has(f"{session_id}-b"):  # noqa: ASYNC110 - another process's event
            await asyncio.sleep(0.01)
    watching.cancel()
    assert not await queue.has(f"{session_id}-a")


async def test_the_requests_that_it_keeps_are_bounded(
    log: EventLog, queue: RunQueue, session_id: str
) -> None:
    await log.create(session_id, "run")
    ended = EndedRuns(0)
    for number in range(3):
        run = f"{session_id}-{number}"
        request = RunRequest(session_id=session_id, run_id=run, handler="task")
        ended.add(request, MOST_BYTES // 2)
    watching = asyncio.create_task(ended.watch(log, queue))
    async with asyncio.timeout(10):
        while not await queue.has(f"{session_id}-2"):  # noqa: ASYNC110 - another process's event
            await asyncio.sleep(0.01)
    watching.cancel()
    assert not await queue.has(f"{session_id}-0")
