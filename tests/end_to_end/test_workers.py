"""Workers die, stop, and are many: what clients see of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack import Stack, wait_until
from stepwire_core.queue.run_queue import JobKeys
from stepwire_core.values.ids import new_id

SLOW = """
    import asyncio, os
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("outer") as outer:
            outer.output = str(os.getpid())
            await outer.update()
            async with cl.Step("inner", type="llm") as inner:
                await inner.stream_token("half")
                await asyncio.sleep(float(message.content))
"""


@pytest.mark.parametrize(("max_attempts", "status"), [("1", "interrupted"), ("2", "ok")])
def test_a_killed_workers_run_is_taken_up_within_the_lease(
    stack: Stack, max_attempts: str, status: str
) -> None:
    """README: a worker that dies is visible to clients; its open steps end as interrupted."""
    env = {"STEPWIRE_LEASE_S": "2", "STEPWIRE_MAX_ATTEMPTS": max_attempts}
    first = stack.worker(SLOW, **env)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "1")["run_id"]
    wait_until(
        lambda: [s["output"] for s in gateway.snapshot(session)["steps"]][-1:] == ["half"],
        "the first attempt streams",
    )
    first.kill()
    stack.worker(SLOW, **env)
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == (status, int(max_attempts))
    steps = [
        (step["attempt"], step["name"], step["status"], (step["error"] or {}).get("type"))
        for step in gateway.snapshot(session)["steps"][1:]
    ]
    lost = [(1, "outer", "interrupted", "WorkerLost"), (1, "inner", "interrupted", "WorkerLost")]
    again = [(2, "outer", "ok", None), (2, "inner", "ok", None)]
    assert steps == (lost if max_attempts == "1" else lost + again)


def test_a_running_job_keeps_its_lease_however_long_it_takes(stack: Stack) -> None:
    for _ in range(2):
        stack.worker(SLOW, STEPWIRE_LEASE_S="2")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "5")["run_id"]
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == ("ok", 1)


def test_a_handler_that_blocks_for_longer_than_its_lease_keeps_its_run(stack: Stack) -> None:
    app = """
        import time
        import stepwire as cl

        @cl.on_message
        async def main():
            with cl.Step("blocking"):
                time.sleep(5)
    """
    workers = [stack.worker(app, STEPWIRE_LEASE_S="2") for _ in range(2)]
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    ended = gateway.wait_for_end(session, gateway.send(session, "go")["run_id"])
    assert (ended["status"], ended["attempt"]) == ("ok", 1)
    assert [("blocks the event loop" in w.output) for w in workers].count(True) == 1


def test_a_run_that_its_worker_gives_up_is_taken_up_at_once(stack: Stack) -> None:
    """Deploys do not wait for leases: the lease here is longer than the test may take."""
    env = {"STEPWIRE_LEASE_S": "600", "STEPWIRE_MAX_ATTEMPTS": "2", "STEPWIRE_GRACE_S": "1"}
    first = stack.worker(SLOW, **env)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "6")["run_id"]
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 3, "it runs")
    stack.worker(SLOW, **env)
    first.signal(signal.SIGTERM)
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == ("ok", 2)


def test_a_worker_that_is_told_to_stop_lets_its_run_finish(stack: Stack) -> None:
    worker = stack.worker(SLOW, STEPWIRE_GRACE_S="10")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "0.5")["run_id"]
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 3, "it runs")
    worker.signal(signal.SIGTERM)
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    wait_until(lambda: worker.exit_code is not None, "the worker ends")
    assert worker.exit_code == 0
    assert "Traceback" not in worker.output


def test_past_its_grace_a_stopping_worker_ends_its_run_as_interrupted(stack: Stack) -> None:
    worker = stack.worker(SLOW, STEPWIRE_GRACE_S="1")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "60")["run_id"]
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 3, "it runs")
    worker.signal(signal.SIGTERM)
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["error"]["type"]) == ("interrupted", "WorkerStopped")
    wait_until(lambda: worker.exit_code is not None, "the worker ends")


def test_a_stopping_worker_does_not_swallow_what_wakes_the_others(stack: Stack) -> None:
    """Nobody polls here: a job whose wake is lost would wait for ten minutes."""
    env = {"STEPWIRE_POLL_S": "600", "STEPWIRE_GRACE_S": "30"}
    first = stack.worker(SLOW, **env)
    gateway = stack.shared_gateway()
    busy, other = (gateway.create_session() for _ in range(2))
    gateway.send(busy, "20")
    wait_until(lambda: len(gateway.snapshot(busy)["steps"]) == 3, "it runs")
    first.signal(signal.SIGTERM)
    stack.worker(SLOW, **env)
    run = gateway.send(other, "0")["run_id"]
    assert gateway.wait_for_end(other, run)["status"] == "ok"


def test_a_worker_that_was_full_finds_what_nobody_wakes_it_for(stack: Stack) -> None:
    """As above, no worker polls; and more jobs may wait than wakes are kept."""
    stack.worker(SLOW, STEPWIRE_POLL_S="600", STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    sessions = [gateway.create_session() for _ in range(3)]
    first = gateway.send(sessions[0], "2")["run_id"]
    wait_until(lambda: len(gateway.snapshot(sessions[0])["steps"]) == 3, "it runs")
    waiting = [gateway.send(session, "0")["run_id"] for session in sessions[1:]]
    stack.redis.delete(f"{stack.env['STEPWIRE_QUEUE_NAME']}:wake")
    for session, run in zip(sessions, [first, *waiting], strict=True):
        assert gateway.wait_for_end(session, run)["status"] == "ok"


def test_jobs_that_are_nothing_of_ours_leave_the_queue_and_hold_up_nobody(stack: Stack) -> None:
    queue = stack.env["STEPWIRE_QUEUE_NAME"]
    foreign: dict[str, object] = {"f": "send_mail", "a": [{}], "k": {}, "t": None, "et": 1}
    jobs = {
        "pickled": b"\x80\x05}\x94.",
        "foreign": json.dumps(foreign).encode(),
        "without": json.dumps(foreign | {"f": "stepwire.run", "a": []}).encode(),
        "strange": json.dumps(foreign | {"f": "stepwire.run", "a": None}).encode(),
    }
    names = {name: f"{name}-{new_id()}" for name in (*jobs, "expired")}
    for name, job in jobs.items():
        stack.redis.set(JobKeys.of(queue, names[name]).job, job)
    stack.redis.zadd(queue, dict.fromkeys(names.values(), 1))
    worker = stack.worker(SLOW)
    wait_until(lambda: stack.redis.zcard(queue) == 0, "they are off the queue")
    for name, job_id in names.items():
        assert stack.redis.keys(f"*{job_id}*") == []
        told = (
            "a job has expired"
            if name == "expired"
            else "a job in the queue was not written by stepwire"
        )
        assert any(told in line and job_id in line for line in worker.output.splitlines())
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    assert gateway.wait_for_end(session, gateway.send(session, "0")["run_id"])["status"] == "ok"


def test_two_workers_share_the_work(stack: Stack) -> None:
    for _ in range(2):
        stack.worker(SLOW, STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    sessions = [gateway.create_session() for _ in range(4)]
    runs = [gateway.send(session, "0.3")["run_id"] for session in sessions]
    for session, run in zip(sessions, runs, strict=True):
        assert gateway.wait_for_end(session, run)["status"] == "ok"
    pids = {gateway.snapshot(session)["steps"][1]["output"] for session in sessions}
    assert len(pids) == 2


def test_a_blocking_handler_is_seen_live(stack: Stack) -> None:
    """Steps leave through a thread of their own: a handler that blocks the loop hides nothing."""
    stack.worker(
        """
        import time
        import stepwire as cl

        @cl.on_message
        async def main():
            with cl.Step("before the block"):
                time.sleep(1.5)
        """
    )
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "go")["run_id"]
    wait_until(
        lambda: [s["status"] for s in gateway.snapshot(session)["steps"]] == ["ok", "running"],
        "the step is seen while its handler blocks",
        limit_s=10,
    )
    assert gateway.wait_for_end(session, run)["status"] == "ok"


def test_a_worker_tells_whether_it_is_alive(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "health"
    env = stack.env | {"STEPWIRE_HEALTH_FILE": str(file)}
    command = [sys.executable, "-m", "stepwire_cli", "worker", "--check"]

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=env, check=False, capture_output=True, text=True, timeout=60
        )

    assert check().returncode == 1
    worker = stack.worker(SLOW, STEPWIRE_HEALTH_FILE=str(file))
    wait_until(file.exists, "its loop turns")
    assert (check().returncode, check().stderr) == (0, "")
    worker.stop()
    assert not file.exists()
    assert "no process that has this STEPWIRE_HEALTH_FILE works" in check().stderr


@pytest.mark.parametrize("command", [["worker", "app.py"], ["gateway", "--port", "0"]])
def test_without_a_server_one_line_says_what_to_start(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "app.py").write_text("import stepwire as cl\ncl.on_message(lambda: None)\n")
    result = subprocess.run(
        [sys.executable, "-m", "stepwire_cli", *command, "--redis-url", "redis://127.0.0.1:1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "no Redis answers at redis://127.0.0.1:1" in line
    assert "stepwire dev" in line


def test_a_module_that_does_not_import_ends_the_worker_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import stepwire as cl\n\n1 / 0\n")
    result = subprocess.run(
        [sys.executable, "-m", "stepwire_cli", "worker", "app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert 'app.py", line 3' in result.stderr
    assert "ZeroDivisionError" in result.stderr
    assert "stepwire_cli" not in result.stderr
