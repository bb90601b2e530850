"""How far a run is: ``GET …/runs/{id}``, where ``Location`` of every 202 leads."""

from __future__ import annotations

import pytest

from stack import Gateway, Stack, wait_until
from stepwire_core.values.ids import new_id

APP = """
    import asyncio

    import stepwire as cl

    @cl.on_message
    async def main(message):
        await asyncio.Event().wait()

    @cl.task(max_attempts=2, retry_on=ValueError, backoff_s=0)
    async def fail():
        raise ValueError("no luck")
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    """One without a worker."""
    return shared_stack.gateway()


def state(gateway: Gateway, path: str) -> dict[str, object]:
    response = gateway.client.get(path)
    assert response.status_code == 200, response.text
    found: dict[str, object] = response.json()
    return found


def test_a_run_is_queued_then_running_then_over(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    path = f"/v1/sessions/{session}"
    response = gateway.client.post(f"{path}/messages", json={"content": "hello", "id": "m-1"})
    location = response.headers["location"]
    assert location == f"{path}/runs/{response.json()['run_id']}"
    queued = state(gateway, location)
    assert (queued["status"], queued["attempt"], queued["handler"], queued["message_id"]) == (
        "queued",
        0,
        "on_message",
        "m-1",
    )
    assert queued["started_at"] is queued["ended_at"] is queued["error"] is None
    stack.worker(APP)
    wait_until(lambda: state(gateway, location)["status"] == "running", "it is begun")
    running = state(gateway, location)
    assert (running["attempt"], running["ended_at"]) == (1, None)
    [in_snapshot] = [run for run in gateway.snapshot(session)["runs"] if run["message_id"]]
    assert running == in_snapshot
    cancelled = gateway.client.post(f"{location}/cancel")
    assert (cancelled.status_code, cancelled.headers["location"]) == (202, location)
    wait_until(lambda: state(gateway, location)["status"] == "cancelled", "it is over")
    assert state(gateway, location)["will_retry"] is False


def test_a_run_that_failed_says_why_and_how_often_it_was_tried(stack: Stack) -> None:
    gateway = stack.gateway()
    stack.worker(APP)
    session = gateway.create_session()
    response = gateway.client.post(f"/v1/sessions/{session}/runs", json={"task": "fail"})
    location = response.headers["location"]
    gateway.wait_for_end(session, response.json()["run_id"])
    ended = state(gateway, location)
    assert (ended["status"], ended["attempt"]) == ("error", 2)
    assert ended["error"] == {"type": "ValueError", "message": "no luck"}


def test_a_run_that_is_cancelled_before_it_began_is_over(gateway: Gateway) -> None:
    session = gateway.create_session()
    for path, body in (("resume", {}), ("runs", {"task": "x"}), ("messages", {"content": "x"})):
        url = f"/v1/sessions/{session}/{path}"
        location = gateway.client.post(url, json=body).headers["location"]
        assert state(gateway, location)["status"] == "queued"
        gateway.client.post(f"{location}/cancel")
        assert state(gateway, location)["status"] == "cancelled"


@pytest.mark.parametrize("run", ["never-started", "%7Bx%7D", "x" * 200])
def test_a_run_that_nobody_has_started_is_not_found(gateway: Gateway, run: str) -> None:
    session, other = gateway.create_session(), gateway.create_session()
    gateway.client.post(f"/v1/sessions/{other}/runs", json={"task": "x", "id": "elsewhere"})
    for name in (run, "elsewhere"):
        response = gateway.client.get(f"/v1/sessions/{session}/runs/{name}")
        assert (response.status_code, response.json()["code"]) == (404, "run_not_found")
    response = gateway.client.get(f"/v1/sessions/{new_id()}/runs/elsewhere")
    assert (response.status_code, response.json()["code"]) == (404, "session_not_found")
