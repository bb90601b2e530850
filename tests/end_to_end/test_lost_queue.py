"""The queue's Redis forgets all: it was flushed, or restarted without an append-only file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.queue.run_queue import JobKeys

APP = Path(__file__).parent / "apps" / "lost_queue.py"


class Lossy:
    """A queue on a server of its own."""

    def __init__(self, stack: Stack, redis: Redis, gate: Path) -> None:
        self.redis = redis
        self.gate = gate
        self._name = stack.env["STEPWIRE_QUEUE_NAME"]

    @property
    def held(self) -> list[str]:
        """The runs that a limit holds back."""
        held: Any = self.redis.hkeys(f"{self._name}:held")
        return [run_id.decode() for run_id in held]

    @property
    def journal(self) -> list[str]:
        """Which parts were begun."""
        path = self.gate.with_name("journal")
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def queue(stack: Stack, tmp_path: Path) -> Iterator[Lossy]:
    gate = tmp_path / "gate"
    with embedded_server() as server, Redis.from_url(server.url) as redis:
        stack.env |= {
            "STEPWIRE_QUEUE_URL": server.url,
            "STEPWIRE_LEASE_S": "2",
            "GATE": str(gate),
        }
        yield Lossy(stack, redis, gate)


def start(gateway: Gateway, session: str, task: str, **body: Any) -> str:
    body["task"] = task
    response = gateway.client.post(f"/v1/sessions/{session}/runs", json=body)
    return str(response.raise_for_status().json()["run_id"])


@pytest.mark.parametrize(
    "caller", ["caller", pytest.param("caller_in_a_thread", marks=pytest.mark.long)]
)
def test_a_task_that_is_awaited_is_queued_again_and_one_that_is_executed_is_not(
    stack: Stack, queue: Lossy, caller: str
) -> None:
    for _ in range(3):
        stack.worker(APP, STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, caller)
    wait_until(lambda: len(queue.journal) == 2 and len(queue.held) == 1, "one part waits")
    queue.redis.flushall()
    wait_until(lambda: len(queue.journal) == 3, "it is begun")
    queue.gate.touch()
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert sorted(queue.journal) == ["a", "b", "c"]
    assert [run["attempt"] for run in gateway.snapshot(session)["runs"]] == [1, 1, 1, 1]


def test_who_awaits_a_task_hears_of_an_end_that_was_stored_without_its_result(
    stack: Stack, queue: Lossy
) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "caller_in_a_thread")
    wait_until(lambda: len(queue.journal) == 2 and len(queue.held) == 1, "one part waits")
    key = JobKeys.of(stack.env["STEPWIRE_QUEUE_NAME"], queue.held[0]).job
    stored: Any = queue.redis.get(key)
    job = json.loads(stored)
    job["a"][0]["priority"] = "of another version"
    queue.redis.set(key, json.dumps(job))
    queue.gate.touch()
    ended = gateway.wait_for_end(session, run)
    assert ended["status"] == "error"
    assert ended["error"]["type"] == "TaskFailed"
    assert "InvalidRequest" in ended["error"]["message"]


def test_what_waited_is_executed_when_it_is_asked_for_again_and_keeps_no_other_waiting(
    stack: Stack, queue: Lossy
) -> None:
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    message = gateway.send(session, "first")
    run = start(gateway, session, "part", args={"name": "a"})
    queue.redis.flushall()
    queue.gate.touch()
    stack.worker(APP)
    later = gateway.send(session, "second")
    assert gateway.wait_for_end(session, later["run_id"])["status"] == "ok"
    again = gateway.send(session, "first", id=message["message_id"])
    assert again == message
    assert start(gateway, session, "part", args={"name": "a"}, id=run) == run
    for run_id in (message["run_id"], run):
        assert gateway.wait_for_end(session, run_id)["status"] == "ok"
