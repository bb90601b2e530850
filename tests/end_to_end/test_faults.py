"""Workers that are killed, paused and told to stop, in short; ``make faults`` is the long form."""

from __future__ import annotations

import os
import random
import signal

import pytest

from faults.plan import MOMENTS, Plan, summary
from faults.storm import carry_out
from faults.work import HOSTILE
from stack import Gateway, Stack, wait_until
from stepwire_core.queue.run_queue import JobKeys

WAITS = """
    import asyncio, os
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("at work") as step:
            step.output = os.getpid()
            await step.update()
            await asyncio.sleep(float(message.content))
"""

ENV = {"STEPWIRE_LEASE_S": "2", "STEPWIRE_MAX_ATTEMPTS": "9", "STEPWIRE_GRACE_S": "1"}


SEED = int(os.environ.get("STEPWIRE_FAULTS_SEED", random.randrange(1_000_000)))


@pytest.mark.parametrize(
    "restart_redis",
    [pytest.param(False, marks=pytest.mark.long), True],
    ids=["", "and-redis-restarted"],
)
def test_whatever_is_done_to_workers_every_run_ends_once_and_right(restart_redis: bool) -> None:
    """README: exactly one final run.end per run and nothing of it after it; nothing is left open;
    a stale attempt writes nothing; the snapshot is the fold of the log."""
    plan = Plan(
        16, SEED, restart_redis=restart_redis, every_s=0.6, storm_s=10.0, messages=2, pace=0.6
    )
    report = carry_out(plan)
    # Shown when it fails; the same again with STEPWIRE_FAULTS_SEED.
    print(summary(plan, report))
    assert report.violations == []
    assert report.ended.total() == plan.runs
    assert report.faults.total() > 3


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "moments",
    [MOMENTS, pytest.param(("failover",), marks=pytest.mark.long)],
    ids=["and-redis-says-no", "A-B-A"],
)
def test_nothing_that_a_handler_does_and_no_moment_of_redis_hurts_anyone_else(
    moments: tuple[str, ...],
) -> None:
    """The same, beside hostile handlers, each of which ends as it is told to.

    No worker ends by itself, and none stays when it is told to stop."""
    plan = Plan(
        10,
        SEED,
        restart_redis=False,
        every_s=2.0,
        storm_s=15.0,
        messages=2,
        pace=0.6,
        limit_s=150,
        moments=moments,
        hostile=tuple(HOSTILE),
        repeats=1,
    )
    report = carry_out(plan)
    print(summary(plan, report))
    assert report.violations == []
    assert report.ended.total() == plan.runs
    assert report.hostile.total() == len(HOSTILE)
    assert all(report.faults[name] > 0 for name in moments)


def attempts(gateway: Gateway, session: str) -> list[int]:
    steps = gateway.snapshot(session)["steps"]
    return [step["attempt"] for step in steps if step["name"] == "at work"]


def test_a_paused_worker_that_comes_back_gives_up_what_others_have_taken(stack: Stack) -> None:
    """Its handler says nothing that could be refused; still it neither goes on nor keeps the run
    from others."""
    paused = stack.worker(WAITS, **ENV)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "60")["run_id"]
    wait_until(lambda: attempts(gateway, session) == [1], "it runs")
    paused.signal(signal.SIGSTOP)
    other = stack.worker(WAITS, **ENV)
    wait_until(lambda: attempts(gateway, session) == [1, 2], "another one has taken it")
    paused.signal(signal.SIGCONT)
    wait_until(lambda: "a lease is lost" in paused.output, "it is told")
    wait_until(lambda: "a run went on elsewhere" in paused.output, "it has given up")
    other.signal(signal.SIGTERM)
    wait_until(lambda: attempts(gateway, session) == [1, 2, 3], "it gets the run back")
    steps = gateway.snapshot(session)["steps"]
    assert paused.process is not None
    assert int(steps[-1]["output"]) == paused.process.pid
    assert [step["status"] == "running" for step in steps[1:]] == [False, False, True]
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"


def test_a_worker_that_was_paused_while_nobody_else_was_there_goes_on(stack: Stack) -> None:
    worker = stack.worker(WAITS, **ENV)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "3")["run_id"]
    wait_until(lambda: attempts(gateway, session) == [1], "it runs")
    worker.signal(signal.SIGSTOP)
    queue = stack.env["STEPWIRE_QUEUE_NAME"]
    wait_until(lambda: not stack.redis.exists(JobKeys.of(queue, run).taken), "its lease is over")
    assert stack.redis.zscore(queue, run) is not None
    worker.signal(signal.SIGCONT)
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == ("ok", 1)


def test_a_worker_executes_one_attempt_of_a_run_at_a_time(stack: Stack) -> None:
    """It comes back while the other one is gone, too: it could take the run beside its own old
    attempt."""
    paused = stack.worker(WAITS, **ENV)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "5")["run_id"]
    wait_until(lambda: attempts(gateway, session) == [1], "it runs")
    paused.signal(signal.SIGSTOP)
    other = stack.worker(WAITS, **ENV)
    wait_until(lambda: attempts(gateway, session) == [1, 2], "another one has taken it")
    other.kill()
    wait_until(
        lambda: not stack.redis.exists(JobKeys.of(stack.env["STEPWIRE_QUEUE_NAME"], run).taken),
        "that lease is over, too",
    )
    paused.signal(signal.SIGCONT)
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == ("ok", 3), ended
    assert "KeyError" not in paused.output
