"""``Idempotency-Key``: a request that is sent again is taken once, whatever it makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stack import Gateway, Stack, wait_until
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.ids import message_producer, new_id
from tokens import API_KEY, SECRET, bearer, token

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        if message.content == "ask":
            await cl.AskUserMessage("What?", timeout=60).send()
        await cl.Message("answered", id="rated" if message.content == "rate" else None).send()

    @cl.on_feedback
    async def rated(feedback):
        await cl.Message(f"rated {feedback.value}").send()

    @cl.on_chat_resume
    async def back():
        await cl.Message("welcome back").send()

    @cl.task
    async def remove(step_id):
        step = cl.Step(id=step_id)
        await step.send()
        await step.remove()

    @cl.task
    async def add(a, b):
        await cl.Message(str(a + b)).send()
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


def send(
    gateway: Gateway, path: str, body: Any, key: str | None, method: str = "POST"
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return gateway.client.request(method, path, json=body, headers=headers)


def said(gateway: Gateway, session: str) -> list[str]:
    return [step["output"] for step in gateway.snapshot(session)["steps"]]


def assert_reused(response: httpx.Response) -> None:
    assert response.status_code == 422, response.text
    assert response.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("messages", {"content": "hello"}, {"content": "other"}),
        ("messages", {"content": "hello"}, {"content": "hello", "author": "Bob"}),
        ("messages", {"content": "hello"}, {"content": "hello", "metadata": {"a": 1}}),
        ("runs", {"task": "add", "args": {"a": 1, "b": 2}}, {"task": "add", "args": {"a": 2}}),
        ("resume", {}, None),
    ],
)
def test_a_run_that_is_asked_for_again_runs_once(
    gateway: Gateway, path: str, body: dict[str, Any], other: dict[str, Any] | None
) -> None:
    session, key = gateway.create_session(), f'"{new_id()}"'
    url = f"/v1/sessions/{session}/{path}"
    first = send(gateway, url, body, key)
    assert first.status_code == 202, first.text
    gateway.wait_for_end(session, first.json()["run_id"])
    before = gateway.snapshot(session)
    # The same key with and without its quotes is the same.
    for same in (key, key.strip('"')):
        again = send(gateway, url, body, same)
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["location"] == first.headers["location"]
    assert gateway.snapshot(session) == before
    if other is not None:
        assert_reused(send(gateway, url, other, key))
        assert gateway.snapshot(session) == before
    another = send(gateway, url, body, f'"{new_id()}"')
    assert another.json()["run_id"] != first.json()["run_id"]


def test_a_session_that_is_created_again_is_the_same(gateway: Gateway) -> None:
    key = new_id()
    first, again = (send(gateway, "/v1/sessions", None, key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert send(gateway, "/v1/sessions", None, new_id()).json() != first.json()


def test_a_key_means_something_else_for_another_operation_session_or_caller(stack: Stack) -> None:
    gateway = stack.gateway(STEPWIRE_AUTH_SECRETS=SECRET, STEPWIRE_API_KEYS=API_KEY)
    gateway.client.headers.update(bearer(API_KEY))
    one, two = gateway.create_session(), gateway.create_session()
    key = {"Idempotency-Key": new_id()}
    callers = [bearer(API_KEY)] + [
        bearer(token("*", rights=("write",), sub=sub)) for sub in ("ada", "bob")
    ]
    runs = set()
    for session in (one, two):
        for caller in callers:
            for path, body in (("messages", {"content": "x"}), ("runs", {"task": "t"})):
                url = f"/v1/sessions/{session}/{path}"
                response = gateway.client.post(url, json=body, headers=key | caller)
                runs.add(response.json()["run_id"])
    assert len(runs) == 2 * 3 * 2


def test_an_id_in_the_body_counts_before_the_key(gateway: Gateway) -> None:
    session, key = gateway.create_session(), new_id()
    url = f"/v1/sessions/{session}/messages"
    assert send(gateway, url, {"content": "x", "id": "m-1"}, key).json()["message_id"] == "m-1"
    assert send(gateway, url, {"content": "y", "id": "m-2"}, key).json()["message_id"] == "m-2"
    conflict = send(gateway, url, {"content": "z", "id": "m-2"}, key)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "id_conflict")


@pytest.mark.parametrize("key", ["", '""', '"open', 'a"b', "a b", "é", "x" * 256, '"\\x"'])
def test_a_key_of_another_form_is_refused_and_nothing_is_made(gateway: Gateway, key: str) -> None:
    session = gateway.create_session()
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    url = f"/v1/sessions/{session}/messages"
    response = gateway.client.post(url, json={"content": "x"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert "Idempotency-Key" in response.json()["detail"]
    assert said(gateway, session) == []


def test_an_answer_that_is_sent_again_is_the_same_answer(gateway: Gateway) -> None:
    session, key = gateway.create_session(), new_id()
    gateway.send(session, "ask")
    ask = gateway.open_ask(session)["id"]
    url = f"/v1/sessions/{session}/asks/{ask}"
    first = send(gateway, url, {"content": "42"}, key)
    assert first.json()["status"] == "answered"
    again = send(gateway, url, {"content": "42"}, key)
    assert (again.status_code, again.json()) == (200, first.json())
    assert_reused(send(gateway, url, {"content": "43"}, key))
    answer_id = first.json()["answer"]["id"]
    conflict = send(gateway, url, {"content": "43", "id": answer_id}, None)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "id_conflict")
    late = send(gateway, url, {"content": "42"}, new_id())
    assert (late.status_code, late.json()["code"]) == (409, "ask_ended")


def test_feedback_that_is_sent_again_runs_its_handler_once(gateway: Gateway) -> None:
    session, key = gateway.create_session(), new_id()
    gateway.wait_for_end(session, gateway.send(session, "rate")["run_id"])
    url = f"/v1/sessions/{session}/steps/rated/feedback"
    for _ in range(3):
        assert send(gateway, url, {"value": 1}, key, "PUT").status_code == 200
    assert_reused(send(gateway, url, {"value": 0}, key, "PUT"))
    assert send(gateway, url, {"value": 0}, new_id(), "PUT").status_code == 200
    for _ in range(2):
        assert send(gateway, url, None, key, "DELETE").status_code == 204

    def runs() -> list[str]:
        handlers = [run["handler"] for run in gateway.snapshot(session)["runs"] if run["ended_at"]]
        return [handler for handler in handlers if handler == "on_feedback"]

    wait_until(lambda: len(runs()) >= 3, "the handler has run for each")
    sentinel = gateway.send(session, "the queue is empty")["run_id"]
    gateway.wait_for_end(session, sentinel)
    rated = [text for text in said(gateway, session) if text.startswith("rated")]
    assert sorted(rated) == ["rated 0", "rated 1", "rated None"]


def upload(
    gateway: Gateway, session: str, content: bytes | Iterator[bytes], key: str, name: str = "a.txt"
) -> httpx.Response:
    url, headers = f"/v1/sessions/{session}/elements", {"Idempotency-Key": key}
    return gateway.client.post(url, params={"name": name}, content=content, headers=headers)


def test_a_file_that_is_uploaded_again_is_the_same_element(gateway: Gateway) -> None:
    session, key = gateway.create_session(), new_id()
    first = upload(gateway, session, b"content", key)
    again = upload(gateway, session, iter([b"con", b"tent"]), key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert_reused(upload(gateway, session, b"other", key))
    assert_reused(upload(gateway, session, b"content", key, "b.txt"))
    assert gateway.snapshot(session)["elements"] == [first.json()]
    assert gateway.client.get(first.json()["url"]).content == b"content"


def test_a_file_that_was_removed_does_not_come_back_with_its_key(gateway: Gateway) -> None:
    session, key = gateway.create_session(), new_id()
    element = upload(gateway, session, b"content", key).json()["id"]
    gateway.send(session, "look", elements=[element], id="m-1")
    run = gateway.start(session, "remove", step_id="m-1")
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert_reused(upload(gateway, session, b"content", key))
    assert gateway.snapshot(session)["elements"] == []


def test_a_key_whose_upload_is_in_progress_is_refused_until_it_is_over(gateway: Gateway) -> None:
    session, key = gateway.create_session(), new_id()
    seen: list[httpx.Response] = []
    with httpx.Client(base_url=gateway.url, timeout=15) as other:
        url = f"/v1/sessions/{session}/elements?name=a.txt"
        headers = {"Idempotency-Key": key}

        def body() -> Iterator[bytes]:
            yield b"the beginning"

            def refused() -> bool:
                # Until ours has arrived, this one is the first, and makes the element.
                seen.append(other.post(url, content=b"in between", headers=headers))
                return seen[-1].status_code == 409

            if not seen:
                wait_until(refused, "the key is taken")
            yield b" and the end"

        response = upload(gateway, session, body(), key)
    assert seen[-1].json()["code"] == "still_in_progress"
    assert int(seen[-1].headers["retry-after"]) > 0
    if len(seen) == 1:
        assert response.status_code == 201
        assert gateway.client.get(response.json()["url"]).content == b"the beginning and the end"
    else:
        assert_reused(response)
    # The key is free again.
    again = upload(gateway, session, b"other", key)
    assert again.json()["code"] != "still_in_progress"


def test_pages_of_other_origins_may_send_the_key(stack: Stack) -> None:
    gateway = stack.gateway(STEPWIRE_CORS_ORIGINS="https://app.example")
    response = gateway.client.options(
        "/v1/sessions",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "idempotency-key, content-type",
        },
    )
    assert response.status_code == 200, response.text


def lose(stack: Stack, session: str, message: str) -> None:
    """As a failover does it that loses the message of one server, and not the run of another."""
    keys = SessionKeys.of(session)
    assert stack.redis.hdel(keys.state, f"s:{message}") == 1
    assert stack.redis.hdel(keys.meta, f"p:{message_producer(message)}") == 1


def test_a_message_that_was_lost_after_its_run_had_ended_is_stored_when_it_is_sent_again(
    gateway: Gateway, shared_stack: Stack
) -> None:
    session = gateway.create_session()
    sent = gateway.send(session, "go", id=(message := new_id()))
    ended = gateway.wait_for_end(session, sent["run_id"])
    lose(shared_stack, session, message)
    assert said(gateway, session) == ["answered"]
    assert gateway.send(session, "go", id=message) == sent
    assert sorted(said(gateway, session)) == ["answered", "go"]
    assert gateway.run(session, sent["run_id"]) == ended


def test_a_message_that_was_lost_while_its_run_is_under_way_is_stored_when_it_is_sent_again(
    gateway: Gateway, shared_stack: Stack
) -> None:
    session = gateway.create_session()
    sent = gateway.send(session, "ask", id=(message := new_id()))
    ask = gateway.open_ask(session)["id"]
    lose(shared_stack, session, message)
    assert said(gateway, session) == ["What?"]
    assert gateway.send(session, "ask", id=message) == sent
    assert sorted(said(gateway, session)) == ["What?", "ask"]
    # The run has gone on all the while, and is not begun again.
    send(gateway, f"/v1/sessions/{session}/asks/{ask}", {"content": "42"}, new_id())
    ended = gateway.wait_for_end(session, sent["run_id"])
    assert (ended["status"], ended["attempt"]) == ("ok", 1)
    assert sorted(said(gateway, session)) == ["42", "What?", "answered", "ask"]
