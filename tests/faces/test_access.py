"""Faces ask for the same rights as all routes, and name sessions as tokens let them."""

from __future__ import annotations

import httpx
import pytest

from faces.conftest import APP
from stack import Gateway, Stack
from stepwire_core.values.ids import new_id
from tokens import API_KEY, SECRET, claims, signed


@pytest.fixture(scope="module")
def guarded(shared_stack: Stack) -> Gateway:
    """A gateway that asks for tokens, with a page of another origin."""
    shared_stack.worker(APP)
    return shared_stack.gateway(
        STEPWIRE_FACES="aisdk",
        STEPWIRE_AUTH_SECRETS=SECRET,
        STEPWIRE_API_KEYS=API_KEY,
        STEPWIRE_CORS_ORIGINS="https://app.example",
        STEPWIRE_MAX_STREAMS_PER_SUBJECT="2",
        STEPWIRE_MAX_MESSAGE_CHARS="1000",
    )


def body(chat_id: str, text: str = "hello") -> dict[str, object]:
    message = {"id": new_id(), "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": chat_id, "messages": [message]}


def bearer(*sessions: str, rights: tuple[str, ...], sub: str = "ada") -> dict[str, str]:
    return {"authorization": f"Bearer {signed(claims(*sessions, rights=rights, sub=sub))}"}


def post(gateway: Gateway, chat_id: str, headers: dict[str, str]) -> httpx.Response:
    return gateway.client.post("/aisdk/chat", json=body(chat_id), headers=headers)


def test_the_name_of_a_chat_stands_after_the_beginning_that_the_token_opens(
    guarded: Gateway,
) -> None:
    # Other tests of the same server have sessions of Ada, too.
    sub = new_id()
    ada = bearer("{sub}:*", rights=("read", "write"), sub=sub)
    answer = post(guarded, "trip", ada)
    assert answer.status_code == 200
    assert "You" in answer.text
    listed = guarded.client.get("/v1/sessions", headers=ada).json()["sessions"]
    assert [(one["id"], one["subject"], one["title"]) for one in listed] == [
        (f"{sub}:trip", sub, "hello")
    ]
    told = guarded.client.get("/aisdk/chat/trip/messages", headers=ada).json()
    assert guarded.client.get(f"/aisdk/chat/{sub}:trip/messages", headers=ada).json() == told
    eve = bearer("{sub}:*", rights=("read", "write"), sub="eve")
    assert guarded.client.get("/aisdk/chat/trip/messages", headers=eve).json() == []


@pytest.mark.parametrize(
    ("token", "status", "detail"),
    [
        (None, 401, "this needs a token"),
        (("chat", "read"), 403, "this token lacks the right 'write'"),
        (("other", "write"), 403, "this token does not open that session"),
    ],
)
def test_a_token_that_may_not_is_refused_in_words_and_starts_nothing(
    guarded: Gateway, token: tuple[str, str] | None, status: int, detail: str
) -> None:
    headers = {} if token is None else bearer(token[0], rights=(token[1],))
    answer = post(guarded, "chat", headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert detail in answer.text
    backend = {"authorization": f"Bearer {API_KEY}"}
    assert guarded.client.get("/v1/sessions/chat", headers=backend).status_code == 404


def test_stopping_needs_the_right_to_cancel(guarded: Gateway) -> None:
    writer = bearer("chat2", rights=("read", "write"))
    assert guarded.client.post("/aisdk/chat/chat2/stop", headers=writer).status_code == 403
    canceller = bearer("chat2", rights=("cancel",))
    assert guarded.client.post("/aisdk/chat/chat2/stop", headers=canceller).status_code == 204


def test_a_message_that_is_too_long_makes_no_session(guarded: Gateway) -> None:
    writer = bearer("long", rights=("read", "write"))
    answer = guarded.client.post("/aisdk/chat", json=body("long", "x" * 1001), headers=writer)
    assert answer.status_code == 413
    assert "1001 characters" in answer.text
    assert guarded.client.get("/v1/sessions/long", headers=writer).status_code == 404


def test_streams_of_faces_count_as_streams(guarded: Gateway) -> None:
    greedy = bearer("{sub}:*", rights=("read", "write", "cancel"), sub="greedy")
    url = "/aisdk/chat"
    client = guarded.client
    with (
        client.stream("POST", url, json=body("one", "wait"), headers=greedy) as first,
        client.stream("POST", url, json=body("two", "wait"), headers=greedy) as second,
    ):
        assert (first.status_code, second.status_code) == (200, 200)
        third = post(guarded, "three", greedy)
        assert third.status_code == 429
        assert "more than 2 streams at a time" in third.text
        assert third.headers["retry-after"]
    for name in ("one", "two"):
        client.post(f"/aisdk/chat/{name}/stop", headers=greedy)


def test_a_page_of_another_origin_gets_whole_addresses_and_may_read_our_headers(
    guarded: Gateway,
) -> None:
    page = bearer("files", rights=("read", "write")) | {"origin": "https://app.example"}
    asked = body("files", "files")
    answer = guarded.client.post("/aisdk/workflow", json=asked, headers=page)
    assert f'"url":"{guarded.url}/v1/sessions/files/elements/' in answer.text
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert {"x-workflow-run-id", "x-workflow-stream-tail-index"} <= set(exposed.split(", "))


def test_faces_are_off_unless_they_are_named(stack: Stack) -> None:
    assert post(stack.shared_gateway(), "chat", {}).status_code == 404
