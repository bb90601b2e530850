"""``GET /v1/tasks``: what the workers that are there can be asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from stack import Gateway, Stack, wait_until
from stepwire.client import Client
from stepwire_cli.main import main
from stepwire_core.queue.task_registry import described, tasks_key
from stepwire_core.queue.worker_registry import worker_key, workers_key
from stepwire_core.values.ids import new_id
from stepwire_core.wire.task_document import TaskDocument
from stepwire_core.wire.worker_document import WorkerDocument

APP = '''
    import stepwire as cl

    @cl.on_message
    async def main(message): ...

    @cl.task
    async def report(city: str, days: int = 7):
        """Write a report.

        Args:
            city: Where.
        """
'''


@pytest.fixture
def gateway(stack: Stack) -> Iterator[Gateway]:
    yield stack.shared_gateway()
    for key in stack.redis.scan_iter(f"{stack.queue}*", count=1000):
        stack.redis.delete(key)


def offer(gateway: Gateway) -> dict[str, Any]:
    response = gateway.client.get("/v1/tasks")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def a_worker(
    stack: Stack, *tasks: TaskDocument, since: str, state: str = "ready", describes: bool = True
) -> WorkerDocument:
    digest, content = described(tasks)
    worker = WorkerDocument(
        id=new_id(),
        host="a-host",
        pid=7,
        since=since,
        version="1",
        handlers=[*(task.name for task in tasks), "on_message"],
        running=0,
        max_jobs=9,
        lease_s=60,
        state=state,
        tasks=digest if describes else None,
    )
    key = worker_key(stack.queue, worker.id)
    stack.redis.set(key, worker.model_dump_json(exclude_none=not describes), px=60_000)
    stack.redis.zadd(workers_key(stack.queue), {worker.id: 1})
    if describes:
        stack.redis.set(tasks_key(stack.queue, digest), content, px=60_000)
    return worker


def test_a_worker_describes_its_tasks(stack: Stack, gateway: Gateway) -> None:
    assert offer(gateway) == {"tasks": [], "handlers": [], "workers": 0}
    stack.worker(APP)
    wait_until(lambda: offer(gateway)["workers"] == 1, "the worker is there")
    found = offer(gateway)
    assert found["handlers"] == ["on_message"]
    [task] = found["tasks"]
    assert (task["name"], task["description"], task["workers"]) == (
        "report",
        "Write a report.",
        1,
    )
    assert task["args_schema"] == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where."},
            "days": {"type": "integer", "default": 7},
        },
        "additionalProperties": False,
        "required": ["city"],
    }
    # A lost description comes back with the next renewal of the lease.
    [key] = stack.redis.scan_iter(f"{stack.queue}:tasks:*")
    stack.redis.delete(key)
    wait_until(lambda: bool(stack.redis.exists(key)), "it is described again")
    with Client(gateway.url) as client:
        assert client.tasks().model_dump(mode="json") == found
    shown = CliRunner().invoke(main, ["tasks", "--gateway", gateway.url, "--json"])
    assert json.loads(shown.output) == found["tasks"]
    table = CliRunner().invoke(main, ["tasks", "--gateway", gateway.url]).output
    assert "city, [days]" in table


def test_the_worker_that_has_begun_last_is_right(stack: Stack, gateway: Gateway) -> None:
    old = TaskDocument(name="report", description="old", args_schema={"type": "object"})
    new = TaskDocument(name="report", description="new", args_schema={"properties": {"n": {}}})
    a_worker(stack, new, since="2026-01-02T00:00:00.000Z")
    a_worker(stack, old, since="2026-01-01T00:00:00.000Z", state="stopping")
    a_worker(stack, TaskDocument(name="report"), since="2026-01-03T00:00:00.000Z", describes=False)
    a_worker(stack, TaskDocument(name="more"), since="2026-01-01T00:00:00.000Z", describes=False)
    found = offer(gateway)
    # Three take runs; the one that stops does not count.
    assert found["workers"] == 3
    assert found["tasks"] == [
        {"name": "more", "description": "", "args_schema": None, "workers": 1},
        {"name": "report", "description": "new", "args_schema": new.args_schema, "workers": 2},
    ]


def test_a_description_that_cannot_be_read_costs_itself_alone(
    stack: Stack, gateway: Gateway
) -> None:
    task = TaskDocument(name="report", args_schema={})
    a_worker(stack, task, since="2026-01-02T00:00:00.000Z")
    stack.redis.set(tasks_key(stack.queue, described([task])[0]), "{", px=60_000)
    a_worker(stack, TaskDocument(name="other", args_schema={}), since="2026-01-02T00:00:00.000Z")
    schemas = {found["name"]: found["args_schema"] for found in offer(gateway)["tasks"]}
    assert schemas == {"other": {}, "report": None}
