"""What cannot be read again is refused before anything of it is stored or registered."""

from __future__ import annotations

import pytest

from stack import Gateway, Stack


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway()


def lists(depth: int) -> str:
    return "[" * depth + "]" * depth


HALF = '"\\ud83d"'

TOO_DEEP = "nested more than 50 deep"
BROKEN = "half of a surrogate pair"


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "messages", f'{{"content": "x", "metadata": {{"a": {lists(200)}}}}}', TOO_DEEP),
        ("POST", "messages", f'{{"content": "x", "metadata": {{"a": {lists(50)}}}}}', TOO_DEEP),
        ("POST", "messages", f'{{"content": "x", "metadata": {{"a": {lists(99_999)}}}}}', "JSON"),
        ("POST", "messages", f'{{"content": "x", "metadata": {{{HALF}: 1}}}}', BROKEN),
        ("POST", "messages", f'{{"content": "x", "metadata": {{"a": [{HALF}]}}}}', BROKEN),
        ("POST", "messages", '{"content": "x", "metadata": {"a": NaN}}', "not a number in JSON"),
        ("POST", "messages", f'{{"content": "x", "author": {HALF}}}', BROKEN),
        ("POST", "messages", f'{{"content": {HALF}}}', BROKEN),
        ("POST", "messages", f'{{"content": "x", {HALF}: 1}}', "body"),
        ("POST", "runs", f'{{"task": "t", "args": {{"a": {lists(200)}}}}}', TOO_DEEP),
        ("POST", "runs", f'{{"task": "t", "args": {{"a": {HALF}}}}}', BROKEN),
        ("POST", "runs", f'{{"task": {HALF}}}', "body.task"),
        ("POST", "runs", f'{{"task": "t", "subject": {HALF}}}', BROKEN),
        ("POST", "asks/ask", f'{{"content": {HALF}}}', BROKEN),
        ("POST", "asks/ask", f'{{"content": "x", "metadata": {{"a": {lists(200)}}}}}', TOO_DEEP),
        ("PUT", "steps/step/feedback", f'{{"value": 1, "comment": {HALF}}}', BROKEN),
    ],
)
def test_what_could_not_be_read_again_is_refused(
    gateway: Gateway, method: str, path: str, body: str, said: str
) -> None:
    session = gateway.create_session()
    before = gateway.snapshot(session)
    url = f"/v1/sessions/{session}/{path}"
    headers = {"Content-Type": "application/json"}
    response = gateway.client.request(method, url, content=body, headers=headers)
    assert response.status_code == 422, response.text
    assert response.json()["code"] == "invalid_request"
    assert said in response.json()["detail"]
    assert gateway.snapshot(session) == before


def test_what_is_just_shallow_enough_is_read_again(gateway: Gateway) -> None:
    session = gateway.create_session()
    deepest: list[object] = []
    for _ in range(48):
        deepest = [deepest]
    metadata = {"deep": deepest, "large": 10**400, "all of it": "\U0001f600\x00\n"}
    gateway.send(session, "x", metadata=metadata)
    [message] = gateway.snapshot(session)["steps"]
    assert message["metadata"] == metadata
