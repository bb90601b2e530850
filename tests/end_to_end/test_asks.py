"""Handlers ask the person: over any gateway, through whatever happens while they wait."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from sse import View, events
from stack import Gateway, Stack, wait_until

APP = Path(__file__).parent / "apps" / "asks.py"


def ask(gateway: Gateway, kind: str) -> tuple[str, str, dict[str, Any]]:
    session = gateway.create_session()
    run = gateway.send(session, kind)["run_id"]
    return session, run, gateway.open_ask(session)


def outputs(gateway: Gateway, session: str, author: str = "Assistant") -> list[str]:
    return [s["output"] for s in gateway.snapshot(session)["steps"] if s["name"] == author]


def assert_problem(response: httpx.Response, status: int, code: str, detail: str = "") -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert detail in response.json()["detail"]


def test_a_text_is_answered_once_through_any_gateway(stack: Stack) -> None:
    stack.worker(APP)
    gateway, other = stack.shared_gateway(), stack.gateway()
    session, run, asked = ask(gateway, "text")
    assert (asked["kind"], asked["status"], asked["run_id"]) == ("text", "open", run)
    assert gateway.run(session, run)["status"] == "running"  # type: ignore[index]
    many = {"a": "x" * 100_000}
    too_large = other.answer(session, asked["id"], content="Ada", metadata=many)
    assert_problem(too_large, 413, "message_too_large", "STEPWIRE_MAX_METADATA_CHARS")
    answered = other.answer(session, asked["id"], content="Ada", author="A. L.", id="x-1")
    assert answered.status_code == 200
    assert answered.json()["status"] == "answered"
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    steps = {step["output"]: step for step in gateway.snapshot(session)["steps"]}
    question, answer = steps["Your name?"], steps["Ada"]
    assert (answer["id"], answer["name"], answer["type"]) == ("x-1", "A. L.", "user_message")
    assert answer["parent_id"] == question["id"] == asked["step_id"]
    assert steps["Hello Ada"]["run_id"] == answer["run_id"] == run
    # The same request again is the same answer; any other comes too late.
    again = gateway.answer(session, asked["id"], content="Ada", id="x-1")
    assert again.json() == answered.json()
    assert_problem(gateway.answer(session, asked["id"], content="Bob"), 409, "ask_ended")
    assert_problem(gateway.answer(session, asked["id"], content="B", id="x-2"), 409, "ask_ended")
    assert outputs(gateway, session, "User") == ["text"]


def test_of_many_answers_at_once_one_counts(stack: Stack) -> None:
    stack.worker(APP)
    gateways = [stack.shared_gateway(), stack.gateway()]
    session, run, asked = ask(gateways[0], "text")
    responses = [
        gateways[number % 2].answer(session, asked["id"], content=f"person {number}")
        for number in range(6)
    ]
    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409, 409, 409]
    gateways[0].wait_for_end(session, run)
    assert outputs(gateways[0], session)[-1] == "Hello person 0"


@pytest.mark.anyio
async def test_a_client_sees_the_ask_and_its_end_also_when_it_comes_back(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session, run, asked = ask(gateway, "action")
    async with httpx.AsyncClient(base_url=gateway.url, timeout=15) as client:
        async with aclosing(events(client, f"/v1/sessions/{session}/events")) as stream:
            snapshot = await anext(stream)
        assert [item["id"] for item in snapshot.data["asks"]] == [asked["id"]]
        gateway.answer(session, asked["id"], action="a-yes")
        view, cursor = View(), str(snapshot.cursor)
        view.fold(snapshot)
        path = f"/v1/sessions/{session}/runs/{run}/events"
        async with aclosing(events(client, path, after=cursor)) as stream:
            received = [event async for event in stream]
    for event in received:
        view.fold(event)
    assert "ask.end" in [event.type for event in received]
    end = view.lists["asks"][asked["id"]]
    assert (end["status"], end["answer"]["action_id"]) == ("answered", "a-yes")
    assert view.same_as(gateway.snapshot(session))
    assert outputs(gateway, session)[-1] == "yes Yes! {'status': 'open'}"


def test_an_answer_that_does_not_fit_is_refused_and_the_question_stays_open(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session, run, asked = ask(gateway, "action")
    for body, detail in (
        ({"content": "yes"}, "answered with action alone, not with content"),
        ({}, "not with nothing"),
        ({"action": "a-yes", "content": "x"}, "not with content and action"),
        ({"action": "maybe"}, "it has ['a-yes', 'a-no']"),
        ({"action": "a-yes", "nope": 1}, "Extra inputs"),
        ({"files": ["nope"]}, "nope"),
    ):
        response = gateway.answer(session, asked["id"], **body)
        assert response.status_code in (404, 422), response.text
        assert detail in response.json()["detail"]
    assert gateway.open_ask(session) == asked
    assert_problem(gateway.answer(session, "nope", action="a-yes"), 404, "ask_not_found")
    assert_problem(gateway.answer(session, "no%20id", action="a-yes"), 404, "ask_not_found")
    assert_problem(gateway.answer("nope", asked["id"], action="a"), 404, "session_not_found")
    gateway.answer(session, asked["id"], action="a-no")
    gateway.wait_for_end(session, run)
    assert outputs(gateway, session)[-1] == "no no {}"


def test_files_are_checked_and_reach_the_handler_until_the_run_ends(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session, run, asked = ask(gateway, "file")
    assert (asked["accept"], asked["max_bytes"], asked["max_files"]) == (
        ["text/plain", ".csv"],
        1048,
        2,
    )
    good = gateway.upload(session, "a.txt", b"hello")
    table = gateway.upload(session, "b.csv", b"1,2", "text/csv")
    for files, detail in (
        ([gateway.upload(session, "big.txt", b"x" * 1049)], "'big.txt' has 1049 bytes"),
        ([gateway.upload(session, "c.png", b"x", "image/png")], "accepts: text/plain, .csv"),
        ([good, table, gateway.upload(session, "d.txt", b"x")], "3 files, at most 2"),
        ([good, good], "listed twice"),
    ):
        response = gateway.answer(session, asked["id"], files=files)
        assert_problem(response, 422, "invalid_request", detail)
    response = gateway.answer(session, asked["id"], files=[good, table])
    assert response.json()["answer"]["elements"] == [good, table]
    gateway.wait_for_end(session, run)
    assert outputs(gateway, session)[1:] == ["a.txt 5 text/plain hello", "b.csv 3 text/csv 1,2"]
    [path] = outputs(gateway, session, "path")
    assert path.endswith(".txt")
    wait_until(lambda: not Path(path).parent.exists(), "the worker's copy is gone")
    elements = {item["id"]: item for item in gateway.snapshot(session)["elements"]}
    assert elements[good]["step_id"] == asked["step_id"]


def test_a_question_that_nobody_answers_ends_with_its_time(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "timeout")["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert outputs(gateway, session) == [
        "Anybody?",
        "answer: None",
        "Now?",
        "'Now?' was not answered within 0.2 s",
    ]
    asks = gateway.snapshot(session)["asks"]
    assert [item["status"] for item in asks] == ["timeout", "timeout"]
    assert_problem(gateway.answer(session, asks[0]["id"], content="late"), 409, "ask_ended")


def test_a_cancelled_run_asks_nothing_any_more(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session, run, asked = ask(gateway, "text")
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    [item] = gateway.snapshot(session)["asks"]
    assert (item["status"], item["answer"]) == ("cancelled", None)
    assert_problem(gateway.answer(session, asked["id"], content="x"), 409, "ask_ended")


@pytest.mark.parametrize("max_attempts", ["1", "2"])
def test_a_worker_that_dies_takes_its_question_along_and_the_next_asks_anew(
    stack: Stack, max_attempts: str
) -> None:
    env = {"STEPWIRE_LEASE_S": "2", "STEPWIRE_MAX_ATTEMPTS": max_attempts}
    worker = stack.worker(APP, **env)
    gateway = stack.shared_gateway()
    session, run, asked = ask(gateway, "text")
    worker.kill()
    stack.worker(APP, **env)
    wait_until(
        lambda: gateway.snapshot(session)["asks"][0]["status"] == "interrupted", "it is closed"
    )
    assert_problem(gateway.answer(session, asked["id"], content="x"), 409, "ask_ended")
    if max_attempts == "1":
        assert gateway.wait_for_end(session, run)["status"] == "interrupted"
        return
    again = gateway.open_ask(session)
    assert again["attempt"] == 2
    gateway.answer(session, again["id"], content="Ada")
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert outputs(gateway, session)[-1] == "Hello Ada"


def test_handlers_that_wait_hold_no_place_and_no_connection(stack: Stack) -> None:
    stack.worker(APP, STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    ask(gateway, "text")
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        before = redis.execute_command("INFO", "clients")["connected_clients"]
        waiting = [ask(gateway, "text") for _ in range(20)]
        assert redis.execute_command("INFO", "clients")["connected_clients"] <= before + 2
    session = gateway.create_session()
    quick = gateway.send(session, "quick")["run_id"]
    assert gateway.wait_for_end(session, quick)["status"] == "ok"
    for session, run, asked in reversed(waiting):
        gateway.answer(session, asked["id"], content="you")
        assert gateway.wait_for_end(session, run)["status"] == "ok"


def test_an_answer_whose_news_is_lost_is_found(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session, run, asked = ask(gateway, "text")
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        gateway.answer(session, asked["id"], content="Ada")
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert outputs(gateway, session)[-1] == "Hello Ada"
