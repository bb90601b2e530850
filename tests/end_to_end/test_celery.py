"""Celery tasks continue the tree: another task queue, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stack import Stack, wait_until

pytest.importorskip("celery")

TASKS = """
import os
from celery import Celery
import stepwire as cl

app = Celery("tasks", broker=os.environ["BROKER_URL"])

@app.task
def part(context, name):
    with cl.attach(context), cl.Step(name, type="tool") as step:
        with cl.Step(f"{name}.inner"):
            step.output = f"done in {os.getpid()}"
"""

HANDLERS = """
import stepwire as cl
from celery_tasks_of_test import part

@cl.on_message
async def main():
    async with cl.Step("delegates"):
        for number in range(4):
            part.delay(cl.current().export(), f"part {number}")
"""


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_celery_tasks_nest_under_the_step_that_sent_them(
    stack: Stack, tmp_path: Path, pool: str
) -> None:
    (tmp_path / "celery_tasks_of_test.py").write_text(TASKS)
    handlers = tmp_path / "handlers.py"
    handlers.write_text(HANDLERS)
    stack.env |= {"BROKER_URL": stack.env["STEPWIRE_REDIS_URL"], "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "celery", "-A", "celery_tasks_of_test", "worker"]
    with (tmp_path / "celery.log").open("wb") as log:
        celery = subprocess.Popen(
            [*command, "--pool", pool, "--concurrency", "2", "--loglevel", "INFO"],
            cwd=tmp_path,
            env=stack.env,
            stdout=log,
            stderr=log,
        )
    try:
        stack.worker(handlers)
        gateway = stack.shared_gateway()
        session = gateway.create_session()
        run = gateway.send(session, "go")["run_id"]
        assert gateway.wait_for_end(session, run)["status"] == "ok"

        def done() -> bool:
            steps = gateway.snapshot(session)["steps"]
            return len(steps) == 10 and all(step["status"] == "ok" for step in steps)

        wait_until(done, "all parts are done")
    finally:
        celery.terminate()
        celery.wait(30)
    steps = gateway.snapshot(session)["steps"]
    names = {step["id"]: step["name"] for step in steps}
    parents = {step["name"]: names.get(step["parent_id"]) for step in steps}
    for number in range(4):
        assert parents[f"part {number}"] == "delegates"
        assert parents[f"part {number}.inner"] == f"part {number}"
    worked_in = {step["output"] for step in steps if step["output"].startswith("done in")}
    assert len(worked_in) == (2 if pool == "prefork" else 1)
