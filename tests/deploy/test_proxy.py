"""The proxy in front of the gateways: what it passes, what it believes, what it answers itself."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.compose import load_compose
from deploy.stack import (
    run_proxy_script,
    running_proxy,
    wait_until_listening,
    why_there_is_no_proxy,
)
from sse import first_of, reading
from stack import Gateway, Stack
from stepwire_cli.dev.embedded_server import EmbeddedServer, free_port
from stepwire_core.settings import Settings
from stepwire_gateway import create_app
from stepwire_gateway.auth.guard import GuardedRoute

pytestmark = pytest.mark.skipif(
    why_there_is_no_proxy() is not None, reason=why_there_is_no_proxy() or ""
)

MAX_BODY_BYTES = 4096
MAX_BYTES = 100_000
PING_S = "0.5"

LIMITS = {
    "STEPWIRE_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    "STEPWIRE_ELEMENTS_MAX_BYTES": str(MAX_BYTES),
}

COME_BACK = ": gateway_unavailable: no gateway answers at the moment\nretry: 3000\n\n"

Front = Callable[..., httpx.Client]


def streams_of(*prefixes: str) -> list[str]:
    """An address of each stream that the gateway has, below each of these paths."""
    routes: list[GuardedRoute] = create_app(Settings()).state.routes
    paths = sorted({route.path for route in routes if route.need.stream})
    assert len(paths) >= 3
    return [
        prefix + path.format(session_id="a", run_id="b") for prefix in prefixes for path in paths
    ]


@pytest.fixture
def gateway(tmp_path: Path, server: EmbeddedServer) -> Iterator[Gateway]:
    with Stack(tmp_path, server.url) as stack:
        stack.env |= LIMITS | {"STEPWIRE_PING_S": PING_S, "FORWARDED_ALLOW_IPS": "*"}
        yield stack.gateway()


@pytest.fixture
def front(tmp_path: Path, gateway: Gateway) -> Iterator[Front]:
    """Makes a client of a proxy of its own, started with these variables."""
    with ExitStack() as stack:

        def start(**env: str) -> httpx.Client:
            service = load_compose(**LIMITS, STEPWIRE_PING_S=PING_S, **env)["services"]["proxy"]
            port = free_port()
            folder = tmp_path / f"proxy-{port}"
            folder.mkdir()
            proxy = running_proxy(service, folder=folder, port=port, gateways=[gateway.port])
            # Not by its health check, which asks the gateway.
            wait_until_listening(stack.enter_context(proxy), port)
            url = f"http://127.0.0.1:{port}"
            return stack.enter_context(httpx.Client(base_url=url, timeout=15))

        yield start


@pytest.fixture(scope="module")
def lone_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a proxy without any gateway."""
    port, folder = free_port(), tmp_path_factory.mktemp("proxy")
    service = load_compose()["services"]["proxy"]
    with running_proxy(service, folder=folder, port=port, gateways=[free_port()]) as proxy:
        wait_until_listening(proxy, port)
        yield port


def test_uploads_may_be_larger_than_other_bodies_but_not_than_their_own_limit(
    front: Front,
) -> None:
    client = front()
    session = client.post("/v1/sessions").json()["session_id"]
    path = f"/v1/sessions/{session}/elements"
    response = client.post(path, params={"name": "a.png"}, content=b"x" * MAX_BYTES)
    assert response.status_code == 201
    url = response.json()["url"]
    part = client.get(url, headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, b"x" * 10)
    assert "sandbox" in part.headers["content-security-policy"]
    for refused, setting in (
        (client.post(path, content=b"x" * (MAX_BYTES + 1)), "STEPWIRE_ELEMENTS_MAX_BYTES"),
        # Below the path that a proxy in front of this one has passed on.
        (client.post(f"/a{path}", content=b"x" * (MAX_BYTES + 1)), "STEPWIRE_ELEMENTS_MAX_BYTES"),
        (client.post("/v1/sessions", content=b"x" * (MAX_BODY_BYTES + 1)), "MAX_BODY_BYTES"),
    ):
        problem = _problem(refused, 413)
        assert problem["code"] == "body_too_large"
        assert setting in problem["detail"]


def test_a_request_that_no_gateway_answers_gets_a_problem(front: Front, gateway: Gateway) -> None:
    client = front(STEPWIRE_CORS_ORIGINS="https://app.example, https://b.example")
    gateway.child.stop()
    refused = client.post("/v1/sessions", headers={"Origin": "https://b.example"})
    problem = _problem(refused, 502)
    assert problem["code"] == "gateway_unavailable"
    assert "with the same id" in problem["detail"]
    assert refused.headers["retry-after"] == "2"
    # Else a page could not read it, and an EventSource of such a page would give up for good.
    streams = [
        client.get(path, headers={"Origin": "https://app.example"})
        for path in streams_of("", "/a/b")
    ]
    for answer in streams:
        assert answer.text == COME_BACK
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert refused.headers["access-control-allow-origin"] == "https://b.example"
    for answer in (refused, *streams):
        assert answer.headers["access-control-allow-credentials"] == "true"
    stranger = client.post("/v1/sessions", headers={"Origin": "https://c.example"})
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    ("request_line", "status", "code"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400, "bad_request"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "x" * 40_000, 431, "headers_too_large"),
        (f"GET /{'x' * 40_000} HTTP/1.1\r\nHost: localhost", 414, "uri_too_long"),
        ("TRACE / HTTP/1.1\r\nHost: localhost", 405, "method_not_allowed"),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip", 501, "not_implemented"),
        ("nonsense", 400, "bad_request"),
        ("GET /.problem HTTP/1.1\r\nHost: localhost\r\nConnection: close", 404, "not_found"),
    ],
)
def test_what_the_proxy_refuses_by_itself_is_a_problem_too(
    lone_proxy: int, request_line: str, status: int, code: str
) -> None:
    with socket.create_connection(("127.0.0.1", lone_proxy), timeout=15) as connection:
        connection.sendall(f"{request_line}\r\n\r\n".encode())
        answer = connection.makefile("rb").read().decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "Content-Type: application/problem+json" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)


def test_a_stream_whose_gateway_is_frozen_ends_after_a_few_pings(
    front: Front, gateway: Gateway
) -> None:
    client = front()
    session = client.post("/v1/sessions").json()["session_id"]
    with reading(client, f"/v1/sessions/{session}/events") as stream:
        first_of(stream, "snapshot")
        gateway.child.signal(signal.SIGSTOP)
        try:
            with pytest.raises(httpx.RemoteProtocolError):
                list(stream)
        finally:
            gateway.child.signal(signal.SIGCONT)


@pytest.mark.parametrize("trusted", ["", "127.0.0.1", "192.0.2.7, 127.0.0.0/8"])
def test_only_proxies_that_are_trusted_say_who_the_client_is(front: Front, trusted: str) -> None:
    """The scheme and the address both: else pages of ours, behind TLS, are strangers."""
    client = front(TRUSTED_PROXIES=trusted, STEPWIRE_MAX_STREAMS_PER_ADDRESS="1")
    session = client.post("/v1/sessions").json()["session_id"]
    origin = {"Origin": "https://localhost", "Host": "localhost"}
    secure = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.1, 192.0.2.7"}
    answer = client.post(f"/v1/sessions/{session}/messages", json={}, headers=origin | secure)
    code = answer.json()["code"]
    assert code == ("invalid_request" if trusted else "cross_site_request")


@pytest.mark.parametrize(
    ("resolv_conf", "resolver"),
    [
        ("nameserver 127.0.0.11\noptions ndots:0\n", "127.0.0.11"),
        # Podman before 4.5 names those of the host too, which know no container.
        ("search dns.podman\nnameserver 10.89.0.1\nnameserver 192.0.2.53\n", "10.89.0.1"),
        ("# a comment\nnameserver fd00::53\n", "[fd00::53]"),
    ],
)
def test_names_are_looked_up_where_the_container_looks_them_up(
    tmp_path: Path, resolv_conf: str, resolver: str
) -> None:
    (tmp_path / "resolv.conf").write_text(resolv_conf)
    (tmp_path / "nginx").write_text("#!/bin/sh\n")
    (tmp_path / "nginx").chmod(0o755)
    replaced = {"/tmp/": f"{tmp_path}/", "/etc/resolv.conf": f"{tmp_path}/resolv.conf"}  # noqa: S108
    ended = run_proxy_script(load_compose(), programs=tmp_path, replaced=replaced)
    assert ended.returncode == 0, ended.stderr
    assert f" resolver {resolver} valid=" in (tmp_path / "nginx.conf").read_text()


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({}, False),
        ({"PUBLISH": "127.0.0.1:9000"}, False),
        ({"PUBLISH": "[::1]:9000"}, False),
        ({"PUBLISH": "8000"}, True),
        ({"PUBLISH": "0.0.0.0:8000"}, True),
        ({"PUBLISH": "192.0.2.1:8000"}, True),
        ({"PUBLISH": "8000", "STEPWIRE_AUTH_SECRETS": "s" * 32}, False),
        ({"PUBLISH": "8000", "STEPWIRE_AUTH_JWKS_URL": "https://keys.example"}, False),
        ({"PUBLISH": "8000", "STEPWIRE_API_KEYS": "k" * 32}, False),
        ({"PUBLISH": "8000", "STEPWIRE_AUTH_OPEN": "true"}, False),
    ],
)
def test_a_gateway_without_authentication_is_published_to_others_only_if_that_is_asked_for(
    tmp_path: Path, given: dict[str, str], refused: bool
) -> None:
    compose = load_compose(**given)
    # The command after the check fails here.
    (tmp_path / "awk").write_text("#!/bin/sh\nexit 75\n")
    (tmp_path / "awk").chmod(0o755)
    ended = run_proxy_script(compose, programs=tmp_path)
    assert ended.returncode == (1 if refused else 75)
    assert ("STEPWIRE_AUTH_OPEN=true" in ended.stderr) == refused
    # No secret is in the environment of the proxy.
    environment = compose["services"]["proxy"]["environment"]
    assert not set(given.values()) & set(environment.values()) - {given.get("PUBLISH")}


def _problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail", "code"}
    assert problem["status"] == status
    assert problem["type"] == f"urn:stepwire:problem:{problem['code']}"
    assert problem["title"] == problem["code"].replace("_", " ").capitalize()
    return problem
