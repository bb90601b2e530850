"""What handlers say about their runs: one after another, again, in parts, later."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.redis.keys import SessionKeys

CHAT = """
    import asyncio, os, pathlib, signal
    import stepwire as cl

    GATE = pathlib.Path(os.environ["GATE"])

    @cl.on_chat_start
    async def hello():
        cl.user_session.set("seen", ["start"])
        await cl.Message("Welcome").send()

    @cl.on_message(concurrency=os.environ.get("MODE", "queue"))
    async def main(message):
        seen = cl.user_session.get("seen") or []
        async with cl.Step("answer") as step:
            if message.content == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            await step.stream_token("begun")
            while message.content.startswith("wait") and not GATE.exists():
                await asyncio.sleep(0.01)
        cl.user_session.set("seen", [*seen, message.content])
        await cl.Message(f"{message.content} after {seen}").send()
"""

TASKS = Path(__file__).parent / "apps" / "tasks.py"


@pytest.fixture
def gate(stack: Stack, tmp_path: Path) -> Path:
    stack.env |= {"GATE": str(tmp_path / "gate"), "TRIES": str(tmp_path / "tries")}
    return tmp_path / "gate"


def outputs(gateway: Gateway, session: str, name: str = "Assistant") -> list[str]:
    return [s["output"] for s in gateway.snapshot(session)["steps"] if s["name"] == name]


def start(gateway: Gateway, session: str, task: str, **args: Any) -> str:
    path = f"/v1/sessions/{session}/runs"
    response = gateway.client.post(path, json={"task": task, "args": args})
    assert response.status_code == 202, response.text
    run_id: str = response.json()["run_id"]
    return run_id


def begun(gateway: Gateway, session: str, name: str = "answer", count: int = 1) -> None:
    wait_until(lambda: len(outputs(gateway, session, name)) >= count, f"{count} {name} begun")


def runs(gateway: Gateway, session: str) -> Iterator[tuple[str, str, str | None]]:
    for run in gateway.snapshot(session)["runs"]:
        yield run["handler"], run["status"], run["error"] and run["error"]["type"]


def test_a_message_whose_id_reads_like_a_run_of_the_session_is_answered(
    stack: Stack, gate: Path
) -> None:
    stack.worker(textwrap.dedent(CHAT) + TASKS.read_text())
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    response = gateway.client.post(
        f"/v1/sessions/{session}/runs",
        json={"task": "part", "args": {"number": 2}, "id": "m.foo"},
    )
    assert response.status_code == 202, response.text
    gateway.wait_for_end(session, "m.foo")
    sent = gateway.send(session, "hello", id="foo.1")
    assert gateway.wait_for_end(session, sent["run_id"])["status"] == "ok"
    assert "foo.1" in [step["id"] for step in gateway.snapshot(session)["steps"]]


# -- several messages at once -------------------------------------------------------------------


def test_messages_are_answered_one_after_another_on_whatever_worker(
    stack: Stack, gate: Path
) -> None:
    for _ in range(3):
        stack.worker(CHAT)
    gateways = [stack.shared_gateway(), stack.gateway()]
    session = gateways[0].create_session()
    contents = ["wait 0", *(f"m{number}" for number in range(1, 7))]
    sent = [
        gateways[number % 2].send(session, content)["run_id"]
        for number, content in enumerate(contents)
    ]
    begun(gateways[0], session)
    assert len(outputs(gateways[0], session, "answer")) == 1
    gate.touch()
    for run in sent:
        assert gateways[0].wait_for_end(session, run)["status"] == "ok"
    said = [f"{c} after {['start', *contents[:n]]}" for n, c in enumerate(contents)]
    assert outputs(gateways[0], session) == ["Welcome", *said]
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        assert redis.zcard(stack.env["STEPWIRE_QUEUE_NAME"]) == 0
        keys = [key.decode() for key in redis.scan_iter(f"*{{{session}}}*")]
        assert SessionKeys.of(session).log.replace(":log", ":turns") not in keys


def test_in_parallel_nobody_waits(stack: Stack, gate: Path) -> None:
    stack.worker(CHAT, MODE="parallel")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    sent = [gateway.send(session, f"wait {number}")["run_id"] for number in range(3)]
    begun(gateway, session, count=3)
    gate.touch()
    for run in sent:
        assert gateway.wait_for_end(session, run)["status"] == "ok"


def test_a_message_can_be_refused_while_another_is_answered(stack: Stack, gate: Path) -> None:
    stack.worker(CHAT, MODE="reject")
    stack.worker(CHAT, MODE="reject")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    first = gateway.send(session, "wait")["run_id"]
    begun(gateway, session)
    refused = gateway.wait_for_end(session, gateway.send(session, "too early")["run_id"])
    assert (refused["status"], refused["error"]["type"]) == ("error", "Busy")
    gate.touch()
    assert gateway.wait_for_end(session, first)["status"] == "ok"
    later = gateway.send(session, "later")["run_id"]
    assert gateway.wait_for_end(session, later)["status"] == "ok"
    assert len(outputs(gateway, session, "answer")) == 2


def test_a_message_can_interrupt_what_is_under_way(stack: Stack, gate: Path) -> None:
    stack.worker(CHAT, MODE="interrupt")
    stack.worker(CHAT, MODE="interrupt")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    first = gateway.send(session, "wait")["run_id"]
    begun(gateway, session)
    second = gateway.send(session, "now")["run_id"]
    assert gateway.wait_for_end(session, first)["status"] == "cancelled"
    assert gateway.wait_for_end(session, second)["status"] == "ok"
    assert outputs(gateway, session) == ["Welcome", "now after ['start']"]
    ends = [run["ended_at"] for run in gateway.snapshot(session)["runs"]]
    starts = [run["started_at"] for run in gateway.snapshot(session)["runs"]]
    assert starts[2] >= ends[1]


def test_a_message_whose_worker_dies_does_not_hold_up_the_next(stack: Stack, gate: Path) -> None:
    doomed = stack.worker(CHAT, STEPWIRE_LEASE_S="2")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    first = gateway.send(session, "die")["run_id"]
    second = gateway.send(session, "next")["run_id"]
    wait_until(lambda: doomed.exit_code is not None, "it dies")
    stack.worker(CHAT, STEPWIRE_LEASE_S="2")
    assert gateway.wait_for_end(session, first)["status"] == "interrupted"
    assert gateway.wait_for_end(session, second)["status"] == "ok"
    assert outputs(gateway, session)[-1] == "next after ['start']"


def test_a_message_that_was_never_queued_does_not_hold_up_the_next(
    stack: Stack, gate: Path
) -> None:
    """A gateway that dies between storing a message and queueing its run."""
    stack.worker(CHAT)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "first")["run_id"])
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        turns = SessionKeys.of(session).log.replace(":log", ":turns")
        redis.rpush(turns, "on_message never-queued")
    second = gateway.send(session, "second")["run_id"]
    assert gateway.wait_for_end(session, second)["status"] == "ok"


# -- again ----------------------------------------------------------------------------------------


def test_an_error_that_is_worth_it_is_tried_again_and_shown_only_at_last(
    stack: Stack, gate: Path
) -> None:
    stack.worker(TASKS)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.wait_for_end(session, start(gateway, session, "flaky", good_at=3))
    assert (run["status"], run["attempt"], run["error"]) == ("ok", 3, None)
    steps = gateway.snapshot(session)["steps"]
    assert [(s["status"], s["attempt"]) for s in steps] == [("error", 1), ("error", 2), ("ok", 3)]


@pytest.mark.parametrize(
    ("task", "args", "attempts", "error"),
    [
        ("flaky", {"good_at": 9}, 3, "ConnectionError"),
        ("flaky", {"good_at": 9, "error": "ValueError"}, 1, "ValueError"),
        ("asks_for_it", {"after": 0.01}, 2, "Retry"),
        ("slow", {}, 2, "RunTimeout"),
    ],
)
def test_a_run_that_never_succeeds_ends_after_its_attempts(
    stack: Stack, gate: Path, task: str, args: dict[str, Any], attempts: int, error: str
) -> None:
    stack.worker(TASKS)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.wait_for_end(session, start(gateway, session, task, **args))
    assert (run["status"], run["attempt"], run["error"]["type"]) == ("error", attempts, error)
    assert len(Path(stack.env["TRIES"]).read_text()) == attempts
    assert len(outputs(gateway, session, "Error")) == 1


def test_a_run_that_waits_for_its_next_attempt_is_cancelled_at_once(
    stack: Stack, gate: Path
) -> None:
    stack.worker(TASKS)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "asks_for_it", after=3600)

    def waits() -> bool:
        known = gateway.run(session, run)
        return known is not None and bool(known["will_retry"])

    wait_until(waits, "the first attempt is over")
    wait_until(
        lambda: (
            gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel").is_success
            and (gateway.run(session, run) or {})["status"] == "cancelled"
        ),
        "it is cancelled",
    )
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["attempt"]) == ("cancelled", 2)


def test_a_run_that_no_worker_has_is_over_as_soon_as_it_is_cancelled(
    stack: Stack, gate: Path
) -> None:
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "flaky", good_at=1)
    message = gateway.send(session, "x")["run_id"]
    for id_ in (run, message):
        assert gateway.client.post(f"/v1/sessions/{session}/runs/{id_}/cancel").is_success
        ended = gateway.run(session, id_)
        assert ended is not None
        assert (ended["status"], ended["will_retry"]) == ("cancelled", False)
    stack.worker(TASKS)
    other = start(gateway, session, "flaky", good_at=1)
    assert gateway.wait_for_end(session, other)["status"] == "ok"
    assert len(Path(stack.env["TRIES"]).read_text()) == 1


# -- in parts -------------------------------------------------------------------------------------


def test_a_hundred_parts_on_three_workers_make_one_tree(stack: Stack, gate: Path) -> None:
    for _ in range(3):
        stack.worker(TASKS, STEPWIRE_MAX_JOBS="4")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "fan_out", count=100)
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    snapshot = gateway.snapshot(session)
    [root] = [step for step in snapshot["steps"] if step["name"] == "fan out"]
    assert root["output"] == str(sum(n * n for n in range(100)))
    parts = [step for step in snapshot["steps"] if step["name"].startswith("part")]
    assert len(parts) == 100
    assert {step["parent_id"] for step in parts} == {root["id"]}
    subs = [item for item in snapshot["runs"] if item["run_id"] != run]
    assert {(item["status"], item["parent_run_id"]) for item in subs} == {("ok", run)}
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        assert not redis.exists(SessionKeys.of(session).results)


def test_parts_within_parts_need_no_more_than_one_place(stack: Stack, gate: Path) -> None:
    stack.worker(TASKS, STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "deep", level=5)
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    names = {step["id"]: step["name"] for step in gateway.snapshot(session)["steps"]}
    for step in gateway.snapshot(session)["steps"]:
        level = int(step["name"].split()[1])
        parent = None if level == 5 else f"level {level + 1}"
        assert names.get(step["parent_id"]) == parent


def test_what_goes_wrong_in_a_part_comes_back_to_who_awaits_it(stack: Stack, gate: Path) -> None:
    stack.worker(TASKS)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "careful")
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert outputs(gateway, session) == [
        "error ValueError as asked",
        "error HandlerNotFound",
        "{'square': 9}",
    ]
    run = start(gateway, session, "one", name="bad")
    failed = gateway.wait_for_end(session, run)
    assert failed["error"]["type"] == "TaskFailed"


def test_a_result_that_is_no_json_is_said_to_be_none(stack: Stack, gate: Path) -> None:
    stack.worker(TASKS.read_text().replace("cl.enqueue(name, number=7)", "cl.enqueue(name)"))
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    failed = gateway.wait_for_end(session, start(gateway, session, "one", name="bad"))
    assert "the result of task 'bad' has to reach another process" in failed["error"]["message"]


def test_cancelling_a_run_cancels_its_parts(stack: Stack, gate: Path) -> None:
    stack.worker(TASKS, STEPWIRE_MAX_JOBS="3")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "fan_out", count=8, wait=True)

    def a_part_has_begun() -> bool:
        steps = gateway.snapshot(session)["steps"]
        return any(step["name"].startswith("part ") for step in steps)

    # Some run, whichever were queued first; the others still wait for a place.
    wait_until(a_part_has_begun, "a part has begun")
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"

    def all_over() -> bool:
        found = gateway.snapshot(session)
        return len(found["runs"]) == 9 and {r["status"] for r in found["runs"]} == {"cancelled"}

    wait_until(all_over, "every part is cancelled")
    assert {step["status"] for step in gateway.snapshot(session)["steps"]} == {"cancelled"}


def test_a_part_whose_worker_dies_is_tried_again_and_answers(stack: Stack, gate: Path) -> None:
    workers = [stack.worker(TASKS, STEPWIRE_LEASE_S="2") for _ in range(2)]
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "calls")
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert sorted(worker.exit_code is None for worker in workers) == [False, True]
    assert outputs(gateway, session) == ["it was 7"]
    steps = gateway.snapshot(session)["steps"]
    [call] = [step for step in steps if step["name"] == "call"]
    parts = {s["name"]: s["status"] for s in steps if s["parent_id"] == call["id"]}
    # Killed right after it began: its first event may not have left.
    assert parts.pop("lost", "interrupted") == "interrupted"
    assert parts == {"part 7": "ok", "Assistant": "ok"}


def test_a_caller_that_dies_takes_its_parts_along(stack: Stack, gate: Path) -> None:
    doomed = stack.worker(TASKS, STEPWIRE_LEASE_S="2", STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = start(gateway, session, "fan_out", count=3, wait=True)
    begun(gateway, session, "part 0")
    doomed.kill()
    stack.worker(TASKS, STEPWIRE_LEASE_S="2")
    assert gateway.wait_for_end(session, run)["status"] == "interrupted"

    def settled() -> bool:
        statuses = {item["status"] for item in gateway.snapshot(session)["runs"]}
        return statuses <= {"interrupted", "cancelled"}

    wait_until(settled, "nothing of it goes on")
    assert "ok" not in {step["status"] for step in gateway.snapshot(session)["steps"]}


def test_a_part_that_is_wanted_while_redis_is_away_comes_when_it_is_back(tmp_path: Path) -> None:
    with embedded_server(append_only=True) as server, Stack(tmp_path, server.url) as stack:
        stack.env |= {"GATE": str(gate := tmp_path / "gate"), "TRIES": str(tmp_path / "tries")}
        worker = stack.worker(TASKS)
        gateway = stack.gateway()
        session = gateway.create_session()
        run = start(gateway, session, "after_the_gate")
        wait_until(lambda: bool(gateway.run(session, run)), "it has begun")
        server.kill()
        gate.touch()
        wait_until(lambda: "Redis does not answer" in worker.output, "it has noticed")
        server.start()
        assert gateway.wait_for_end(session, run)["status"] == "ok"
        assert outputs(gateway, session, "call") == ["16"]


# -- later, and too much --------------------------------------------------------------------------


def test_a_run_can_be_put_off(stack: Stack, gate: Path) -> None:
    stack.worker(TASKS)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/runs"
    due = datetime.now(UTC) + timedelta(seconds=1)
    body = {"task": "flaky", "args": {"good_at": 1}, "defer_until": due.isoformat()}
    run = gateway.client.post(path, json=body).json()["run_id"]
    ended = gateway.wait_for_end(session, run)
    assert datetime.fromisoformat(ended["started_at"]) >= due - timedelta(milliseconds=5)
    wrong = gateway.client.post(path, json=body | {"defer_until": "tomorrow"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
    naive = gateway.client.post(path, json=body | {"defer_until": "2026-01-01T00:00:00"})
    assert naive.status_code == 422


def test_a_run_cannot_be_put_off_until_its_session_has_expired(stack: Stack) -> None:
    gateway = stack.gateway(STEPWIRE_SESSION_TTL_S="60")
    session = gateway.create_session()

    def put_off(seconds: float, session: str = session, **fields: str) -> httpx.Response:
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        body = {"task": "x", "defer_until": due.isoformat()} | fields
        return gateway.client.post(f"/v1/sessions/{session}/runs", json=body)

    refused = put_off(65, id="never")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    end = re.search(r"lives until (\S+) if nothing", refused.json()["detail"])
    assert end is not None
    left = datetime.fromisoformat(end[1]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left < timedelta(seconds=65)
    # Nothing was stored: the id is free.
    assert put_off(50, id="never").status_code == 202
    assert put_off(-5).status_code == 202
    assert put_off(5, "never-created").json()["code"] == "session_not_found"


RATED = """
    import stepwire as cl

    @cl.on_message
    async def main():
        async with cl.Step("rated", disable_feedback=False):
            pass
"""


def test_whatever_would_queue_a_run_is_refused_before_anything_is_stored(stack: Stack) -> None:
    stack.worker(RATED)
    roomy = stack.shared_gateway()
    session = roomy.create_session()
    roomy.wait_for_end(session, roomy.send(session, "hi")["run_id"])
    rated = roomy.snapshot(session)["steps"][-1]["id"]
    queue = stack.env["STEPWIRE_QUEUE_NAME"]
    wait_until(lambda: not stack.redis.exists(queue), "the queue is empty")
    full = stack.gateway(STEPWIRE_QUEUE_MAX="1")
    put_off = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    path = f"/v1/sessions/{session}"
    body = {"task": "later", "defer_until": put_off}
    # Both gateways remember for a second how long the queue is.
    assert roomy.client.post(f"{path}/runs", json=body).status_code == 202
    before = roomy.snapshot(session)

    def refused() -> bool:
        return full.client.post(f"{path}/runs", json={"task": "x"}).status_code == 429

    wait_until(refused, "the queue is full")
    feedback = f"{path}/steps/{rated}/feedback"
    for method, where, content in (
        ("POST", "/v1/sessions", {"id": f"{session}.new"}),
        ("POST", f"{path}/resume", {}),
        ("POST", f"{path}/messages", {"content": "x"}),
        ("POST", f"{path}/runs", {"task": "x"}),
        ("PUT", feedback, {"value": 1}),
        ("DELETE", feedback, None),
    ):
        response = full.client.request(method, where, json=content)
        assert (response.status_code, response.json()["code"]) == (429, "queue_full"), where
        assert int(response.headers["Retry-After"]) >= 1
    assert full.client.get(f"/v1/sessions/{session}.new").status_code == 404
    assert full.snapshot(session) == before
    assert stack.redis.zcard(queue) == 1


def test_a_full_queue_takes_no_more_and_says_when_to_come_back(stack: Stack, gate: Path) -> None:
    gateway = stack.gateway(STEPWIRE_QUEUE_MAX="3")
    session = gateway.create_session()
    statuses = []

    def full() -> bool:
        response = gateway.client.post(f"/v1/sessions/{session}/messages", json={"content": "x"})
        statuses.append(response.status_code)
        if response.status_code == 429:
            assert response.json()["code"] == "queue_full"
            assert int(response.headers["Retry-After"]) >= 1
        return response.status_code == 429

    wait_until(full, "the queue is full")
    before = len(gateway.snapshot(session)["steps"])
    assert before == statuses.count(202)
    assert (
        gateway.client.post(f"/v1/sessions/{session}/runs", json={"task": "x"}).status_code == 429
    )
    assert gateway.client.get(f"/v1/sessions/{session}").is_success
