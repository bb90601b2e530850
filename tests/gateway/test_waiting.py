"""The reasons why runs of a session have not begun yet: ``GET …/waiting``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stack import Gateway, Stack, wait_until
from stepwire.client import Client
from stepwire_core.queue.run_queue import JobKeys, held_key
from stepwire_core.queue.worker_registry import worker_key, workers_key
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.clock import now
from stepwire_core.values.ids import new_id
from stepwire_core.wire.worker_document import WorkerDocument

APP = """
    import asyncio

    import stepwire as cl

    @cl.on_message
    async def main(message):
        await asyncio.Event().wait()

    @cl.task(max_attempts=2, retry_on=ValueError, backoff_s=300)
    async def fail():
        raise ValueError("no luck")
"""


@pytest.fixture
def gateway(stack: Stack) -> Iterator[Gateway]:
    yield stack.shared_gateway()
    for key in stack.redis.scan_iter(f"{stack.queue}*", count=1000):
        stack.redis.delete(key)


def waiting(gateway: Gateway, session: str) -> list[dict[str, Any]]:
    response = gateway.client.get(f"/v1/sessions/{session}/waiting")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["waiting"]
    return found


def seen(gateway: Gateway, session: str) -> dict[str, tuple[str | None, int | None]]:
    return {run["run_id"]: (run["waits_for"], run["ahead"]) for run in waiting(gateway, session)}


def a_worker(stack: Stack, state: str) -> None:
    worker = WorkerDocument(
        id="one",
        host="a-host",
        pid=7,
        since=now(),
        version="1",
        handlers=["task"],
        running=0,
        max_jobs=1,
        lease_s=60,
        state=state,
    )
    stack.redis.set(worker_key(stack.queue, worker.id), worker.model_dump_json(), px=60_000)
    stack.redis.zadd(workers_key(stack.queue), {worker.id: 1})


def when_noticed(
    gateway: Gateway, session: str, run: str, expected: tuple[str, int | None]
) -> None:
    """The gateway looks once a second which workers there are."""
    wait_until(lambda: seen(gateway, session)[run] == expected, f"{run} waits for {expected}")


def test_a_message_says_at_once_that_no_worker_is_there(gateway: Gateway, stack: Stack) -> None:
    session = gateway.create_session()
    [begin] = waiting(gateway, session)
    assert (begin["handler"], begin["waits_for"]) == ("on_chat_start", "worker")
    run = gateway.send(session, "hello")["run_id"]
    assert [item["handler"] for item in waiting(gateway, session)] == [
        "on_chat_start",
        "on_message",
    ]
    assert seen(gateway, session)[run] == ("worker", None)
    # One that takes nothing is none; one that does leaves the question of the turn.
    a_worker(stack, "stopping")
    assert seen(gateway, session)[run] == ("worker", None)
    a_worker(stack, "ready")
    when_noticed(gateway, session, run, ("turn", 1))
    assert seen(gateway, session)[begin["run_id"]] == ("slot", 0)


def test_each_reason_has_its_word(gateway: Gateway, stack: Stack) -> None:
    a_worker(stack, "ready")
    session = gateway.create_session()
    first, second = gateway.start(session, "report"), gateway.start(session, "report")
    when_noticed(gateway, session, first, ("slot", 1))
    assert seen(gateway, session)[second] == ("slot", 2)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds")
    path = f"/v1/sessions/{session}/runs"
    answer = gateway.client.post(path, json={"task": "report", "defer_until": later})
    put_off = waiting(gateway, session)[-1]
    assert put_off["run_id"] == answer.json()["run_id"]
    assert put_off["waits_for"] == "time"
    due = datetime.fromisoformat(put_off["due_at"])
    assert abs(due - datetime.fromisoformat(later)) < timedelta(minutes=1)
    stack.redis.hset(held_key(stack.queue), second, "1")
    stack.redis.zadd(stack.queue, {second: time.time() * 1000 + 30_000})
    assert seen(gateway, session)[second] == ("limit", None)
    stack.redis.set(JobKeys.of(stack.queue, first).taken, "one", px=60_000)
    stack.redis.zadd(stack.queue, {first: time.time() * 1000 + 30_000})
    assert seen(gateway, session)[first] == ("start", None)
    # Not in the queue just now, so the reason is not known.
    stack.redis.zrem(stack.queue, second)
    assert seen(gateway, session)[second] == (None, None)


def test_a_run_that_begins_waits_no_more_and_one_that_is_tried_again_does(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    # There is no on_chat_start, so that run does nothing, and does not stay.
    answered = gateway.send(session, "hello")["run_id"]
    follower = gateway.send(session, "and then?")["run_id"]
    retried = gateway.start(session, "fail")
    stack.worker(APP)
    wait_until(
        lambda: (
            set(seen(gateway, session)) == {follower, retried}
            and seen(gateway, session)[retried][0] == "time"
        ),
        "the first is under way, and the task has failed once",
    )
    assert seen(gateway, session)[follower] == ("turn", 1)
    [one] = [run for run in waiting(gateway, session) if run["run_id"] == retried]
    assert one["due_at"] > one["waiting_since"]
    for run in (answered, follower):
        gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    gateway.client.post(f"/v1/sessions/{session}/runs/{retried}/cancel")
    wait_until(lambda: not waiting(gateway, session), "nothing waits")
    assert SessionKeys.of(session).waiting not in {
        key.decode() for key in stack.redis.scan_iter(f"*{session}*")
    }


def test_the_python_client_reads_it(gateway: Gateway) -> None:
    session = gateway.create_session()
    with Client(gateway.url) as client:
        [begin] = client.session(session).waiting()
        assert (begin.handler, begin.waits_for) == ("on_chat_start", "worker")


def test_a_session_that_is_not_there_has_no_list(gateway: Gateway) -> None:
    response = gateway.client.get(f"/v1/sessions/{new_id()}/waiting")
    assert (response.status_code, response.json()["code"]) == (404, "session_not_found")
