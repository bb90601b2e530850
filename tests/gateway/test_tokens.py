"""How tokens are made, checked with the keys of others, and how streams end with them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from starlette.requests import Request

import tokens
from sse import is_empty_stream
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.errors import Unauthenticated
from stepwire_core.settings import Settings
from stepwire_gateway.auth import jwks
from stepwire_gateway.auth.authentication import Auth
from tokens import API_KEY, SECRET, KeyServer, bearer, claims, token

BACKEND = bearer(API_KEY)


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway(
        STEPWIRE_AUTH_SECRETS=SECRET,
        STEPWIRE_API_KEYS=API_KEY,
        STEPWIRE_AUTH_ISSUER="https://issuer.example",
        STEPWIRE_AUTH_AUDIENCE="stepwire",
        STEPWIRE_AUTH_COOKIE="sid",
        STEPWIRE_AUTH_MAX_TTL_S="7200",
        STEPWIRE_SUBSCRIBER_BYTES=str(64 * 1024 * 1024),
    )


def mint(gateway: Gateway, **body: Any) -> httpx.Response:
    whole = {"sub": "ada", "sessions": ["{sub}:*"], "rights": ["read", "write"]} | body
    return gateway.client.post("/v1/tokens", json=whole, headers=BACKEND)


def test_a_made_token_opens_what_it_names_until_it_ends(gateway: Gateway) -> None:
    before = int(time.time())
    response = mint(gateway, ttl_s=60)
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    made = response.json()
    ends = datetime.fromisoformat(made["expires_at"]).timestamp()
    assert before + 60 <= ends <= time.time() + 60
    content = jwt.decode(made["token"], SECRET, algorithms=["HS256"], audience="stepwire")
    assert content == {
        "sub": "ada",
        "sessions": ["{sub}:*"],
        "rights": ["read", "write"],
        "exp": ends,
        "iss": "https://issuer.example",
        "aud": "stepwire",
    }
    headers = bearer(made["token"])
    session = gateway.client.post("/v1/sessions", headers=headers).json()["session_id"]
    assert session.startswith("ada:")
    assert gateway.client.get(f"/v1/sessions/{session}", headers=headers).status_code == 200
    assert gateway.client.get("/v1/sessions/bob:1", headers=headers).status_code == 403
    cookie = {"Cookie": f"sid={made['token']}"}
    assert gateway.client.get(f"/v1/sessions/{session}", headers=cookie).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"ttl_s": 0}, "body.ttl_s"),
        ({"ttl_s": "60"}, "body.ttl_s"),
        ({"sub": ""}, "body.sub"),
        ({"sessions": ["x{sub}*"]}, "body.sessions.0"),
        ({"sub": "a:b"}, "'{sub}'"),
        ({"sessions": ["*x"]}, "body.sessions.0"),
        ({"rights": ["all"]}, "body.rights.0"),
        ({"rihgts": []}, "body.rihgts"),
    ],
    ids=str,
)
def test_a_token_that_would_not_be_taken_is_not_made(
    gateway: Gateway, wrong: dict[str, Any], where: str
) -> None:
    response = mint(gateway, **wrong)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert where in response.json()["detail"]


def test_a_token_lives_no_longer_than_is_allowed(gateway: Gateway) -> None:
    made = mint(gateway, ttl_s=1_000_000).json()
    assert datetime.fromisoformat(made["expires_at"]).timestamp() <= time.time() + 7200


@pytest.mark.parametrize(
    "wrong",
    [{"iss": "https://other.example"}, {"aud": "other"}, {"iss": None}, {"aud": None}],
    ids=str,
)
def test_a_token_for_somebody_else_is_refused(gateway: Gateway, wrong: dict[str, Any]) -> None:
    content = claims("*") | {"iss": "https://issuer.example", "aud": ["stepwire", "x"]}
    good = tokens.signed(content)
    assert gateway.client.get("/v1/sessions/none", headers=bearer(good)).status_code == 404
    changed = {name: value for name, value in (content | wrong).items() if value is not None}
    response = gateway.client.get("/v1/sessions/none", headers=bearer(tokens.signed(changed)))
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


def test_without_a_secret_no_tokens_are_made(tmp_path: Path, server: EmbeddedServer) -> None:
    with Stack(tmp_path, server.url) as stack:
        for settings in ({"STEPWIRE_API_KEYS": API_KEY}, {}):
            response = mint(stack.gateway(port=None, **settings))
            assert (response.status_code, response.json()["code"]) == (404, "tokens_disabled")
            assert "STEPWIRE_AUTH_SECRETS" in response.json()["detail"]


# -- streams --------------------------------------------------------------------------------------


class Writer:
    """Appends to a session all the time, as a backend."""

    def __init__(self, gateway: Gateway, session: str) -> None:
        self.sent = 0
        self._path = f"{gateway.url}/v1/sessions/{session}/messages"
        self._stop = Event()
        self._thread = Thread(target=self._write)

    def _write(self) -> None:
        with httpx.Client(headers=BACKEND) as client:
            while not self._stop.wait(0.01):
                client.post(self._path, json={"content": f"<{self.sent}>"}).raise_for_status()
                self.sent += 1

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def new_session(gateway: Gateway) -> str:
    created = gateway.client.post("/v1/sessions", headers=BACKEND)
    session: str = created.json()["session_id"]
    return session


def for_gateway(session: str, ttl_s: float) -> tuple[str, int]:
    content = claims(session, ttl_s=ttl_s)
    content |= {"iss": "https://issuer.example", "aud": "stepwire"}
    return tokens.signed(content), content["exp"]


def test_a_stream_ends_with_its_token_whole_and_not_later(gateway: Gateway) -> None:
    session = new_session(gateway)
    value, ends = for_gateway(session, 4)
    text, last_at = "", 0.0
    with Writer(gateway, session) as writer:
        with gateway.client.stream(
            "GET", f"/v1/sessions/{session}/events", params={"token": value}
        ) as response:
            assert response.status_code == 200
            for piece in response.iter_text():
                text += piece
                last_at = time.time()
        seen = writer.sent
        assert last_at < ends
        wait_until(lambda: time.time() > ends, "the token has ended")
        wait_until(lambda: writer.sent > seen, "the session goes on")
    *frames, end = text.removesuffix("\n\n").split("\n\n")
    assert frames[0] == "retry: 1000"
    assert end.startswith("retry: ")
    assert 500 <= int(end.removeprefix("retry: ")) <= 2000
    assert all(frame.startswith("id: ") for frame in frames[1:])
    assert len(frames) > 10
    # The answer to an EventSource that comes back by itself.
    again = gateway.client.get(f"/v1/sessions/{session}/events", params={"token": value})
    assert again.status_code == 401


def test_streams_of_one_moment_end_at_several(gateway: Gateway) -> None:
    session = new_session(gateway)
    value, ends = for_gateway(session, 4)
    ended: list[float] = []

    def read() -> None:
        with httpx.Client(base_url=gateway.url, timeout=15) as client:
            client.get(f"/v1/sessions/{session}/events", headers=bearer(value))
            ended.append(time.time())

    readers = [Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert max(ended) < ends
    assert max(ended) - min(ended) > 0.05


def test_a_client_too_slow_for_its_token_gets_nothing_that_waited_for_it(
    gateway: Gateway,
) -> None:
    session = new_session(gateway)
    value, ends = for_gateway(session, 3)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(15)
        slow.connect(("127.0.0.1", gateway.port))
        request = f"GET /v1/sessions/{session}/events HTTP/1.0\r\nHost: localhost\r\n"
        slow.sendall(f"{request}Authorization: Bearer {value}\r\n\r\n".encode())
        received = b""
        while b"event: snapshot" not in received:
            received += slow.recv(1024)
        big = "x" * 900_000
        path = f"/v1/sessions/{session}/messages"
        for number in range(12):
            body = {"content": f"<{number}>{big}"}
            gateway.client.post(path, json=body, headers=BACKEND).raise_for_status()
        gateway.client.post(path, json={"content": "<late>"}, headers=BACKEND).raise_for_status()
        wait_until(lambda: time.time() > ends, "the token has ended")
        while piece := slow.recv(1 << 20):
            received += piece
    assert b"<0>" in received
    assert b"<late>" not in received


# -- keys of others ------------------------------------------------------------------------------


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with KeyServer().running() as running:
        yield running


def status(gateway: Gateway, value: str, path: str = "/v1/sessions/none") -> int:
    return gateway.client.get(path, headers=bearer(value)).status_code


def test_every_kind_of_public_key_is_taken_and_no_secret(
    stack: Stack, key_server: KeyServer
) -> None:
    rsa, curve = tokens.rsa_key(), ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    long_curve = ec.generate_private_key(ec.SECP384R1())
    for_secrets = tokens.rsa_key()
    key_server.publish(rsa, "rsa")
    key_server.publish(curve, "ec", alg="ES256", use="sig")
    key_server.publish(edwards, "ed")
    key_server.publish(long_curve, "ec-384")
    key_server.publish(for_secrets, "enc", use="enc")
    secret = "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtZm9yLWhzMjU2"
    key_server.keys.append({"kty": "oct", "kid": "oct", "k": secret})
    key_server.keys.append({"kty": "what", "kid": "what"})
    gateway = stack.gateway(STEPWIRE_AUTH_JWKS_URL=key_server.url)
    content = claims("*")
    assert status(gateway, tokens.with_key(content, rsa, "rsa")) == 404
    assert status(gateway, tokens.with_key(content, curve, "ec", "ES256")) == 404
    assert status(gateway, tokens.with_key(content, edwards, "ed", "EdDSA")) == 404
    # Without a kid it is the only one of its kind.
    assert status(gateway, tokens.with_key(content, edwards, None, "EdDSA")) == 404
    for refused in (
        tokens.with_key(content, rsa, "ec"),
        tokens.with_key(content, rsa, "rsa", "PS256"),
        tokens.with_key(content, long_curve, "ec-384", "ES384"),
        tokens.with_key(content, for_secrets, "enc"),
        tokens.hs256_with(content, b"secret-that-is-long-enough-for-hs256", "oct"),
        tokens.hs256_with(content, tokens.public_pem(rsa), "rsa"),
        token("*"),
    ):
        assert status(gateway, refused) == 401
    assert key_server.asked == 1
    admin = tokens.with_key(claims("*", rights=("admin",)), rsa, "rsa")
    response = gateway.client.post("/v1/tokens", json={}, headers=bearer(admin))
    assert response.status_code == 403


def test_a_new_key_is_fetched_when_a_token_names_it(stack: Stack, key_server: KeyServer) -> None:
    old, new = tokens.rsa_key(), tokens.rsa_key()
    key_server.publish(old, "old")
    gateway = stack.gateway(STEPWIRE_AUTH_JWKS_URL=key_server.url, STEPWIRE_AUTH_JWKS_REFETCH_S="0")
    content = claims("*")
    assert status(gateway, tokens.with_key(content, old, "old")) == 404
    key_server.keys.clear()
    key_server.publish(new, "new")
    assert status(gateway, tokens.with_key(content, old, "old")) == 404
    assert status(gateway, tokens.with_key(content, new, "new")) == 404
    # A key that was taken out of the set is not accepted any more.
    assert status(gateway, tokens.with_key(content, old, "old")) == 401


def test_unknown_keys_do_not_make_the_gateway_ask_again_and_again(
    stack: Stack, key_server: KeyServer
) -> None:
    key = tokens.rsa_key()
    key_server.publish(key, "one")
    gateway = stack.gateway(
        STEPWIRE_AUTH_JWKS_URL=key_server.url, STEPWIRE_AUTH_JWKS_REFETCH_S="600"
    )
    made_up = [tokens.with_key(claims("*"), key, f"unknown-{number}") for number in range(20)]
    # The set that was fetched for the first one shows that its key does not exist.
    assert [status(gateway, value) for value in made_up] == [401, *[503] * 19]
    assert key_server.asked == 1


@pytest.mark.parametrize("key_id", ["new", None])
def test_a_token_of_a_key_that_has_just_been_rotated_is_never_refused(
    stack: Stack, key_server: KeyServer, key_id: str | None
) -> None:
    """Without ids the new key looks like the old one, which did not sign the token."""
    old, new = tokens.rsa_key(), tokens.rsa_key()
    key_server.publish(old, None if key_id is None else "old")
    gateway = stack.gateway(STEPWIRE_AUTH_JWKS_URL=key_server.url, STEPWIRE_AUTH_JWKS_REFETCH_S="3")
    first = tokens.with_key(claims("*"), old, None if key_id is None else "old")
    assert status(gateway, first) == 404
    key_server.keys.clear()
    key_server.publish(new, key_id)
    value = tokens.with_key(claims("*"), new, key_id)
    answers = [status(gateway, value)]
    stream = gateway.client.get("/v1/sessions/none/events", params={"token": value})
    # No request comes until the fetch that the first one has planned.
    wait_until(lambda: key_server.asked == 2, "the keys are fetched again")

    def known(value: str) -> bool:
        answers.append(status(gateway, value))
        return answers[-1] != 503

    wait_until(lambda: known(value), "known")
    assert set(answers) == {503, 404}
    assert stream.status_code in {200, 404}
    if stream.status_code == 200:
        assert stream.text.startswith(": keys_unavailable: ")
        assert stream.text.endswith("\nretry: 3000\n\n")
    made_up = tokens.with_key(claims("*"), tokens.rsa_key(), key_id and "made-up")
    answers.clear()
    wait_until(lambda: known(made_up), "refused")
    assert answers[-1] == 401


@pytest.mark.anyio
async def test_a_token_that_is_known_is_refused_when_its_key_is_taken_back(
    key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is known is not checked again while the keys are the same."""
    key = ed25519.Ed25519PrivateKey.generate()
    key_server.publish(key, "first")
    known = bearer(tokens.with_key(claims("a"), key, "first", "EdDSA"))["Authorization"]
    headers = [(b"authorization", known.encode())]
    request = Request({"type": "http", "method": "GET", "headers": headers})
    auth = Auth(Settings(auth_jwks_url=key_server.url, auth_jwks_refetch_s=0))

    async def until_refused() -> None:
        while True:
            # The keys are fetched beside the requests, which use the old ones meanwhile.
            assert (await auth.caller(request, link=False)).subject == "ada"
            await asyncio.sleep(0)

    async with auth.running(), asyncio.timeout(30):
        # The keys are fetched for the first one.
        await auth.caller(request, link=False)
        caller = await auth.caller(request, link=False)
        assert await auth.caller(request, link=False) is caller
        key_server.keys.clear()
        key_server.publish(ed25519.Ed25519PrivateKey.generate(), "second")
        monkeypatch.setattr(jwks, "KEEP_S", 0.0)
        with pytest.raises(Unauthenticated):
            await until_refused()


def test_redirects_of_the_key_set_are_not_followed(stack: Stack, key_server: KeyServer) -> None:
    """The address is trusted; another one that an open redirect there names is not."""
    key, elsewhere = tokens.rsa_key(), KeyServer()
    elsewhere.publish(key, "one")
    with elsewhere.running():
        key_server.redirects_to = elsewhere.url
        gateway = stack.gateway(STEPWIRE_AUTH_JWKS_URL=key_server.url)
        assert status(gateway, tokens.with_key(claims("*"), key, "one")) == 503
        assert elsewhere.asked == 0
    assert "a redirect, which is not followed: set STEPWIRE_AUTH_JWKS_URL" in gateway.child.output


def test_a_key_set_of_any_size_and_slowness_costs_bounded_memory_and_time(
    stack: Stack, key_server: KeyServer
) -> None:
    key = tokens.rsa_key()
    key_server.publish(key, "one")
    key_server.keys.append({"kty": "RSA", "kid": "huge", "n": "A" * 600_000, "e": "AQAB"})
    gateway = stack.gateway(STEPWIRE_AUTH_JWKS_URL=key_server.url, STEPWIRE_AUTH_JWKS_REFETCH_S="0")
    value = tokens.with_key(claims("*"), key, "one")
    assert status(gateway, value) == 503
    wait_until(lambda: "larger than 524288 bytes" in gateway.child.output, "it says so")
    del key_server.keys[1:]
    key_server.drips = Event()
    assert status(gateway, value) == 503
    wait_until(lambda: "not complete after 3 s" in gateway.child.output, "it says so")
    key_server.drips.set()
    assert status(gateway, value) == 404


def test_a_broken_key_in_the_set_costs_the_others_nothing(
    stack: Stack, key_server: KeyServer
) -> None:
    key = tokens.rsa_key()
    several: list[Any] = [
        {"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "b", "n": 7, "e": ["x"]},
        {"kty": "EC", "kid": "c", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "kid": ["d"], "crv": "Ed25519", "x": "AA"},
        {"kty": {}, "alg": []},
        "no key",
    ]
    key_server.keys.extend(several)
    key_server.publish(key, "one")
    gateway = stack.gateway(STEPWIRE_AUTH_JWKS_URL=key_server.url)
    assert status(gateway, tokens.with_key(claims("*"), key, "one")) == 404


@pytest.mark.parametrize(
    "answer",
    [
        *(b"no JSON", None),
        *(
            pytest.param(said, marks=pytest.mark.long)
            for said in (b"[]", b"{}", b'{"keys": [{"alg": ["x"]}]}')
        ),
    ],
)
def test_without_the_key_server_calls_get_503_streams_a_retry_and_known_keys_hold(
    stack: Stack, answer: bytes | None
) -> None:
    key_server, key = KeyServer(), tokens.rsa_key()
    key_server.publish(key, "one")
    value = tokens.with_key(claims("*"), key, "one")
    key_server.answer = answer
    gateway = stack.gateway(
        STEPWIRE_AUTH_JWKS_URL=key_server.url,
        STEPWIRE_AUTH_JWKS_REFETCH_S="0",
        STEPWIRE_API_KEYS=API_KEY,
    )
    if answer is None:
        with key_server.running():
            # Only to give the port back: now no server listens there.
            pass
        unreachable = True
    else:
        unreachable = False

    def check_away() -> None:
        response = gateway.client.get("/v1/sessions/none", headers=bearer(value))
        assert (response.status_code, response.json()["code"]) == (503, "keys_unavailable")
        assert int(response.headers["retry-after"]) > 0
        stream = gateway.client.get("/v1/sessions/none/events", params={"token": value})
        assert stream.status_code == 200
        assert is_empty_stream(stream.text, "keys_unavailable")
        # Callers that need no key are not kept waiting.
        assert status(gateway, API_KEY) == 404

    if unreachable:
        check_away()
        return
    with key_server.running():
        check_away()
        key_server.answer = None
        assert status(gateway, value) == 404
        key_server.answer = answer
        other = tokens.with_key(claims("*"), key, "two")
        assert status(gateway, other) == 503
        assert status(gateway, value) == 404


def test_a_key_server_that_does_not_answer_holds_up_nobody_for_long(stack: Stack) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        gateway = stack.gateway(
            STEPWIRE_AUTH_JWKS_URL=f"http://127.0.0.1:{silent.getsockname()[1]}/",
            STEPWIRE_API_KEYS=API_KEY,
        )
        value = tokens.with_key(claims("*"), tokens.rsa_key(), "one")
        statuses: list[int] = []
        asking = Thread(target=lambda: statuses.append(status(gateway, value)))
        asking.start()
        connection, _ = silent.accept()
        # While the keys are waited for, the gateway serves the others.
        assert status(gateway, API_KEY) == 404
        asking.join(10)
        connection.close()
        assert statuses == [503]
        assert status(gateway, value) == 503
