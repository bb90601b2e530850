"""Pages of other sites: what they may do, and what they may not."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import free_port
from stepwire_core.values.ids import new_id
from tokens import SECRET, bearer, token

APP_ORIGIN = "https://app.example"
STRANGER = "https://stranger.example"


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway(
        STEPWIRE_AUTH_SECRETS=SECRET,
        STEPWIRE_CORS_ORIGINS=f"{APP_ORIGIN}, http://localhost:3000",
    )


@pytest.fixture(scope="module")
def open_gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway(STEPWIRE_AUTH_OPEN_HOSTS="box.example,stepwire")


def cookie() -> dict[str, str]:
    return {"Cookie": f"stepwire_token={token('*', rights=('admin',))}"}


def post(gateway: Gateway, headers: dict[str, str]) -> httpx.Response:
    return gateway.client.post("/v1/sessions", json={"id": new_id()}, headers=headers)


def assert_cross_site(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["code"]) == (403, "cross_site_request")


def test_a_cookie_writes_from_our_own_pages_alone(gateway: Gateway) -> None:
    own = {"Origin": gateway.url}
    for headers in (
        own,
        {"Origin": APP_ORIGIN},
        {"Origin": APP_ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert post(gateway, cookie() | headers).status_code == 201, headers
    for headers in (
        {},
        {"Origin": STRANGER},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": f"{APP_ORIGIN}.stranger.example"},
        {"Origin": f"{APP_ORIGIN}:8443"},
        {"Origin": gateway.url.replace("http:", "https:")},
        {"Origin": f"http://127.0.0.1:{gateway.port + 1}"},
        {"Origin": STRANGER, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert_cross_site(post(gateway, cookie() | headers))


def test_a_bearer_writes_from_anywhere(gateway: Gateway) -> None:
    # No page can make a browser add it to a request of its own without asking (CORS).
    headers = bearer(token("*", rights=("write",))) | {"Origin": STRANGER}
    assert post(gateway, headers | {"Sec-Fetch-Site": "cross-site"}).status_code == 201


def test_pages_of_given_origins_may_read_answers_and_others_may_not(gateway: Gateway) -> None:
    session = post(gateway, bearer(token("*", rights=("write",)))).json()["session_id"]
    path = f"/v1/sessions/{session}"
    allowed = gateway.client.get(path, headers=cookie() | {"Origin": APP_ORIGIN})
    assert allowed.headers["access-control-allow-origin"] == APP_ORIGIN
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert "Retry-After" in allowed.headers["access-control-expose-headers"]
    assert "origin" in allowed.headers["vary"].lower()
    for origin in (STRANGER, "null", f"{APP_ORIGIN}.stranger.example"):
        answer = gateway.client.get(path, headers=cookie() | {"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
    # A refusal can be read, too: else the page could not tell it from a broken network.
    refused = gateway.client.get(path, headers={"Origin": APP_ORIGIN})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == APP_ORIGIN


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_page_of_a_given_origin_may_ask_for_what_the_protocol_has(
    gateway: Gateway, method: str
) -> None:
    asked = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,last-event-id",
    }
    answer = gateway.client.options("/v1/sessions/x", headers=asked | {"Origin": APP_ORIGIN})
    assert answer.status_code == 200
    assert method in answer.headers["access-control-allow-methods"]
    refused = gateway.client.options("/v1/sessions/x", headers=asked | {"Origin": STRANGER})
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    "asked",
    [
        "traceparent,tracestate,baggage",
        "Cache-Control, Pragma, Idempotency-Key",
        "x-request-id,x-csrf-token,sentry-trace,if-match",
    ],
)
def test_a_page_of_a_given_origin_may_send_any_header(gateway: Gateway, asked: str) -> None:
    """Tracing libraries, caches and proxies of a page add headers that no list has all of."""
    headers = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
        # Chromium, for a public page and a private address.
        "Access-Control-Request-Private-Network": "true",
    }
    path = "/v1/sessions/x/messages"
    answer = gateway.client.options(path, headers=headers | {"Origin": APP_ORIGIN})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-headers"] == asked
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert answer.headers["access-control-allow-origin"] == APP_ORIGIN
    refused = gateway.client.options(path, headers=headers | {"Origin": STRANGER})
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("allowed", ["https://App.Example:443", "https://app.example"])
def test_an_origin_is_the_same_in_capitals_and_with_its_default_port(
    shared_stack: Stack, allowed: str
) -> None:
    """RFC 6454, sections 4 and 6.1."""
    gateway = shared_stack.gateway(
        port=None, STEPWIRE_AUTH_SECRETS=SECRET, STEPWIRE_CORS_ORIGINS=allowed
    )
    for origin in ("https://app.example", "https://app.example:443", "HTTPS://APP.example"):
        answer = post(gateway, cookie() | {"Origin": origin})
        assert answer.status_code == 201
        assert answer.headers["access-control-allow-origin"] == origin
    for origin in ("https://app.example:80", "http://app.example", "https://app.example:4430"):
        assert_cross_site(post(gateway, cookie() | {"Origin": origin}))
    # Behind a proxy that names the port: browsers leave it out of Origin, and not out of Host.
    for scheme, host, origin in (
        ("http", "box.example:80", "http://box.example"),
        ("http", "Box.Example", "http://box.example"),
        ("https", "box.example:443", "https://box.example"),
        ("https", "box.example", "https://box.example:443"),
        ("http", "[::1]:80", "http://[::1]"),
    ):
        own = {"Host": host, "X-Forwarded-Proto": scheme, "Origin": origin}
        assert post(gateway, cookie() | own).status_code == 201, own
    for scheme, host, origin in (
        ("http", "box.example:443", "http://box.example"),
        ("http", "", "http://"),
        ("http", "box.example", "http://box.example/"),
        ("http", "box.example", "null"),
    ):
        foreign = {"Host": host, "X-Forwarded-Proto": scheme, "Origin": origin}
        assert_cross_site(post(gateway, cookie() | foreign))


def test_without_authentication_a_page_of_a_stranger_can_write_nothing(
    open_gateway: Gateway,
) -> None:
    for headers in (
        {"Origin": STRANGER},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": STRANGER, "Content-Type": "text/plain"},
    ):
        assert_cross_site(post(open_gateway, headers))
    session = open_gateway.create_session()
    form = open_gateway.client.post(
        f"/v1/sessions/{session}/elements?name=x", content=b"x", headers={"Origin": STRANGER}
    )
    assert_cross_site(form)
    for headers in ({"Origin": open_gateway.url}, {"Sec-Fetch-Site": "same-origin"}, {}):
        assert post(open_gateway, headers).status_code == 201


@pytest.mark.parametrize(
    "host",
    [
        "stranger.example",
        "stranger.example:8000",
        "localhost.stranger.example",
        "127.0.0.1.stranger.example",
        "192.168.1.7",
        "[2001:db8::1]",
        "localhost@stranger.example",
        "localhost:x",
        "box.example.stranger.example",
    ],
)
def test_without_authentication_a_foreign_name_opens_nothing(
    open_gateway: Gateway, host: str
) -> None:
    session = open_gateway.create_session()
    headers = {"Host": host}
    origin = headers | {"Origin": f"http://{host}"}
    for method, path, sent in (
        ("GET", f"/v1/sessions/{session}", headers),
        ("GET", f"/v1/sessions/{session}/events", headers),
        ("POST", "/v1/sessions", origin),
    ):
        response = open_gateway.client.request(method, path, headers=sent)
        assert (response.status_code, response.json()["code"]) == (403, "untrusted_host")
        assert "STEPWIRE_AUTH_OPEN_HOSTS" in response.json()["detail"]
    # Whoever asks whether it lives may call it by any name.
    assert open_gateway.client.get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "app.localhost", "127.0.0.1", "127.1.2.3", "[::1]:8000"]
)
def test_every_name_of_this_machine_is_known(open_gateway: Gateway, host: str) -> None:
    session = open_gateway.create_session()
    for name in (host, "stepwire:8000", "box.example"):
        answer = open_gateway.client.get(f"/v1/sessions/{session}", headers={"Host": name})
        assert answer.status_code == 200


def test_with_authentication_any_name_will_do(gateway: Gateway) -> None:
    headers = bearer(token("*")) | {"Host": "stepwire.example"}
    assert gateway.client.get("/v1/sessions/none", headers=headers).status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7"])  # noqa: S104
def test_a_gateway_without_authentication_does_not_listen_for_others(
    stack: Stack, host: str
) -> None:
    child = child_processes.gateway(
        stack.env, port=free_port(), host=host, log=stack._log("refused")
    )
    child.start()
    assert child.process is not None
    assert child.process.wait(30) == 1
    assert "STEPWIRE_AUTH_OPEN=true" in child.output
    assert "STEPWIRE_AUTH_SECRETS" in child.output
    assert "Traceback" not in child.output


@pytest.mark.parametrize(
    "settings", [{"STEPWIRE_AUTH_OPEN": "true"}, {"STEPWIRE_AUTH_SECRETS": SECRET}]
)
def test_it_does_when_it_is_told_to_or_has_authentication(
    stack: Stack, settings: dict[str, str]
) -> None:
    port = free_port()
    child = child_processes.gateway(
        stack.env | settings,
        port=port,
        host="0.0.0.0",  # noqa: S104
        log=stack._log("open"),
    )
    stack._start(child)
    with closing(Gateway(child, port).client) as client:

        def serves() -> bool:
            try:
                return client.get("/readyz").is_success
            except httpx.TransportError:
                return child.exit_code is not None

        wait_until(serves, "it serves")
    assert child.exit_code is None, child.output


@pytest.mark.parametrize(
    "value", ["*", "app.example", "https://app.example/", "https://app.example:", "null", ""]
)
def test_origins_of_another_form_end_the_process(stack: Stack, value: str) -> None:
    child = child_processes.gateway(
        stack.env | {"STEPWIRE_CORS_ORIGINS": value},
        port=free_port(),
        log=stack._log("origins"),
    )
    child.start()
    assert child.process is not None
    assert child.process.wait(30) == 1
    assert f"STEPWIRE_CORS_ORIGINS={value!r}" in child.output
