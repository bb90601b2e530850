"""Every route against every kind of token: a token opens the sessions it names and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts

import tokens
from stack import Gateway, Stack
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.errors import SettingsError
from stepwire_core.settings import Settings, load_settings
from stepwire_core.wire.rights import RIGHTS
from stepwire_gateway import create_app
from stepwire_gateway.auth.guard import GuardedRoute, include, needs, needs_nothing
from tokens import API_KEY, SECRET, KeyServer, bearer, claims, token

OPEN, KEY, ALL = "open", "api_key", "read, in all sessions"
ADMIN_OF_ALL, LISTED = "admin, in all sessions", "read, of what it lists"
ANYWHERE = "write, in any session"

# What docs/protocol.md says. A route that is not here fails the test below.
ROUTES = {
    "GET /v1/sessions": LISTED,
    "HEAD /v1/sessions": LISTED,
    "GET /v1/events": LISTED,
    "HEAD /v1/events": LISTED,
    "GET /v1/start": LISTED,
    "HEAD /v1/start": LISTED,
    "GET /v1/runs": ADMIN_OF_ALL,
    "HEAD /v1/runs": ADMIN_OF_ALL,
    "GET /v1/workers": ADMIN_OF_ALL,
    "HEAD /v1/workers": ADMIN_OF_ALL,
    "GET /v1/queue": ADMIN_OF_ALL,
    "HEAD /v1/queue": ADMIN_OF_ALL,
    "POST /v1/runs/{run_id}/retry": ADMIN_OF_ALL,
    "DELETE /v1/runs/{run_id}": ADMIN_OF_ALL,
    "GET /v1/sessions/{session_id}/waiting": "read",
    "HEAD /v1/sessions/{session_id}/waiting": "read",
    "GET /v1/tasks": ANYWHERE,
    "HEAD /v1/tasks": ANYWHERE,
    "POST /v1/sessions": "write",
    "GET /v1/sessions/{session_id}": "read",
    "HEAD /v1/sessions/{session_id}": "read",
    "GET /v1/sessions/{session_id}/events": "read",
    "HEAD /v1/sessions/{session_id}/events": "read",
    "GET /v1/sessions/{session_id}/runs/{run_id}": "read",
    "HEAD /v1/sessions/{session_id}/runs/{run_id}": "read",
    "GET /v1/sessions/{session_id}/runs/{run_id}/events": "read",
    "HEAD /v1/sessions/{session_id}/runs/{run_id}/events": "read",
    "DELETE /v1/sessions/{session_id}": "admin",
    "POST /v1/sessions/{session_id}/resume": "write",
    "POST /v1/sessions/{session_id}/messages": "write",
    "POST /v1/sessions/{session_id}/runs": "write",
    "GET /v1/sessions/{session_id}/runs/{run_id}/request": "write",
    "HEAD /v1/sessions/{session_id}/runs/{run_id}/request": "write",
    "POST /v1/sessions/{session_id}/runs/{run_id}/retry": "write",
    "POST /v1/sessions/{session_id}/runs/{run_id}/cancel": "cancel",
    "POST /v1/sessions/{session_id}/elements": "write",
    "GET /v1/sessions/{session_id}/elements/{id}": "read",
    "HEAD /v1/sessions/{session_id}/elements/{id}": "read",
    "POST /v1/sessions/{session_id}/asks/{id}": "write",
    "POST /v1/sessions/{session_id}/actions/{id}": "write",
    "PUT /v1/sessions/{session_id}/settings": "write",
    "POST /v1/sessions/{session_id}/settings/edit": "write",
    "PUT /v1/sessions/{session_id}/steps/{id}/feedback": "write",
    "DELETE /v1/sessions/{session_id}/steps/{id}/feedback": "write",
    "GET /metrics": ALL,
    "HEAD /metrics": ALL,
    "POST /v1/tokens": KEY,
    "GET /healthz": OPEN,
    "HEAD /healthz": OPEN,
    "GET /readyz": OPEN,
    "HEAD /readyz": OPEN,
    "GET /openapi.json": OPEN,
    "HEAD /openapi.json": OPEN,
    "GET /": OPEN,
    "HEAD /": OPEN,
    "GET /inspector/icon.svg": OPEN,
}
LINKS = {
    "GET /v1/events",
    "HEAD /v1/events",
    "GET /v1/sessions/{session_id}/events",
    "HEAD /v1/sessions/{session_id}/events",
    "GET /v1/sessions/{session_id}/runs/{run_id}/events",
    "HEAD /v1/sessions/{session_id}/runs/{run_id}/events",
    "GET /v1/sessions/{session_id}/elements/{id}",
    "HEAD /v1/sessions/{session_id}/elements/{id}",
}
MINE, OTHER = "ada:1", "bob:1"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


def routes_of_the_app() -> set[str]:
    found = set()
    for route in iter_route_contexts(create_app(Settings()).routes):
        path = route.path or ""
        if path == "/inspector":
            path, methods = "/inspector/icon.svg", {"GET"}
        else:
            assert route.methods, f"not a route: {path}"
            methods = route.methods
        found |= {f"{method} {path}" for method in methods}
    return found


def test_the_table_has_every_route_of_the_application() -> None:
    assert routes_of_the_app() == set(ROUTES)


@dataclass
class House:
    """A gateway with every kind of authentication."""

    gateway: Gateway
    key_server: KeyServer
    key: tokens.PrivateKey

    def status(
        self, route: str, *, session: str = MINE, **options: Any
    ) -> tuple[int, str, httpx.Headers, str]:
        """Status, code, headers, and, of a refusal, the text."""
        method, path = route.split()
        path = path.format(session_id=session, run_id="run-1", id="element-1")
        if method == "POST":
            options.setdefault("json", {"id": session})
        with self.gateway.client.stream(method, path, **options) as response:
            if response.status_code == 204:
                self.create(session)
            if response.status_code not in (401, 403, 503):
                return response.status_code, "", response.headers, ""
            response.read()
            code = response.json()["code"] if response.content else ""
            return response.status_code, code, response.headers, response.text

    def create(self, session: str) -> None:
        """A session that is there; a route that deletes it is one of many."""
        created = self.gateway.client.post(
            "/v1/sessions", json={"id": session}, headers=bearer(API_KEY)
        )
        assert created.is_success


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer) -> Iterator[House]:
    key = tokens.rsa_key()
    folder = tmp_path_factory.mktemp("access")
    with KeyServer().running() as key_server, Stack(folder, server.url) as stack:
        key_server.publish(key, "rsa-1")
        gateway = stack.gateway(
            STEPWIRE_AUTH_SECRETS=f"{SECRET},{tokens.OLD_SECRET}",
            STEPWIRE_AUTH_JWKS_URL=key_server.url,
            STEPWIRE_API_KEYS=f"another-key-{'x' * 32},{API_KEY}",
        )
        house = House(gateway, key_server, key)
        for session in (MINE, OTHER):
            house.create(session)
        yield house
        # Nothing of a token is in the gateway's log, in the end.
        assert "eyJ" not in gateway.child.output
        assert API_KEY not in gateway.child.output


def refused(house: House) -> dict[str, str]:
    """Bearers that belong to no caller."""
    content = claims(MINE, rights=RIGHTS)
    endless = {name: value for name, value in content.items() if name != "exp"}
    unnamed = {name: value for name, value in content.items() if name != "sub"}
    return {
        "garbage": "not a token",
        "three dots": "a.b.c",
        "too long": "a" * 9000,
        "expired": tokens.signed(content | {"exp": int(time.time()) - 1}),
        "no exp": tokens.signed(endless),
        "no sub": tokens.signed(unnamed),
        "not yet": tokens.signed(content | {"nbf": int(time.time()) + 60}),
        "another secret": tokens.signed(content, "some-other-secret-of-enough-length-for-it"),
        "another hash": tokens.signed(content, SECRET + SECRET, "HS512"),
        "alg none": jwt.encode(content, "", algorithm="none"),
        "public key as the secret": tokens.hs256_with(
            content, tokens.public_pem(house.key), "rsa-1"
        ),
        "another private key": tokens.with_key(content, tokens.rsa_key(), "rsa-1"),
        "another hash of the key": tokens.with_key(content, house.key, "rsa-1", "RS512"),
        "an audience": tokens.signed(content | {"aud": "somebody"}),
        "most of an API key": API_KEY[:-1],
    }


@pytest.mark.parametrize("route", ROUTES)
def test_a_token_of_an_unknown_key_opens_nothing(house: House, route: str) -> None:
    """It is refused once the key set was fetched again; until then the key is not known."""
    content = claims("*", rights=("admin",))
    value = tokens.with_key(content, house.key, "rsa-2")
    status, code, _, text = house.status(route, headers=bearer(value))
    if ROUTES[route] == OPEN:
        assert status == 200
    elif status == 200:
        # An EventSource would give up for good on 503.
        assert route.endswith("/events")
        assert text == "" or text.startswith(": keys_unavailable: ")
        assert "event:" not in text
    else:
        assert status in (401, 503)
        assert route.startswith("HEAD") or code in ("unauthenticated", "keys_unavailable")


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_gets_in(house: House, route: str) -> None:
    for kind, value in refused(house).items():
        status, code, headers, text = house.status(route, headers=bearer(value))
        if ROUTES[route] == OPEN:
            assert status == 200, kind
            continue
        assert status == 401, kind
        assert "WWW-Authenticate" in headers
        assert 'error="invalid_token"' in headers["WWW-Authenticate"]
        if not route.startswith("HEAD"):
            assert code == "unauthenticated"
            assert not value or value not in text
    for headers_sent in ({}, {"Authorization": "Basic YTpi"}):
        status, _, headers, _ = house.status(route, headers=headers_sent)
        assert status == (200 if ROUTES[route] == OPEN else 401)
        if status == 401:
            assert headers["WWW-Authenticate"] == 'Bearer realm="stepwire"'


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("right", RIGHTS)
def test_a_right_opens_its_routes_in_its_sessions_alone(
    house: House, route: str, right: str
) -> None:
    needed = ROUTES[route]
    is_elsewhere = needed in (KEY, ALL, ADMIN_OF_ALL)
    opens = needed == OPEN or (not is_elsewhere and right in (needed.split(",")[0], "admin"))
    content = claims(MINE, rights=(right,))
    for value in (
        tokens.signed(content),
        tokens.signed(content, tokens.OLD_SECRET),
        tokens.with_key(content, house.key, "rsa-1"),
        tokens.signed(content | {"sessions": ["{sub}:*"]}),
        tokens.signed(content | {"sessions": ["nobody", "ada:*"]}),
    ):
        status, code, *_ = house.status(route, headers=bearer(value))
        assert (status in (401, 403)) is not opens, (status, code)
        if not opens:
            assert status == 403
        elsewhere, code, headers, _ = house.status(route, session=OTHER, headers=bearer(value))
        if needed == OPEN or (needed in (LISTED, ANYWHERE) and opens):
            # The sessions in a list depend on the token alone. The start page needs a worker, and
            # none runs.
            assert elsewhere == (503 if route.endswith("/start") else 200)
            continue
        assert elsewhere == 403
        assert 'error="insufficient_scope"' in headers["WWW-Authenticate"]
        if not route.startswith("HEAD"):
            assert code == "forbidden"


@pytest.mark.parametrize("route", [route for route in ROUTES if "{session_id}" in route])
def test_a_refusal_does_not_tell_whether_the_session_is_there(house: House, route: str) -> None:
    headers = bearer(token("ada:*", rights=("admin",)))
    there = house.status(route, session=OTHER, headers=headers)
    not_there = house.status(route, session="bob:never-created", headers=headers)
    assert (there[0], there[3]) == (not_there[0], not_there[3]) == (403, there[3])


@pytest.mark.parametrize("route", ROUTES)
def test_a_token_for_all_sessions_opens_all_but_what_is_for_backends(
    house: House, route: str
) -> None:
    headers = bearer(token("*", rights=("admin",)))
    for session in (MINE, OTHER):
        status, *_ = house.status(route, session=session, headers=headers)
        assert (status == 403) is (ROUTES[route] == KEY)
        assert status != 401


@pytest.mark.parametrize("route", ROUTES)
def test_an_api_key_opens_everything_but_only_as_a_bearer(house: House, route: str) -> None:
    status, *_ = house.status(route, headers=bearer(API_KEY))
    assert status not in (401, 403)
    if ROUTES[route] != OPEN:
        assert house.status(route, params={"token": API_KEY})[0] == 401
        cookie = {"Cookie": f"stepwire_token={API_KEY}"} | SAME_ORIGIN
        assert house.status(route, headers=cookie)[0] == 401


@pytest.mark.parametrize("route", ROUTES)
def test_a_token_in_the_address_counts_where_browsers_open_addresses_alone(
    house: House, route: str
) -> None:
    if ROUTES[route] == OPEN:
        return
    mine = {"token": token(MINE, rights=("admin",))}
    status, *_ = house.status(route, params=mine)
    assert (status == 401) is (route not in LINKS)
    if route in LINKS:
        assert status != 403
        assert house.status(route, params=mine, session=OTHER)[0] == (
            200 if ROUTES[route] == LISTED else 403
        )
        assert house.status(route, params={"token": "garbage"})[0] == 401
        assert house.status(route, params={"token": ""})[0] == 401


@pytest.mark.parametrize("route", ROUTES)
def test_a_token_in_the_cookie_counts_when_our_own_page_sends_it(house: House, route: str) -> None:
    if ROUTES[route] in (OPEN, KEY, ALL, ADMIN_OF_ALL, LISTED, ANYWHERE):
        return
    cookie = {"Cookie": f"stepwire_token={token(MINE, rights=('admin',))}"}
    assert house.status(route, headers=cookie | SAME_ORIGIN)[0] not in (401, 403)
    assert house.status(route, headers=cookie | SAME_ORIGIN, session=OTHER)[1] in ("forbidden", "")
    assert house.status(route, headers=cookie | SAME_ORIGIN, session=OTHER)[0] == 403
    status, code, *_ = house.status(route, headers=cookie | {"Sec-Fetch-Site": "cross-site"})
    if not route.startswith(("GET", "HEAD")):
        assert (status, code) == (403, "cross_site_request")
        assert house.status(route, headers=cookie)[:2] == (403, "cross_site_request")
    else:
        assert status not in (401, 403)


def test_the_header_wins_over_the_address_and_that_over_the_cookie(house: House) -> None:
    route = "GET /v1/sessions/{session_id}/elements/{id}"
    good, bad = token(MINE), "garbage"
    cookie = {"Cookie": f"stepwire_token={good}"}
    for options, expected in (
        (
            {"headers": bearer(good) | {"Cookie": "stepwire_token=bad"}, "params": {"token": bad}},
            404,
        ),
        ({"headers": bearer(bad) | cookie, "params": {"token": good}}, 401),
        ({"headers": cookie, "params": {"token": bad}}, 401),
        ({"headers": {"Cookie": "stepwire_token=bad"}, "params": {"token": good}}, 404),
        # Somebody else's scheme is none of ours.
        ({"headers": cookie | {"Authorization": "Basic YTpi"}}, 404),
    ):
        assert house.status(route, **options)[0] == expected, options  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sessions": "ada:1"},
        {"sessions": None},
        {"sessions": [1]},
        {"sessions": ["*x"]},
        {"sessions": ["a*b*"]},
        {"sessions": ["**"]},
        {"sessions": ["a b"]},
        {"sessions": ["{sid}"]},
        {"sessions": [""]},
        {"sessions": ["{sub}*"]},
        {"rights": "read"},
        {"rights": ["everything"]},
        {"rights": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 300},
        {"exp": "soon"},
        {"exp": "99999999999"},
        {"exp": True},
        {"exp": [1]},
        {"exp": 1e400},
        {"nbf": "x"},
        {"iss": 7, "aud": [7]},
    ],
    ids=str,
)
def test_a_token_of_another_shape_is_refused_as_a_whole(
    house: House, wrong: dict[str, Any]
) -> None:
    content = claims(MINE, rights=RIGHTS) | wrong
    status, code, _, text = house.status(
        "GET /v1/sessions/{session_id}",
        headers=bearer(tokens.hs256_with(content, SECRET.encode(), "x")),
    )
    assert (status, code) == (401, "unauthenticated")
    assert "Traceback" not in house.gateway.child.output
    assert "everything" not in text


def test_a_token_without_the_claims_is_refused_and_says_which(house: House) -> None:
    for name in ("sessions", "rights", "exp", "sub"):
        content = {key: value for key, value in claims(MINE).items() if key != name}
        response = house.gateway.client.get(
            f"/v1/sessions/{MINE}", headers=bearer(tokens.signed(content))
        )
        assert (response.status_code, name in response.json()["detail"]) == (401, True)


@pytest.mark.parametrize("exp", [10**400, 10**18, 4102444800])
def test_a_token_that_never_ends_is_no_trouble(house: House, exp: int) -> None:
    content = claims(MINE) | {"exp": exp}
    status, *_ = house.status(
        "GET /v1/sessions/{session_id}/events",
        headers=bearer(tokens.hs256_with(content, SECRET.encode(), "x")),
    )
    assert status in (200, 401)


@pytest.mark.parametrize(
    ("subject", "pattern", "session"),
    [
        ("*", "{sub}", "bob:1"),
        ("*", "{sub}:*", "bob:1"),
        ("", "{sub}*", "bob:1"),
        ("b", "{sub}*", "bob:1"),
        ("{sub}", "{sub}", "bob:1"),
        ("bob", "{sub}", "bob:1"),
        ("bo", "{sub}b:*", "bob:1"),
        ("bob:1", "{sub}:*", "bob:1:2"),
        ("bob", "x-{sub}:*", "bob:1"),
        ("auth0|1", "{sub}:*", "bob:1"),
        ("bob:*", "{sub}", "bob:1"),
    ],
)
def test_no_subject_widens_a_pattern(
    house: House, subject: str, pattern: str, session: str
) -> None:
    value = token(pattern, rights=RIGHTS, sub=subject)
    status, *_ = house.status(
        "GET /v1/sessions/{session_id}", session=session, headers=bearer(value)
    )
    assert status in (401, 403)


def test_a_pattern_opens_the_sessions_of_its_subject(house: House) -> None:
    for subject, pattern, session in (
        ("bob", "{sub}:*", "bob:1"),
        ("bob", "{sub}:1", "bob:1"),
        ("bob:1", "{sub}", "bob:1"),
        ("b", "{sub}ob:*", "bob:1"),
        ("ada@b.example", "bob*", "bob:1"),
    ):
        value = token(pattern, sub=subject)
        status, *_ = house.status(
            "GET /v1/sessions/{session_id}", session=session, headers=bearer(value)
        )
        assert status == 200, (subject, pattern)


def test_a_new_session_gets_an_id_that_its_creator_can_reach(house: House) -> None:
    client = house.gateway.client
    value = token("nobody", "{sub}:*", rights=("read", "write"), sub="eve")
    session = client.post("/v1/sessions", headers=bearer(value)).json()["session_id"]
    assert session.startswith("eve:")
    assert client.get(f"/v1/sessions/{session}", headers=bearer(value)).status_code == 200
    named = token("only-this", rights=("write",))
    response = client.post("/v1/sessions", headers=bearer(named))
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert "'id'" in response.json()["detail"]
    response = client.post("/v1/sessions", headers=bearer(named), json={"id": "only-this"})
    assert response.status_code == 201


def listed(house: House, bearer_token: str, **query: str) -> httpx.Response:
    return house.gateway.client.get("/v1/sessions", params=query, headers=bearer(bearer_token))


def test_a_list_shows_the_sessions_that_the_token_opens_and_no_others(house: House) -> None:
    for sessions, expected in (
        ((MINE,), {MINE}),
        ((OTHER, "nobody"), {OTHER}),
        (("{sub}:*",), {MINE}),
        (("bob*", MINE), {MINE, OTHER}),
        ((), set()),
    ):
        page = listed(house, token(*sessions, sub="ada")).json()
        assert {entry["id"] for entry in page["sessions"]} & {MINE, OTHER} == expected
        assert all(
            entry["id"] in sessions or entry["id"].startswith(("ada:", "bob"))
            for entry in page["sessions"]
        )


def test_whose_a_session_is_only_that_subject_and_an_admin_may_know(house: House) -> None:
    rights = ("read", "write")
    by_eve = token("{sub}:*", rights=rights, sub="eve")
    session = house.gateway.client.post("/v1/sessions", headers=bearer(by_eve)).json()["session_id"]

    def subject(value: str, **query: str) -> list[str | None]:
        found = listed(house, value, **query).json()["sessions"]
        return [entry["subject"] for entry in found if entry["id"] == session]

    assert subject(by_eve) == subject(by_eve, subject="eve") == ["eve"]
    mallory = token("eve:*", rights=rights, sub="mallory")
    assert subject(mallory) == [None]
    assert subject(mallory, subject="mallory") == []
    refused = listed(house, mallory, subject="eve")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert subject(token("*", rights=("admin",)), subject="eve") == ["eve"]
    assert subject(API_KEY) == ["eve"]


def test_no_cache_keeps_what_a_caller_may_read(house: House) -> None:
    status, _, headers, _ = house.status("GET /v1/sessions/{session_id}", headers=bearer(API_KEY))
    assert (status, headers["cache-control"]) == (200, "private, no-cache")
    route = "GET /v1/sessions/{session_id}/runs/{run_id}"
    status, _, headers, _ = house.status(route, headers=bearer(API_KEY))
    assert (status, headers["cache-control"]) == (404, "no-store")


def test_a_body_is_not_looked_at_before_its_sender_is_known(house: House) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b"\xff", b"[]"):
        response = house.gateway.client.post(
            f"/v1/sessions/{MINE}/messages", content=body, headers=headers
        )
        assert response.status_code == 401


def test_the_document_says_what_each_operation_needs(house: House) -> None:
    document = house.gateway.client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = ROUTES[f"{method.upper()} {path}"]
            assert operation.get("x-right", OPEN) == needed.partition(",")[0]
            assert bool(operation.get("security")) is (needed != OPEN)


async def _endpoint() -> None: ...


def test_a_route_that_does_not_say_what_it_needs_is_not_served() -> None:
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(TypeError, match="@needs"):
        router.get("/v1/sessions/{session_id}/new")(_endpoint)
    unguarded = APIRouter()
    unguarded.get("/v1/sessions/{session_id}/new")(_endpoint)
    with pytest.raises(TypeError, match="route_class=GuardedRoute"):
        include(FastAPI(), unguarded)


def test_a_route_whose_path_names_no_session_must_say_where_it_is() -> None:
    async def endpoint() -> None: ...

    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(TypeError, match="names no session"):
        router.post("/v1/new")(needs("write")(endpoint))
    router.post("/v1/new")(needs("write", session="body")(endpoint))
    router.get("/v1/open")(needs_nothing(endpoint))


def test_a_route_can_only_count_what_a_setting_limits() -> None:
    async def endpoint() -> None: ...

    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(TypeError, match="max_notes_per_minute"):
        router.post("/v1/new")(needs("write", session="body", counts="notes")(endpoint))


@pytest.mark.parametrize("name", ["STEPWIRE_AUTH_SECRETS", "STEPWIRE_API_KEYS"])
@pytest.mark.parametrize("value", ["short-secret", f"{SECRET},short-secret", f"{SECRET},"])
def test_a_secret_that_is_too_short_is_refused_and_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"(?s){name}: .*at least 32 bytes") as raised:
        load_settings()
    assert "short-secret" not in str(raised.value)


def test_a_secret_that_is_too_short_ends_the_process_and_is_not_shown(tmp_path: Path) -> None:
    with (
        Stack(tmp_path, "redis://127.0.0.1:1") as stack,
        pytest.raises(AssertionError, match="STEPWIRE_API_KEYS: ") as raised,
    ):
        stack.gateway(port=None, STEPWIRE_API_KEYS="short-secret")
    assert "short-secret" not in str(raised.value)
