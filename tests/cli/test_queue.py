"""``stepwire workers``, ``runs`` and ``retry``, for people and for scripts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stack import Gateway, Stack, wait_until
from stepwire_cli.main import main
from stepwire_core.process.health_file import BEAT_S

WAITS = """
    import asyncio, pathlib, time
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("at work"):
            how, _, until = message.content.partition(" ")
            while how == "block" and not pathlib.Path(until).exists():
                time.sleep(0.05)
            if how == "wait":
                await asyncio.sleep(float(until))
"""

FAILS_ONCE = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        tried = cl.user_session.get(message.id, 0)
        cl.user_session.set(message.id, tried + 1)
        if not tried:
            raise ValueError("no luck with " + message.content)
        await cl.Message("done: " + message.content).send()

    @cl.task
    async def broken(what):
        raise KeyError(what)
"""


def stepwire(stack: Stack, *arguments: str, **env: str) -> Result:
    """The command, in this process: some tests ask again and again."""
    return CliRunner().invoke(main, arguments, env=stack.env | env)


def listed(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    result = stepwire(stack, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    documents: list[dict[str, Any]] = json.loads(result.stdout)
    return documents


def failed_ids(stack: Stack) -> list[str]:
    return [letter["request"]["run_id"] for letter in listed(stack, "runs", "--failed")]


def at_work(gateway: Gateway, content: str) -> tuple[str, str]:
    """A session and a run whose handler is inside its step."""
    session = gateway.create_session()
    run = gateway.send(session, content)["run_id"]
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 2, "it runs")
    return session, run


@pytest.mark.parametrize("command", ["workers", "tasks", "runs"])
def test_a_command_that_asks_a_gateway_needs_no_settings_of_redis(
    stack: Stack, command: str
) -> None:
    url = stack.shared_gateway().url
    wrong = {"STEPWIRE_REDIS_URL": "nonsense"}
    assert "STEPWIRE_REDIS_URL" in stepwire(stack, command, **wrong).stderr
    done = stepwire(stack, command, "--gateway", url, "--json", **wrong)
    assert (done.exit_code, done.stderr) == (0, "")


def test_workers_shows_who_is_there_and_who_runs_what(stack: Stack) -> None:
    assert listed(stack, "workers") == []
    assert "no worker is there" in stepwire(stack, "workers").stdout
    child = stack.worker(WAITS, STEPWIRE_MAX_JOBS="3")
    gateway = stack.shared_gateway()
    session, run = at_work(gateway, "wait 60")
    wait_until(lambda: bool(listed(stack, "workers")[0]["runs"]), "the run is shown")
    [worker] = listed(stack, "workers")
    assert child.process is not None
    assert (worker["host"], worker["pid"]) == (socket.gethostname(), child.process.pid)
    assert (worker["state"], worker["running"], worker["max_jobs"]) == ("ready", 1, 3)
    assert worker["handlers"] == ["on_message"]
    [shown] = worker["runs"]
    assert (shown["session_id"], shown["run_id"]) == (session, run)
    assert (shown["handler"], shown["attempt"]) == ("on_message", 1)
    table = stepwire(stack, "workers").stdout
    assert "1 of 3" in table
    assert run in table
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    gateway.wait_for_end(session, run)
    wait_until(lambda: listed(stack, "workers")[0]["runs"] == [], "it is over")
    child.stop()
    assert listed(stack, "workers") == []


def test_a_killed_worker_vanishes_with_its_lease(stack: Stack) -> None:
    child = stack.worker(WAITS, STEPWIRE_LEASE_S="2")
    wait_until(lambda: len(listed(stack, "workers")) == 1, "it is there")
    child.kill()
    wait_until(lambda: listed(stack, "workers") == [], "it is gone")


def test_a_paused_worker_falls_silent_and_comes_back(stack: Stack) -> None:
    child = stack.worker(WAITS, STEPWIRE_LEASE_S="20")  # silent for 10 s of it
    wait_until(lambda: len(listed(stack, "workers")) == 1, "it is there")
    child.signal(signal.SIGSTOP)
    wait_until(
        lambda: [worker["state"] for worker in listed(stack, "workers")] == ["silent"], "silent"
    )
    child.signal(signal.SIGCONT)
    wait_until(
        lambda: [worker["state"] for worker in listed(stack, "workers")] == ["ready"], "ready"
    )


def test_a_worker_whose_loop_is_blocked_says_so_and_its_health_file_grows_old(
    stack: Stack, tmp_path: Path
) -> None:
    health = tmp_path / "health"
    stack.worker(WAITS, STEPWIRE_LEASE_S="6", STEPWIRE_HEALTH_FILE=str(health))
    gateway = stack.shared_gateway()
    gate = tmp_path / "gate"
    session, run = at_work(gateway, f"block {gate}")
    wait_until(lambda: listed(stack, "workers")[0]["state"] == "blocked", "it is, for a lease")
    assert time.time() - health.stat().st_mtime > 2 * BEAT_S
    os.utime(health, (0, 0))
    gate.touch()
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    wait_until(lambda: listed(stack, "workers")[0]["state"] == "ready", "it is back")
    wait_until(lambda: health.stat().st_mtime > 0, "it is touched again")


def test_a_worker_that_was_told_to_stop_shows_what_it_still_does(stack: Stack) -> None:
    child = stack.worker(WAITS, STEPWIRE_GRACE_S="30")
    gateway = stack.shared_gateway()
    session, run = at_work(gateway, "wait 60")
    child.signal(signal.SIGTERM)
    wait_until(lambda: listed(stack, "workers")[0]["state"] == "stopping", "it stops")
    assert [shown["run_id"] for shown in listed(stack, "workers")[0]["runs"]] == [run]
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    wait_until(lambda: child.exit_code is not None, "it ends")


def test_runs_shows_what_runs_and_what_waits(stack: Stack) -> None:
    assert "nothing runs" in stepwire(stack, "runs").stdout
    child = stack.worker(WAITS, STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    _, running = at_work(gateway, "wait 60")
    later = gateway.create_session()
    wanted = gateway.send(later, "wait 0")["run_id"]
    wait_until(lambda: listed(stack, "runs")[0]["attempt"] == 1, "it is registered")
    first, *others = listed(stack, "runs")
    assert child.process is not None
    assert (first["state"], first["run_id"], first["pid"]) == (
        "running",
        running,
        child.process.pid,
    )
    waiting = {run["run_id"]: run for run in others}[wanted]
    assert (waiting["state"], waiting["session_id"]) == ("queued", later)
    assert waiting["handler"] == "on_message"
    assert len(listed(stack, "runs", "--limit", "1")) == 1
    assert wanted in stepwire(stack, "runs").stdout


def test_a_failed_run_is_listed_and_retried_as_a_new_run(stack: Stack) -> None:
    stack.worker(FAILS_ONCE)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "tea")["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "error"
    wait_until(lambda: failed_ids(stack) == [run], "it is listed")
    [letter] = listed(stack, "runs", "--failed")
    assert (letter["status"], letter["attempts"]) == ("error", 1)
    assert letter["error"].pop("traceback").startswith("Traceback (most recent call last):")
    assert letter["error"] == {"type": "ValueError", "message": "no luck with tea"}
    assert "ValueError: no luck with tea" in stepwire(stack, "runs", "--failed").stdout
    result = stepwire(stack, "retry", run)
    assert result.exit_code == 0, result.stderr
    again = result.stdout.strip()
    ended = gateway.wait_for_end(session, again)
    assert (ended["status"], ended["handler"], ended["attempt"]) == ("ok", "on_message", 1)
    assert ended["message_id"] == letter["request"]["message"]["id"]
    snapshot = gateway.snapshot(session)
    assert snapshot["steps"][-1]["output"] == "done: tea"
    assert {r["run_id"]: r["status"] for r in snapshot["runs"]}[run] == "error"
    assert listed(stack, "runs", "--failed") == []
    # The same message once more, as a client may send it: its run stays ended, its letter gone.
    gateway.send(session, "tea", id=letter["request"]["message"]["id"])
    wait_until(lambda: listed(stack, "runs") == [], "the queue is empty")
    assert listed(stack, "runs", "--failed") == []
    result = stepwire(stack, "retry", run)
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert "is not among the failed runs" in line


def test_all_failed_runs_can_be_retried_at_once(stack: Stack) -> None:
    stack.worker(FAILS_ONCE)
    gateway = stack.shared_gateway()
    sessions = [gateway.create_session() for _ in range(3)]
    for session in sessions:
        gateway.wait_for_end(session, gateway.send(session, "go")["run_id"])
    wait_until(lambda: len(failed_ids(stack)) == 3, "they are listed")
    assert len(listed(stack, "runs", "--failed", "--limit", "2")) == 2
    result = stepwire(stack, "retry", "--all")
    assert result.exit_code == 0, result.stderr
    for session, run in zip(sessions, result.stdout.splitlines(), strict=True):
        assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert listed(stack, "runs", "--failed") == []


def test_a_run_that_fails_again_is_a_dead_letter_again_with_its_arguments(stack: Stack) -> None:
    stack.worker(FAILS_ONCE)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    body = {"task": "broken", "args": {"what": "tea"}}
    first = gateway.client.post(f"/v1/sessions/{session}/runs", json=body).json()["run_id"]
    wait_until(lambda: failed_ids(stack) == [first], "it is listed")
    second = stepwire(stack, "retry", first).stdout.strip()
    wait_until(lambda: failed_ids(stack) == [second], "the new one is listed")
    assert gateway.wait_for_end(session, second)["error"]["message"] == "'tea'"


@pytest.mark.parametrize(("max_attempts", "letters"), [("1", 1), ("2", 0)])
def test_a_run_that_dies_with_its_worker_is_a_dead_letter_unless_it_is_tried_again(
    stack: Stack, max_attempts: str, letters: int
) -> None:
    env = {"STEPWIRE_LEASE_S": "2", "STEPWIRE_MAX_ATTEMPTS": max_attempts}
    child = stack.worker(WAITS, **env)
    gateway = stack.shared_gateway()
    session, run = at_work(gateway, "wait 2")
    child.kill()
    stack.worker(WAITS, **env)
    gateway.wait_for_end(session, run)
    wait_until(lambda: listed(stack, "runs") == [], "the queue is empty")
    failed = listed(stack, "runs", "--failed")
    assert [(f["status"], f["error"]["type"], f["attempts"]) for f in failed] == [
        ("interrupted", "WorkerLost", 1)
    ] * letters


def test_a_run_that_its_worker_gives_up_is_one_dead_letter_and_retried_once(stack: Stack) -> None:
    """Its job waits for another worker, which finds that the run is over."""
    child = stack.worker(WAITS)
    gateway = stack.shared_gateway()
    session, run = at_work(gateway, "wait 60")
    child.signal(signal.SIGTERM)
    assert gateway.wait_for_end(session, run)["error"]["type"] == "WorkerStopped"
    wait_until(lambda: child.exit_code is not None, "it ends")
    assert failed_ids(stack) == [run]
    again = stepwire(stack, "retry", run).stdout.strip()
    assert [waiting["run_id"] for waiting in listed(stack, "runs")] == [again]
    stack.worker(WAITS)
    wait_until(lambda: gateway.run(session, again) is not None, "it is tried again")
    assert failed_ids(stack) == []


def test_a_cancelled_run_is_no_dead_letter(stack: Stack) -> None:
    stack.worker(WAITS)
    gateway = stack.shared_gateway()
    session, run = at_work(gateway, "wait 60")
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    wait_until(lambda: listed(stack, "runs") == [], "the queue is empty")
    assert listed(stack, "runs", "--failed") == []


def test_the_dead_letters_of_a_session_go_with_it(stack: Stack) -> None:
    stack.worker(FAILS_ONCE)
    gateway = stack.shared_gateway()
    kept, deleted = gateway.create_session(), gateway.create_session()
    for session in (kept, deleted):
        gateway.wait_for_end(session, gateway.send(session, "secret")["run_id"])
    wait_until(lambda: len(failed_ids(stack)) == 2, "they are listed")
    assert gateway.client.delete(f"/v1/sessions/{deleted}").status_code == 204
    [letter] = listed(stack, "runs", "--failed")
    assert letter["request"]["session_id"] == kept


def test_a_dead_letter_whose_session_is_gone_stays_and_one_line_says_why(stack: Stack) -> None:
    stack.worker(FAILS_ONCE)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "tea")["run_id"]
    wait_until(lambda: failed_ids(stack) == [run], "it is listed")
    url = stack.env["STEPWIRE_REDIS_URL"]
    elsewhere = {"STEPWIRE_REDIS_URL": url.replace("/0", "/1"), "STEPWIRE_QUEUE_URL": url}
    for arguments in (["retry", run], ["retry", "--all"]):
        result = stepwire(stack, *arguments, **elsewhere)
        assert result.exit_code == 1
        [line] = result.stderr.splitlines()
        assert f"run '{run}' cannot be retried: its session '{session}' is gone" in line
    assert failed_ids(stack) == [run]


def test_only_so_many_dead_letters_are_kept_the_newest(stack: Stack) -> None:
    stack.worker(FAILS_ONCE, STEPWIRE_DEAD_LETTERS_MAX="2")
    gateway = stack.shared_gateway()
    runs = []
    for _ in range(3):
        session = gateway.create_session()
        runs.append(gateway.send(session, "go")["run_id"])
        wait_until(lambda: runs[-1] in failed_ids(stack), "it is listed")
    assert failed_ids(stack) == runs[:0:-1]


@pytest.mark.parametrize(
    "arguments", [["retry"], ["retry", "r", "--all"], ["runs", "--limit", "0"]]
)
def test_a_command_that_makes_no_sense_is_refused(stack: Stack, arguments: list[str]) -> None:
    result = stepwire(stack, *arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["workers"], ["runs"], ["runs", "--tag", "a"], ["runs", "--failed"], ["retry", "r"]],
)
def test_a_wrong_address_is_one_line_that_says_which_and_what_to_do(
    stack: Stack, arguments: list[str]
) -> None:
    right, gateway = stack.env["STEPWIRE_REDIS_URL"], stack.shared_gateway()
    nobody, no_database = "redis://:secret@127.0.0.1:1", right.replace("/0", "/99")
    for variable, url, said in (
        ("REDIS", nobody, "no Redis answers at redis://:***@127.0.0.1:1"),
        ("REDIS", f"redis://127.0.0.1:{gateway.port}", "an HTTP server answers there"),
        ("REDIS", no_database, f"{no_database} (STEPWIRE_REDIS_URL): "),
        ("QUEUE", no_database, f"{no_database} (STEPWIRE_QUEUE_URL): "),
    ):
        result = stepwire(stack, *arguments, **{f"STEPWIRE_{variable}_URL": url})
        assert result.exit_code == 1
        [line] = result.stderr.splitlines()
        assert said in line
        assert f"STEPWIRE_{variable}_URL" in line
        assert "secret" not in line


def test_without_rich_scripts_are_served_and_people_are_told_what_to_install(stack: Stack) -> None:
    code = "import sys; sys.modules['rich'] = None; from stepwire_cli.main import main; main()"
    for arguments, status, said in (
        (["workers", "--json"], 0, "[]"),
        (["workers"], 2, "pip install 'stepwire[dev]'"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | stack.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (result.returncode, said in result.stdout + result.stderr) == (status, True)
