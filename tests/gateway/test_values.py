"""What cannot be read again is refused before anything of it is stored or registered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ("POST", "runs", f'{{"task": "t", "args": {{"a": ["b", "c", {HALF}]}}}}', BROKEN),
        ("POST", "runs", f'{{"task": "t", "args": {{"a": [1, {HALF}, null]}}}}', BROKEN),
        ("POST", "runs", '{"task": "t", "args": {"a": [0.5, 1e400]}}', "not a number in JSON"),
        ("POST", "runs", '{"task": "t", "args": {"a": [1, -1e400, true]}}', "not a number"),
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


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("messages", {f"field{number}": 1 for number in range(50_000)}, "has 50000 fields"),
        ("messages", {f"field{number}": 1 for number in range(100)}, "and 80 more"),
        ("messages", {"content": "x", "elements": [""] * 100}, "and 80 more"),
        ("messages", {"content": "x", "f" * 900_000: 1}, "Extra inputs"),
        ("asks/ask", {"files": [""] * 200_000}, "at most 100 items"),
    ],
    ids=["many fields", "some fields", "elements", "a long name", "files"],
)
def test_an_answer_is_not_larger_than_its_request_whatever_is_wrong_with_it(
    gateway: Gateway, path: str, body: dict[str, Any], said: str
) -> None:
    session = gateway.create_session()
    refused = gateway.client.post(f"/v1/sessions/{session}/{path}", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert said in refused.json()["detail"]
    assert len(refused.json()["errors"]) <= 20
    assert len(refused.content) < 10_000


def test_what_is_just_shallow_enough_is_read_again(gateway: Gateway) -> None:
    session = gateway.create_session()
    deepest: list[object] = []
    for _ in range(48):
        deepest = [deepest]
    metadata = {"deep": deepest, "large": 10**400, "all of it": "\U0001f600\x00\n"}
    gateway.send(session, "x", metadata=metadata)
    [message] = gateway.snapshot(session)["steps"]
    assert message["metadata"] == metadata


text = st.text(st.characters(exclude_categories=()), max_size=5)
"""Halves of surrogate pairs and control characters are in it, too."""

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
)
nested = st.builds(lambda depth, value: as_deep(depth, value), st.integers(40, 60), values)
objects = st.dictionaries(text, values | nested, min_size=1, max_size=3)


def as_deep(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@given(content=text.filter(bool), author=text, value=objects, args=objects)
@settings(max_examples=40, derandomize=True, deadline=None, database=None)
def test_what_is_taken_is_read_again_as_it_was_and_nothing_is_stored_of_the_rest(
    gateway: Gateway, content: str, author: str, value: dict[str, Any], args: dict[str, Any]
) -> None:
    session = gateway.create_session()
    path, headers = f"/v1/sessions/{session}", {"Content-Type": "application/json"}
    before = gateway.snapshot(session)
    message = {"content": content, "author": author, "metadata": value}
    sent = gateway.client.post(f"{path}/messages", content=json.dumps(message), headers=headers)
    snapshot = gateway.snapshot(session)
    if sent.status_code == 422:
        assert snapshot == before
    else:
        assert sent.status_code == 202, sent.text
        [step] = snapshot["steps"]
        # Two halves that stand side by side are one character to every parser.
        expected = json.loads(json.dumps(message))
        assert (step["output"], step["name"], step["metadata"]) == tuple(expected.values())
    run = {"task": "t", "id": "run-1", "args": args}
    started = gateway.client.post(f"{path}/runs", content=json.dumps(run), headers=headers)
    assert started.status_code in (202, 422), started.text
    known = gateway.client.post(f"{path}/runs/run-1/cancel").status_code
    assert known == (202 if started.status_code == 202 else 404)
