"""A worker that is told to stop ends in time, whatever its handlers do; others have its runs."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from redis import Redis

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import embedded_server

APP = Path(__file__).parent / "apps" / "stopping.py"

GRACE_S = 1.0


def under_way(stack: Stack, task: str) -> tuple[Child, Gateway, str, str]:
    # A lease that is shorter than the test waits for what the worker could not give back.
    worker = stack.worker(APP, FIRST=task, STEPWIRE_GRACE_S=str(GRACE_S), STEPWIRE_LEASE_S="4")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.start(session, task)
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 1, "it runs")
    return worker, gateway, session, run


def in_order(output: str, *said: str) -> bool:
    """Whether a process has said each of these once, in this order."""
    places = [output.find(words) for words in said]
    return places == sorted(places) and [output.count(words) for words in said] == [1] * len(said)


@pytest.mark.parametrize("task", ["in_thread", "at_exit", "in_a_cancellation", "beside"])
def test_a_worker_ends_in_time_and_gives_its_run_back(stack: Stack, task: str) -> None:
    worker, gateway, session, run = under_way(stack, task)
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    wait_until(lambda: worker.exit_code is not None, "it ends", limit_s=GRACE_S + 6)
    assert time.monotonic() - began > GRACE_S
    assert worker.exit_code == 0
    assert in_order(worker.output, "opened", "worker ready", "run interrupted", "closed")
    stopped = gateway.run(session, run)
    assert stopped is not None
    assert (stopped["status"], stopped["will_retry"]) == ("interrupted", True)
    assert stopped["error"]["type"] == "WorkerStopped"
    stack.worker(APP)
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == ("ok", 2)


def test_a_worker_whose_loop_is_blocked_ends_in_time_and_says_why(stack: Stack) -> None:
    worker, gateway, session, run = under_way(stack, "in_loop")
    worker.signal(signal.SIGTERM)
    wait_until(lambda: worker.exit_code is not None, "it ends", limit_s=GRACE_S + 6)
    assert worker.exit_code == 1
    assert "the event loop is blocked by a handler" in worker.output.splitlines()[-1]
    stack.worker(APP, STEPWIRE_LEASE_S="4")
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == ("ok", 2)


def test_a_worker_whose_application_does_not_start_ends_and_says_why(stack: Stack) -> None:
    with pytest.raises(AssertionError) as refused:
        stack.worker(APP, FIRST="no_database")
    said = str(refused.value)
    assert "Error: @cl.on_app_startup failed:" in said
    assert in_order(said, "apps/stopping.py", 'raise ConnectionError("no database answers")')
    assert "worker ready" not in said
    assert "closed" not in said


@pytest.mark.parametrize("task", ["at_exit", "in_loop"])
def test_a_worker_that_is_told_twice_ends_at_once(stack: Stack, task: str) -> None:
    worker = stack.worker(APP, FIRST=task, STEPWIRE_GRACE_S="600")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    gateway.start(session, task)
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 1, "it runs")
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "told to stop" in worker.output, "it has heard")
    assert worker.exit_code is None
    worker.signal(signal.SIGINT)
    wait_until(lambda: worker.exit_code is not None, "it ends", limit_s=3)
    assert "told twice to stop" in worker.output


def test_a_worker_that_redis_refuses_ends_and_says_what_to_change_and_loses_no_job(
    stack: Stack,
) -> None:
    with embedded_server() as log_server, Redis.from_url(log_server.url) as log:
        stack.env |= {
            "STEPWIRE_QUEUE_URL": stack.env["STEPWIRE_REDIS_URL"],
            "STEPWIRE_REDIS_URL": log_server.url,
        }
        gateway = stack.gateway()
        session = gateway.create_session()
        log.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all")
        limited = log_server.url.replace("redis://", "redis://limited:secret@")
        worker = stack.worker(APP, STEPWIRE_REDIS_URL=limited, STEPWIRE_LEASE_S="2")
        log.execute_command("ACL", "SETUSER", "limited", "-evalsha", "-eval")
        run = gateway.start(session, "at_exit")
        wait_until(lambda: worker.exit_code is not None, "it ends")
        assert worker.exit_code == 1
        assert "ACL SETUSER" in worker.output.splitlines()[-1]
        assert gateway.run(session, run) is None
        stack.worker(APP, STEPWIRE_LEASE_S="2")
        assert gateway.wait_for_end(session, run)["status"] == "ok"


def test_a_child_that_a_handler_forks_and_ends_does_not_end_the_worker(stack: Stack) -> None:
    worker = stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    assert gateway.wait_for_end(session, gateway.start(session, "forks"))["status"] == "ok"
    assert gateway.wait_for_end(session, gateway.start(session, "at_exit"))["status"] == "ok"
    assert worker.exit_code is None
    assert "told to stop" not in worker.output
