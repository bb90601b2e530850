"""The HTTP API over a real connection: answers, and every wrong input of docs/protocol.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sse import is_empty_stream
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.values.ids import new_id
from stepwire_core.wire.words import EVENT_HANDLERS

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("echo") as step:
            step.output = message.content

    @cl.task
    async def offer():
        actions = [cl.Action(name="approve", payload={"order": 42}), cl.Action(name="unknown")]
        await cl.Message("Sure?", actions=actions).send()

    @cl.action_callback("approve")
    async def approved(action):
        await action.remove()
        await cl.Message(f"approved {action.payload['order']}").send()

    @cl.task
    async def add(a, b):
        async with cl.Step("sum") as step:
            step.output = a + b
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway(STEPWIRE_MAX_BODY_BYTES="2048")


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]
    assert response.headers["cache-control"] == "no-store"
    assert problem["type"] == f"urn:stepwire:problem:{code}"
    return problem


def test_a_session_is_created_with_a_fresh_id(gateway: Gateway) -> None:
    response = gateway.client.post("/v1/sessions")
    assert response.status_code == 201
    snapshot = gateway.snapshot(response.json()["session_id"])
    assert (snapshot["steps"], snapshot["runs"], snapshot["v"]) == ([], [], 1)


def test_a_session_with_a_given_id_is_created_once(gateway: Gateway) -> None:
    body = {"id": new_id()}
    first = gateway.client.post("/v1/sessions", json=body)
    again = gateway.client.post("/v1/sessions", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == {"session_id": body["id"]}


def test_a_message_is_in_the_log_before_its_run_has_begun(gateway: Gateway) -> None:
    session = gateway.create_session()
    accepted = gateway.send(session, "hello", author="Ada", metadata={"page": 1})
    [message, *_] = gateway.snapshot(session)["steps"]
    assert message["id"] == accepted["message_id"]
    assert message["run_id"] == accepted["run_id"]
    assert (message["type"], message["name"], message["output"], message["status"]) == (
        "user_message",
        "Ada",
        "hello",
        "ok",
    )
    assert message["metadata"] == {"page": 1}
    assert gateway.wait_for_end(session, accepted["run_id"])["status"] == "ok"
    echo = gateway.snapshot(session)["steps"][1]
    assert (echo["name"], echo["output"], echo["parent_id"]) == ("echo", "hello", message["id"])


def test_the_same_message_again_is_taken_once_and_answered_alike(gateway: Gateway) -> None:
    session = gateway.create_session()
    first = gateway.send(session, "hello", id="m-1")
    gateway.wait_for_end(session, first["run_id"])
    assert gateway.send(session, "hello", id="m-1") == first
    second = gateway.send(session, "next", id="m-2")
    gateway.wait_for_end(session, second["run_id"])
    names = [step["name"] for step in gateway.snapshot(session)["steps"]]
    assert names == ["User", "echo", "User", "echo"]


def test_the_same_id_with_another_content_is_a_conflict(gateway: Gateway) -> None:
    session = gateway.create_session()
    gateway.send(session, "hello", id="m-1")
    path = f"/v1/sessions/{session}/messages"
    response = gateway.client.post(path, json={"content": "other", "id": "m-1"})
    assert_problem(response, 409, "id_conflict")


def test_a_task_runs_with_its_arguments_and_once(gateway: Gateway) -> None:
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/runs"
    body = {"task": "add", "args": {"a": 1, "b": 2}, "id": "run-1"}
    for _ in range(2):
        response = gateway.client.post(path, json=body)
        assert (response.status_code, response.json()) == (202, {"run_id": "run-1"})
    assert gateway.wait_for_end(session, "run-1")["handler"] == "add"
    assert [step["output"] for step in gateway.snapshot(session)["steps"]] == ["3"]
    response = gateway.client.post(path, json=body | {"args": {"a": 1, "b": 3}})
    assert_problem(response, 409, "id_conflict")


def offered(gateway: Gateway, session: str) -> dict[str, str]:
    """The ids of the buttons by their names, once they are there."""
    gateway.wait_for_end(session, gateway.start(session, "offer"))
    return {action["name"]: action["id"] for action in gateway.snapshot(session)["actions"]}


def test_a_click_is_a_run_through_any_gateway_and_is_taken_once(
    gateway: Gateway, shared_stack: Stack
) -> None:
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/actions/{offered(gateway, session)['approve']}"
    body, other = {"id": new_id()}, shared_stack.shared_gateway()
    clicked = other.client.post(path, json=body)
    assert (clicked.status_code, clicked.json()) == (202, {"run_id": body["id"]})
    assert clicked.headers["location"].endswith(f"/runs/{body['id']}")
    run = gateway.wait_for_end(session, body["id"])
    assert (run["status"], run["handler"]) == ("ok", "action:approve")
    # The same once more, although its run has taken the button away.
    assert gateway.client.post(path, json=body).json() == clicked.json()
    assert_problem(gateway.client.post(path, json={}), 404, "action_not_found")
    elsewhere = path.replace(path.rpartition("/")[2], "another")
    assert_problem(gateway.client.post(elsewhere, json=body), 409, "id_conflict")
    snapshot = gateway.snapshot(session)
    assert [action["name"] for action in snapshot["actions"]] == ["unknown"]
    question, answer = snapshot["steps"]
    assert (answer["output"], answer["parent_id"]) == ("approved 42", question["id"])


def test_a_click_that_is_sent_twice_with_one_key_is_taken_once(gateway: Gateway) -> None:
    session, key = gateway.create_session(), {"Idempotency-Key": new_id()}
    path = f"/v1/sessions/{session}/actions/{offered(gateway, session)['approve']}"
    clicked, again = (gateway.client.post(path, json={}, headers=key) for _ in range(2))
    assert (again.status_code, again.json()) == (202, clicked.json())
    gateway.wait_for_end(session, clicked.json()["run_id"])
    assert gateway.client.post(path, json={}, headers=key).json() == clicked.json()
    outputs = [step["output"] for step in gateway.snapshot(session)["steps"]]
    assert outputs.count("approved 42") == 1


def test_a_click_on_what_is_no_button_or_has_no_callback_says_so(gateway: Gateway) -> None:
    session = gateway.create_session()
    unknown = offered(gateway, session)["unknown"]
    actions = f"/v1/sessions/{session}/actions"
    for id_ in ("nope", "no%20id"):
        answer = gateway.client.post(f"{actions}/{id_}", json={})
        assert_problem(answer, 404, "action_not_found")
    nowhere = gateway.client.post("/v1/sessions/nowhere/actions/x", json={})
    assert_problem(nowhere, 404, "session_not_found")
    conflict = gateway.start(session, "offer")
    answer = gateway.client.post(f"{actions}/{unknown}", json={"id": conflict})
    assert_problem(answer, 409, "id_conflict")
    run = gateway.wait_for_end(
        session, gateway.client.post(f"{actions}/{unknown}", json={}).json()["run_id"]
    )
    assert run["status"] == "error"
    assert "action:approve" in run["error"]["message"]


def test_an_unknown_task_ends_its_run_and_says_what_there_is(gateway: Gateway) -> None:
    session = gateway.create_session()
    response = gateway.client.post(f"/v1/sessions/{session}/runs", json={"task": "nope"})
    run = gateway.wait_for_end(session, response.json()["run_id"])
    assert run["error"]["type"] == "HandlerNotFound"
    assert "it has: action:approve, add, offer, on_message" in run["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions/{sid}"),
        ("GET", "/v1/sessions/{sid}/events"),
        ("GET", "/v1/sessions/{sid}/runs/r/events"),
        ("POST", "/v1/sessions/{sid}/messages"),
        ("POST", "/v1/sessions/{sid}/runs"),
    ],
)
@pytest.mark.parametrize("session", ["never-created", "%7Bx%7D", "a b", "%00", "x" * 200])
def test_an_unknown_session_is_not_found(
    gateway: Gateway, method: str, path: str, session: str
) -> None:
    body = {"content": "x"} if path.endswith("messages") else {"task": "x"}
    response = gateway.client.request(
        method, path.format(sid=session), json=body if method == "POST" else None
    )
    assert_problem(response, 404, "session_not_found")


@pytest.mark.parametrize("run", ["never-started", "%7Bx%7D"])
def test_an_unknown_run_is_not_found(gateway: Gateway, run: str) -> None:
    session = gateway.create_session()
    response = gateway.client.get(f"/v1/sessions/{session}/runs/{run}/events")
    assert_problem(response, 404, "run_not_found")


@pytest.mark.parametrize("cursor", ["7", "a-b", "1-", "-1", "1-2-3", "1 2"])
def test_a_malformed_cursor_is_refused(gateway: Gateway, cursor: str) -> None:
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/events"
    for response in (
        gateway.client.get(path, headers={"Last-Event-ID": cursor}),
        gateway.client.get(path, params={"after": cursor}),
    ):
        assert "<epoch>-<seq>" in assert_problem(response, 400, "invalid_cursor")["detail"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body"),
        ({"content": ""}, "body"),
        ({"content": 7}, "body.content"),
        ({"content": "x", "id": "no spaces"}, "body.id"),
        ({"content": "x", "contnet": "typo"}, "body.contnet"),
        ([], "body"),
    ],
)
def test_a_body_of_another_shape_is_refused_and_says_where(
    gateway: Gateway, body: object, where: str
) -> None:
    session = gateway.create_session()
    response = gateway.client.post(f"/v1/sessions/{session}/messages", json=body)
    problem = assert_problem(response, 422, "invalid_request")
    assert where in [error["where"] for error in problem["errors"]]
    assert gateway.snapshot(session)["steps"] == []


def test_a_body_that_is_no_json_is_refused(gateway: Gateway) -> None:
    session = gateway.create_session()
    for content in (b"{", b"\xff\xfe", b"", b"[" * 1500):
        response = gateway.client.post(
            f"/v1/sessions/{session}/messages",
            content=content,
            headers={"Content-Type": "application/json"},
        )
        assert_problem(response, 422, "invalid_request")


def test_a_body_that_is_not_taken_says_what_to_send(gateway: Gateway) -> None:
    path = f"/v1/sessions/{gateway.create_session()}/messages"
    body, json_type = b'{"content": "x"}', {"Content-Type": "application/json"}
    for headers in ({}, {"Content-Type": "text/plain"}):
        response = gateway.client.post(path, content=body, headers=headers)
        detail = assert_problem(response, 415, "unsupported_media_type")["detail"]
        # RFC 9110, section 15.5.16
        assert response.headers["Accept"] == "application/json"
        assert "'Content-Type: application/json'" in detail
        assert str(headers.get("Content-Type")) in detail
    response = gateway.client.post(path, content=b'{"content"', headers=json_type)
    problem = assert_problem(response, 422, "invalid_request")
    assert problem["detail"] == "body: is not JSON: Expecting ':' delimiter, at 10"
    assert [error["where"] for error in problem["errors"]] == ["body"]
    response = gateway.client.post(path, json={})
    assert response.json()["detail"] == "body: a message needs content, or elements, or both"


@pytest.mark.parametrize("handler", sorted(EVENT_HANDLERS))
def test_what_happens_in_a_session_cannot_be_made_up_as_a_task(
    gateway: Gateway, handler: str
) -> None:
    session = gateway.create_session()
    body = {"task": handler, "args": {"step_id": "x", "value": 1}}
    response = gateway.client.post(f"/v1/sessions/{session}/runs", json=body)
    detail = assert_problem(response, 422, "invalid_request")["detail"]
    assert f"'{handler}' is not a task" in detail
    assert gateway.snapshot(session)["runs"] == []


def test_an_oversized_body_is_refused_whether_or_not_it_says_so(gateway: Gateway) -> None:
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/messages"
    response = gateway.client.post(path, json={"content": "x" * 3000})
    assert "STEPWIRE_MAX_BODY_BYTES" in assert_problem(response, 413, "body_too_large")["detail"]

    def chunks(count: int) -> Iterator[bytes]:
        yield b'{"content": "'
        for _ in range(count):
            yield b"x" * 100
        yield b'"}'

    headers = {"Content-Type": "application/json"}
    # With much to come, with a little, and with nothing after the byte that is too many.
    for count in (20_000, 30, 21):
        response = gateway.client.post(path, content=chunks(count), headers=headers)
        assert_problem(response, 413, "body_too_large")
    response = gateway.client.post(path, content=iter([b"x" * 3000]), headers=headers)
    assert_problem(response, 413, "body_too_large")
    assert gateway.snapshot(session)["steps"] == []


def test_unknown_paths_and_methods_are_problems_too(gateway: Gateway) -> None:
    nothing = assert_problem(gateway.client.get("/v2/nothing"), 404, "not_found")
    assert nothing["detail"].startswith("there is nothing at /v2/nothing;")
    for path, allowed in (
        ("/healthz", "GET, HEAD"),
        ("/v1/sessions/some", "DELETE, GET, HEAD"),
        ("/inspector/icon.svg", "GET, HEAD"),
    ):
        response = gateway.client.put(path)
        problem = assert_problem(response, 405, "method_not_allowed")
        # RFC 9110, section 15.5.6
        assert response.headers["Allow"] == allowed
        assert problem["detail"] == f"{path} takes {allowed}, not PUT"


def test_health_and_the_api_document_are_served(gateway: Gateway) -> None:
    assert gateway.client.get("/healthz").json() == {"status": "ok"}
    assert gateway.client.get("/readyz").json() == {"status": "ready"}
    document = gateway.client.get("/openapi.json").json()
    assert "/v1/sessions/{session_id}/events" in document["paths"]


def test_without_redis_calls_get_503_and_streams_a_retry(tmp_path: Path) -> None:
    with embedded_server() as server, Stack(tmp_path, server.url) as stack:
        gateway = stack.gateway()
        session = gateway.create_session()
        server.kill()
        for response in (
            gateway.client.get("/readyz"),
            gateway.client.get(f"/v1/sessions/{session}"),
            gateway.client.post(f"/v1/sessions/{session}/messages", json={"content": "x"}),
        ):
            assert_problem(response, 503, "store_unavailable")
            assert int(response.headers["retry-after"]) > 0
        assert gateway.client.get("/healthz").is_success
        stream = gateway.client.get(f"/v1/sessions/{session}/events")
        assert stream.status_code == 200
        assert is_empty_stream(stream.text, "store_unavailable")
        assert stream.headers["content-type"].startswith("text/event-stream")
        server.start()
        wait_until(gateway.ready, "its pub/sub connection is there again, too")
