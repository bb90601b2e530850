"""The proxy with a certificate: TLS, and HTTP/2 for browsers with many tabs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser

from browser.conftest import browser as browser
from deploy.compose import load_compose
from deploy.stack import (
    Process,
    run_proxy_script,
    running_proxy,
    wait_until_listening,
    why_there_is_no_proxy,
)
from stack import Gateway, Stack
from stepwire_cli.dev.embedded_server import free_port
from tls import Certificate, new_certificate

pytestmark = pytest.mark.skipif(
    why_there_is_no_proxy() is not None, reason=why_there_is_no_proxy() or ""
)

CONNECTIONS_PER_HOST: Final = 6
"""What browsers open to one host over HTTP/1.1."""

TABS: Final = CONNECTIONS_PER_HOST + 2

OPEN_STREAM: Final = """sid => new Promise((resolve, reject) => {
    const stream = new EventSource(`/v1/sessions/${sid}/events`);
    stream.onopen = () => resolve();
    stream.onerror = () => reject(new Error("the stream is refused"));
})"""
SEND: Final = """sid => fetch(`/v1/sessions/${sid}/messages`, {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({content: "hello"}),
}).then(answer => answer.status)"""
PROTOCOL: Final = "performance.getEntriesByType('navigation')[0].nextHopProtocol"

Front = Callable[[], tuple[Process, int]]


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway(FORWARDED_ALLOW_IPS="*")


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return new_certificate(tmp_path / "tls")


@pytest.fixture
def front(tmp_path: Path, gateway: Gateway, certificate: Certificate) -> Iterator[Front]:
    """Starts a proxy with the certificate."""
    with ExitStack() as stack:

        def start() -> tuple[Process, int]:
            service = load_compose(TLS_DIR=str(certificate.folder))["services"]["proxy"]
            port = free_port()
            folder = tmp_path / "proxy"
            folder.mkdir()
            proxy = running_proxy(service, folder=folder, port=port, gateways=[gateway.port])
            return stack.enter_context(proxy), port

        yield start


def test_more_tabs_than_a_browser_has_connections_stream_and_can_send(
    front: Front, gateway: Gateway, browser: Browser
) -> None:
    proxy, port = front()
    wait_until_listening(proxy, port)
    with browser.new_context(ignore_https_errors=True) as context:
        tabs = [context.new_page() for _ in range(TABS)]
        for tab in tabs:
            sid = gateway.create_session()
            tab.goto(f"https://127.0.0.1:{port}/healthz")
            tab.evaluate(OPEN_STREAM, sid)
            # Over HTTP/1.1 the seventh tab would wait here for ever.
            assert tab.evaluate(SEND, sid) == 202
            assert tab.evaluate(PROTOCOL) == "h2"


def test_clients_with_http_1_are_served_and_plain_http_is_redirected(
    front: Front, certificate: Certificate
) -> None:
    proxy, port = front()
    wait_until_listening(proxy, port)
    origin = f"https://127.0.0.1:{port}"
    with httpx.Client(base_url=origin, verify=certificate.client_context()) as client:
        created = client.post("/v1/sessions", json={})
        assert (created.status_code, created.http_version) == (201, "HTTP/1.1")
        # The gateway compares it with the scheme and the host that the proxy passes on.
        path = f"/v1/sessions/{created.json()['session_id']}/messages"
        same_origin = client.post(path, json={"content": "a"}, headers={"Origin": origin})
        assert same_origin.status_code == 202
        other = {"Origin": origin.replace("https", "http")}
        assert client.post(path, json={"content": "a"}, headers=other).status_code == 403
    plain = httpx.post(f"http://127.0.0.1:{port}/v1/sessions?a=b", json={})
    assert plain.status_code == 308
    assert plain.headers["location"] == f"{origin}/v1/sessions?a=b"
    assert proxy.is_healthy()


def test_a_folder_without_a_readable_certificate_is_refused_with_one_line(
    front: Front, certificate: Certificate
) -> None:
    certificate.key.unlink()
    proxy, _ = front()
    assert proxy.popen.wait(timeout=10) == 1
    said = proxy.log.read_text()
    assert f"TLS_DIR={certificate.folder}: the proxy cannot read privkey.pem in it" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("version", "listen", "directive"),
    [
        # The image's version, the first one with the directive, and two of distributions.
        ("nginx version: nginx/1.28.0", "8000 ssl", "http2 on;"),
        ("nginx version: nginx/1.25.1", "8000 ssl", "http2 on;"),
        ("nginx version: nginx/1.24.0 (Ubuntu)", "8000 ssl http2", ""),
        ("nginx version: nginx/1.22.1", "8000 ssl http2", ""),
    ],
)
def test_http_2_is_asked_for_as_this_version_of_nginx_understands_it(
    tmp_path: Path, certificate: Certificate, version: str, listen: str, directive: str
) -> None:
    compose = load_compose(TLS_DIR=str(certificate.folder))
    (tmp_path / "nginx").write_text(f"#!/bin/sh\necho '{version}' >&2\n")
    (tmp_path / "nginx").chmod(0o755)
    replaced = {
        "/tmp/": f"{tmp_path}/",  # noqa: S108
        "/etc/tls": str(certificate.folder),
    }
    ended = run_proxy_script(compose, programs=tmp_path, replaced=replaced)
    assert ended.returncode == 0, ended.stderr
    config = (tmp_path / "nginx.conf").read_text()
    assert f"listen {listen};" in config
    assert ("http2 on;" in config) == bool(directive)
