"""A caller that asks for too much is told to come back, and the others notice nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from sse import is_empty_stream, reading
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.values.ids import new_id
from tokens import API_KEY, SECRET, bearer, token

AUTH = {"STEPWIRE_AUTH_SECRETS": SECRET, "STEPWIRE_API_KEYS": API_KEY}


@pytest.fixture(scope="module")
def pair(shared_stack: Stack) -> tuple[Gateway, Gateway]:
    """Two gateways of one Redis; each test asks as a caller of its own."""
    limits = {
        "STEPWIRE_MAX_MESSAGES_PER_MINUTE": "4",
        "STEPWIRE_MAX_READS_PER_MINUTE": "3",
        "STEPWIRE_MAX_SESSIONS_PER_HOUR": "2",
    }
    return (
        shared_stack.gateway(port=None, **AUTH, **limits),
        shared_stack.gateway(port=None, **AUTH, **limits),
    )


def caller(name: str | None = None) -> dict[str, str]:
    return bearer(token("*", rights=("admin",), sub=name or new_id()))


def from_address(address: str) -> dict[str, str]:
    """As the proxy on this machine, which uvicorn trusts, says it."""
    return {"X-Forwarded-For": address}


def send(gateway: Gateway, session: str, headers: dict[str, str]) -> httpx.Response:
    return gateway.client.post(
        f"/v1/sessions/{session}/messages", json={"content": "x"}, headers=headers
    )


def new_session(gateway: Gateway, headers: dict[str, str]) -> str:
    session: str = gateway.client.post("/v1/sessions", headers=headers).json()["session_id"]
    return session


def assert_too_much(response: httpx.Response, setting: str, within_s: int) -> None:
    assert (response.status_code, response.json()["code"]) == (429, "limit_exceeded")
    assert f"STEPWIRE_MAX_{setting}" in response.json()["detail"]
    assert 0 < int(response.headers["retry-after"]) <= within_s


def test_a_subject_sends_so_much_in_a_minute_through_all_gateways(
    pair: tuple[Gateway, Gateway],
) -> None:
    one, other = pair
    eager, session = caller(), new_session(one, bearer(API_KEY))
    path = f"/v1/sessions/{session}"
    assert send(one, session, eager).status_code == 202
    assert send(other, session, eager).status_code == 202
    run = one.client.post(f"{path}/runs", json={"task": "x"}, headers=eager)
    upload = other.client.post(f"{path}/elements?name=x", content=b"x", headers=eager)
    assert (run.status_code, upload.status_code) == (202, 201)
    for gateway in (one, other):
        assert_too_much(send(gateway, session, eager), "MESSAGES_PER_MINUTE", 60)
    # Reads are not messages, other callers have limits of their own, and a backend acts for many.
    assert one.client.get(path, headers=eager).status_code == 200
    assert send(one, session, caller()).status_code == 202
    for _ in range(6):
        assert send(other, session, bearer(API_KEY)).status_code == 202


def test_a_window_ends_and_leaves_nothing(tmp_path: Path, server: EmbeddedServer) -> None:
    with Stack(tmp_path, server.url) as stack, closing(Redis.from_url(server.url)) as connected:
        # redis-py types what a command returns for its two kinds of client at once.
        redis: Any = connected
        gateway = stack.gateway(port=None, **AUTH, STEPWIRE_MAX_MESSAGES_PER_MINUTE="1")
        eager, session = caller("somebody|/ *"), new_session(gateway, bearer(API_KEY))
        before = set(redis.keys("stepwire:rate:*"))
        assert send(gateway, session, eager).status_code == 202
        assert send(gateway, session, eager).status_code == 429
        [key] = set(redis.keys("stepwire:rate:*")) - before
        assert b"somebody" not in key
        assert 0 < redis.pttl(key) <= 60_000
        redis.pexpire(key, 1)
        wait_until(lambda: not redis.exists(key), "the window is over")
        assert send(gateway, session, eager).status_code == 202


def test_a_subject_creates_so_many_sessions_in_an_hour(
    pair: tuple[Gateway, Gateway],
) -> None:
    gateway, _ = pair
    eager = caller()
    for _ in range(2):
        assert gateway.client.post("/v1/sessions", headers=eager).status_code == 201
    refused = gateway.client.post("/v1/sessions", headers=eager)
    assert_too_much(refused, "SESSIONS_PER_HOUR", 3600)
    assert gateway.client.post("/v1/sessions", headers=caller()).status_code == 201


def test_a_subject_reads_so_often_in_a_minute_through_all_gateways(
    pair: tuple[Gateway, Gateway],
) -> None:
    one, other = pair
    eager, session = caller(), new_session(one, bearer(API_KEY))
    path = f"/v1/sessions/{session}"
    assert one.client.get(path, headers=eager).status_code == 200
    for gateway in (one, other):
        with reading(gateway.client, f"{path}/events", headers=eager) as stream:
            assert next(stream).type == "snapshot"
    assert_too_much(other.client.get(path, headers=eager), "READS_PER_MINUTE", 60)
    # An EventSource would give up for good on 429: it is told to come again.
    for events in ("events", "runs/none/events"):
        refused = one.client.get(f"{path}/{events}", headers=eager)
        assert refused.status_code == 200
        assert is_empty_stream(refused.text, "limit_exceeded")
        assert "STEPWIRE_MAX_READS_PER_MINUTE" in refused.text
    # Messages are not reads, other callers have limits of their own, and a backend acts for many.
    assert send(one, session, eager).status_code == 202
    assert other.client.get(path, headers=caller()).status_code == 200
    for _ in range(5):
        assert one.client.get(path, headers=bearer(API_KEY)).status_code == 200


def test_without_authentication_an_address_counts_but_not_this_machine(stack: Stack) -> None:
    gateway = stack.gateway(
        STEPWIRE_MAX_MESSAGES_PER_MINUTE="2", STEPWIRE_MAX_STREAMS_PER_ADDRESS="1"
    )
    session = gateway.create_session()
    # A window of its own for every run of this test.
    eager = from_address(f"2001:db8::{new_id()[:4]}:{new_id()[:4]}")
    for _ in range(2):
        assert send(gateway, session, eager).status_code == 202
    assert_too_much(send(gateway, session, eager), "MESSAGES_PER_MINUTE", 60)
    assert send(gateway, session, from_address("192.0.2.2")).status_code in (202, 429)
    for _ in range(5):
        assert send(gateway, session, {}).status_code == 202


def test_a_message_has_so_many_characters(stack: Stack) -> None:
    gateway = stack.gateway(STEPWIRE_MAX_MESSAGE_CHARS="10", STEPWIRE_MAX_METADATA_CHARS="1000")
    session = gateway.create_session()
    path = f"/v1/sessions/{session}/messages"
    fits = {"a": "ä" * (1000 - len('{"a": ""}'))}
    assert gateway.client.post(path, json={"content": "ä" * 10, "metadata": fits}).is_success
    for too_much, setting in (
        ({"content": "ä" * 11}, "STEPWIRE_MAX_MESSAGE_CHARS"),
        ({"content": "a", "metadata": {"a": fits["a"] + "ä"}}, "STEPWIRE_MAX_METADATA_CHARS"),
    ):
        refused = gateway.client.post(path, json=too_much)
        assert (refused.status_code, refused.json()["code"]) == (413, "message_too_large")
        assert setting in refused.json()["detail"]
    assert len(gateway.snapshot(session)["steps"]) == 1


# -- streams --------------------------------------------------------------------------------------


class Streams:
    """Opens streams and keeps them open."""

    def __init__(self, gateway: Gateway, session: str, stack: ExitStack) -> None:
        self._gateway, self._stack = gateway, stack
        self._pieces: list[Iterator[str]] = []
        self.path = f"/v1/sessions/{session}/events"

    def open(self, headers: dict[str, str]) -> ExitStack | None:
        """The stream, to be closed; None if it was refused."""
        with ExitStack() as opening:
            response = opening.enter_context(
                self._gateway.client.stream("GET", self.path, headers=headers)
            )
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            text, pieces = "", response.iter_text()
            # Let go of, the iterator would close the connection.
            self._pieces.append(pieces)
            for piece in pieces:
                text += piece
                if "event: snapshot" in text:
                    return self._stack.enter_context(opening.pop_all())
            assert is_empty_stream(text, "limit_exceeded")
            return None


def test_addresses_of_one_network_count_as_one(stack: Stack) -> None:
    """IPv6: every customer has at least 2**64 addresses."""
    limits = AUTH | {"STEPWIRE_MAX_STREAMS_PER_ADDRESS": "1"}
    gateway = stack.gateway(port=None, **limits)
    session = new_session(gateway, bearer(API_KEY))
    with ExitStack() as open_streams:
        streams = Streams(gateway, session, open_streams)
        assert streams.open(caller() | from_address("2001:db8:1:2::1")) is not None
        assert streams.open(caller() | from_address("2001:db8:1:2:3::1")) is None
        assert streams.open(caller() | from_address("2001:db8:1:3::1")) is not None


@pytest.mark.parametrize(
    ("setting", "same", "other"),
    [
        ("STREAMS_PER_SUBJECT", {}, {}),
        ("STREAMS_PER_ADDRESS", from_address("192.0.2.1"), from_address("192.0.2.9")),
        ("STREAMS_PER_ADDRESS", from_address("::ffff:192.0.2.1"), from_address("::ffff:192.0.2.9")),
        ("STREAMS", {}, None),
    ],
)
def test_streams_over_the_limit_are_told_to_come_back_and_get_in_when_one_has_gone(
    stack: Stack, setting: str, same: dict[str, str], other: dict[str, str] | None
) -> None:
    gateway = stack.gateway(port=None, **AUTH, **{f"STEPWIRE_MAX_{setting}": "2"})
    session = new_session(gateway, bearer(API_KEY))
    # Made here: as parameters they would have ended when a long run of all tests comes to this one.
    same |= caller("eve")
    if other is not None:
        other |= caller("ada")
    with ExitStack() as open_streams:
        streams = Streams(gateway, session, open_streams)
        first = streams.open(same)
        assert first is not None
        assert streams.open(same) is not None
        for _ in range(3):
            assert streams.open(same) is None
        if other is None:
            # The process is full for all callers, also for those without a subject.
            assert streams.open(bearer(API_KEY)) is None
        else:
            assert streams.open(other) is not None
        # Only streams are counted.
        assert gateway.client.get(f"/v1/sessions/{session}", headers=same).status_code == 200
        first.close()
        wait_until(lambda: streams.open(same) is not None, "a stream may be opened")
        assert streams.open(same) is None


def test_streams_that_are_refused_do_not_count(stack: Stack) -> None:
    gateway = stack.gateway(port=None, **AUTH, STEPWIRE_MAX_STREAMS="1")
    session = new_session(gateway, bearer(API_KEY))
    me = caller()
    for _ in range(3):
        for path, status in (
            ("/v1/sessions/none/events", 404),
            (f"/v1/sessions/{session}/events?after=x", 400),
            (f"/v1/sessions/{session}/runs/none/events", 404),
        ):
            assert gateway.client.get(path, headers=me).status_code == status
    with ExitStack() as open_streams:
        assert Streams(gateway, session, open_streams).open(me) is not None


@pytest.fixture(autouse=True)
def fresh_windows(server: EmbeddedServer) -> None:
    """Windows that other tests have begun for the fixed addresses end."""
    with closing(Redis.from_url(server.url)) as connected:
        redis: Any = connected
        for key in redis.keys("stepwire:rate:*"):
            redis.delete(key)
