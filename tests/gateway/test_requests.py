"""Requests, their ends and their answers: docs/http.md, with real sockets."""

from __future__ import annotations

import re

import pytest

from stack import Gateway, Stack, wait_until
from tokens import SECRET
from wire import Answer, Wire, request

UPGRADES = ("h2c", "websocket", "TLS/1.2, HTTP/2.0")
PROBE = request("GET", "/healthz")
TOO_LARGE = str(5 * 1024 * 1024)


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway(port=None)


@pytest.fixture
def session(gateway: Gateway) -> str:
    return gateway.create_session()


def upload(session: str, *fields: str, version: str = "1.1") -> bytes:
    path = f"/v1/sessions/{session}/elements?name=x"
    return request("POST", path, "Content-Type: text/plain", *fields, version=version)


def bytewise(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


def stored(gateway: Gateway, session: str) -> list[bytes]:
    """The bytes of all that was uploaded."""
    elements = gateway.snapshot(session)["elements"]
    return [gateway.client.get(element["url"]).content for element in elements]


def assert_refused(wire: Wire, status: int, code: str) -> Answer:
    """It is answered with a problem, which says that the connection closes, and it does."""
    answer = wire.answer()
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.all("content-type") == ["application/problem+json"]
    assert answer.all("connection") == ["close"]
    assert wire.is_closed
    return answer


# -- upgrades ------------------------------------------------------------------------------------


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("packets", ["one", "head and body", "every byte"])
def test_a_body_counts_although_its_request_asks_for_an_upgrade(
    gateway: Gateway, session: str, upgrade: str, framing: str, packets: str
) -> None:
    # Were the body taken for a request, it would be answered.
    file = request("DELETE", f"/v1/sessions/{session}")
    body, how = file, f"Content-Length: {len(file)}"
    if framing == "chunks":
        body, how = b"%x\r\n%b\r\n0\r\n\r\n" % (len(file), file), "Transfer-Encoding: chunked"
    fields = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMA")
    head = upload(session, *fields, how)
    sent = {
        "one": [head + body + PROBE],
        "head and body": [head, body, PROBE],
        "every byte": bytewise(head + body + PROBE),
    }
    with Wire(gateway.port) as wire:
        wire.send(*sent[packets])
        answer = wire.answer()
        assert (answer.status, answer.json["size"]) == (201, len(file))
        assert wire.answer().json == {"status": "ok"}
        # And again, on the same connection.
        wire.send(head + body)
        assert wire.answer().status == 201
    assert stored(gateway, session) == [file, file]


def test_an_upgrade_of_http_1_0_is_ignored_too(gateway: Gateway, session: str) -> None:
    head = upload(
        session, "Connection: upgrade", "Upgrade: h2c", "Content-Length: 5", version="1.0"
    )
    with Wire(gateway.port) as wire:
        assert wire.send(head, b"hello").answer().status == 201
        assert wire.is_closed
    assert stored(gateway, session) == [b"hello"]


def test_pipelined_upgrades_are_answered_in_order(gateway: Gateway) -> None:
    fields = ("Connection: upgrade", "Upgrade: h2c")
    paths = [f"/nothing/{number}" for number in range(200)]
    with Wire(gateway.port) as wire:
        wire.send(b"".join(request("GET", path, *fields) for path in paths))
        for path in paths:
            assert path in wire.answer().json["detail"]


# -- where a request ends ------------------------------------------------------------------------

CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = b"0\r\n\r\n" + PROBE


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (("Content-Length: 5", CHUNKED), 400),
        ((CHUNKED, "Content-Length: 5"), 400),
        (("Content-Length: 5", "Content-Length: 5"), 400),
        (("Content-Length: 5", "Content-Length: 6"), 400),
        (("Content-Length: 5, 5",), 400),
        (("Content-Length: +5",), 400),
        (("Content-Length: -5",), 400),
        (("Content-Length: 0x5",), 400),
        (("Content-Length:",), 400),
        (("Content-Length: 99999999999999999999",), 400),
        (("Content-Length : 5",), 400),
        (("Content-Length: 5\n",), 400),
        (("X: a\nContent-Length: 5",), 400),
        (("X: a\rContent-Length: 5",), 400),
        (("X: a\0b", "Content-Length: 5"), 400),
        (("X: a", " folded", "Content-Length: 5"), 400),
        (("Transfer-Encoding:", " chunked"), 400),
        (("Transfer-Encoding: chunked, chunked",), 400),
        (("Transfer-Encoding: chunked, gzip",), 400),
        ((CHUNKED, CHUNKED), 400),
        (("Transfer-Encoding: \x0bchunked",), 400),
        (("Transfer-Encoding: xchunked",), 501),
        (("Transfer-Encoding: chunked;q=1",), 501),
        (("Transfer-Encoding: identity",), 501),
        (("Transfer-Encoding: gzip, chunked",), 501),
        (("X\xff: a", "Content-Length: 5"), 400),
        ((": a", "Content-Length: 5"), 400),
        (("no colon", "Content-Length: 5"), 400),
    ],
    ids=repr,
)
def test_framing_that_could_be_read_in_two_ways_is_refused(
    gateway: Gateway, session: str, fields: tuple[str, ...], status: int
) -> None:
    head = upload(session, *fields)
    with Wire(gateway.port) as wire:
        wire.send(head + HIDDEN)
        assert_refused(wire, status, "bad_request" if status == 400 else "not_implemented")
    assert stored(gateway, session) == []


@pytest.mark.parametrize(
    "body",
    [
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b'5;a="\r\nhello\r\n0\r\n\r\n',
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_chunks_that_could_be_read_in_two_ways_are_refused(
    gateway: Gateway, session: str, body: bytes
) -> None:
    with Wire(gateway.port) as wire:
        wire.send(upload(session, CHUNKED) + body + PROBE)
        assert_refused(wire, 400, "bad_request")
    assert stored(gateway, session) == []


def test_chunk_extensions_and_trailers_are_read_and_dropped(gateway: Gateway, session: str) -> None:
    body = b'5;a=b;c="d e"\r\nhello\r\n0;x\r\nAuthorization: Bearer x\r\nX: y\r\n\r\n'
    with Wire(gateway.port) as wire:
        wire.send(*bytewise(upload(session, CHUNKED) + body + PROBE))
        assert wire.answer().status == 201
        assert wire.answer().status == 200
    assert stored(gateway, session) == [b"hello"]


def test_a_body_without_its_last_chunk_is_not_stored(gateway: Gateway, session: str) -> None:
    with Wire(gateway.port) as wire:
        wire.send(upload(session, CHUNKED), b"5\r\nhello\r\n0\r\n")
    # The connection has ended; the gateway serves on, and nothing was taken for the file.
    with Wire(gateway.port) as wire:
        assert wire.send(PROBE).answer().status == 200
    assert stored(gateway, session) == []


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_request"),
        ("GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        ("GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
        ("GET /healthz HTTP/0.9\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
        ("GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n", 400, "bad_request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
        ("CONNECT example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        ("get /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        ("GET\t/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        ("GET /healthz HTTP/1.1\nHost: a\n\n", 400, "bad_request"),
        ("GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n", 400, "bad_request"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    ],
)
def test_what_is_not_a_request_is_refused(
    gateway: Gateway, text: str, status: int, code: str
) -> None:
    if text.startswith("CONNECT"):
        status, code = 501, "not_implemented"
    with Wire(gateway.port) as wire:
        wire.send(text.encode("latin-1"))
        assert_refused(wire, status, code)


def test_refusals_are_counted(stack: Stack) -> None:
    gateway = stack.gateway(port=None)
    for _ in range(3):
        with Wire(gateway.port) as wire:
            assert wire.send(b"nonsense\r\n\r\n").answer().status == 400
    [count] = re.findall(
        r'^stepwire_gateway_refusals_total\{code="bad_request",setting=""\} (\S+)$',
        gateway.client.get("/metrics").text,
        re.MULTILINE,
    )
    assert float(count) == 3


def test_the_host_of_an_absolute_address_wins(gateway: Gateway, session: str) -> None:
    path = f"/v1/sessions/{session}"
    with Wire(gateway.port) as wire:
        wire.send(request("GET", f"http://localhost:1{path}", "Host: stranger.example"))
        assert wire.answer().status == 200
        wire.send(request("GET", f"HTTP://stranger.example{path}", "Host: localhost"))
        answer = wire.answer()
        assert (answer.status, answer.json["code"]) == (403, "untrusted_host")


def test_what_follows_a_request_that_closes_is_not_answered(gateway: Gateway) -> None:
    with Wire(gateway.port) as wire:
        wire.send(request("GET", "/healthz", "Connection: close") + PROBE)
        assert wire.answer().status == 200
        assert wire.is_closed


def test_nothing_is_mixed_into_a_stream(gateway: Gateway, session: str) -> None:
    with Wire(gateway.port) as wire:
        wire.send(request("GET", f"/v1/sessions/{session}/events"))
        assert wire.head().status == 200
        assert wire.chunk().startswith(b"retry:")
        wire.send(b"nonsense\r\n\r\n")
        assert b"HTTP/1.1" not in wire.rest()


def test_one_request_has_one_answer_whatever_follows_it(gateway: Gateway) -> None:
    # Refused before the body was read; then the body turns out to be malformed.
    with Wire(gateway.port) as wire:
        wire.send(request("POST", "/nothing", CHUNKED))
        assert wire.answer().status == 404
        assert wire.send(b"nonsense\r\n").is_closed


# -- HTTP/1.0 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [(), ("Connection: keep-alive",), ("Connection: close",)])
def test_a_stream_of_http_1_0_has_no_chunks_and_ends_with_the_connection(
    gateway: Gateway, session: str, fields: tuple[str, ...]
) -> None:
    with Wire(gateway.port) as wire:
        wire.send(request("GET", f"/v1/sessions/{session}/events", *fields, version="1.0"))
        head = wire.head()
        assert head.all("connection") == ["close"]
        assert head.all("transfer-encoding") == head.all("content-length") == []
        assert wire.line().startswith("retry:")
        gateway.client.delete(f"/v1/sessions/{session}")
        frames = wire.rest().decode()
    assert frames.startswith("\nid: ")
    assert re.fullmatch(r"(?:[a-z]+: .*\n|\n)+", frames), frames


def test_a_stream_of_http_1_1_has_one_connection_header_at_most(
    gateway: Gateway, session: str
) -> None:
    for fields, expected in (((), []), (("Connection: close",), ["close"])):
        with Wire(gateway.port) as wire:
            wire.send(request("GET", f"/v1/sessions/{session}/events", *fields))
            head = wire.head()
            assert head.all("connection") == expected
            assert head.all("transfer-encoding") == ["chunked"]


def test_http_1_0_uploads_and_downloads(gateway: Gateway, session: str) -> None:
    with Wire(gateway.port) as wire:
        # RFC 9110, 10.1.1: from such a client the expectation is ignored.
        fields = ("Content-Length: 5", "Expect: 100-continue")
        wire.send(upload(session, *fields, version="1.0"), b"hello")
        answer = wire.answer()
        assert (answer.status, answer.all("connection")) == (201, ["close"])
        assert wire.is_closed
    with Wire(gateway.port) as wire:
        wire.send(request("GET", answer.json["url"], version="1.0"))
        assert wire.answer().body == b"hello"
        assert wire.is_closed


# -- Expect, and answers before the body -----------------------------------------------------------


def test_what_is_too_large_is_refused_before_it_is_asked_for(
    gateway: Gateway, session: str
) -> None:
    with Wire(gateway.port) as wire:
        wire.send(upload(session, "Expect: 100-continue", f"Content-Length: {TOO_LARGE}"))
        assert_refused(wire, 413, "body_too_large")


def test_an_expected_body_is_asked_for_once(gateway: Gateway, session: str) -> None:
    with Wire(gateway.port) as wire:
        for _ in range(2):
            wire.send(upload(session, "Expect: 100-continue", "Content-Length: 5"))
            assert wire.answer().status == 100
            assert wire.send(b"hello").answer().status == 201
    assert stored(gateway, session) == [b"hello", b"hello"]


def test_a_body_that_was_not_asked_for_leaves_no_doubt_where_the_next_request_begins(
    gateway: Gateway,
) -> None:
    # Some clients now send the body, others the next request: only closing is right for both.
    with Wire(gateway.port) as wire:
        wire.send(request("POST", "/nothing", "Expect: 100-continue", "Content-Length: 5"))
        assert_refused(wire, 404, "not_found")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_sends_on_can_read_why_it_was_refused(
    shared_stack: Stack, session: str, version: str
) -> None:
    gateway = shared_stack.gateway(port=None, STEPWIRE_AUTH_SECRETS=SECRET)
    size = 3 * 1024 * 1024
    with Wire(gateway.port) as wire:
        fields = ("Connection: close", f"Content-Length: {size}")
        wire.send(upload(session, *fields, version=version))
        # It does not look for an answer before all is sent, like most.
        for _ in range(size // 65536):
            wire.socket.sendall(b"x" * 65536)
        answer = wire.answer()
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
        assert answer.all("connection") == ["close"]
        # A reset could have overtaken the answer.
        assert wire.end() == b""


# -- methods and addresses -----------------------------------------------------------------------


# The answer says for how long something waits or lives, so that the next one can be longer.
TELL_SECONDS = (
    "/metrics",
    "/v1/queue",
    "/v1/workers",
    "/v1/sessions/{session_id}/runs/{run_id}/waiting",
)


def test_head_answers_what_get_answers_without_the_body(gateway: Gateway, session: str) -> None:
    element = gateway.upload(session, "x", b"hello")
    document = gateway.client.get("/openapi.json").json()
    run = gateway.start(session, "nothing")
    paths = [path for path, operations in document["paths"].items() if "get" in operations]
    assert len(paths) >= 7
    for path in [*paths, "/", "/openapi.json", "/inspector/index.html", "/nothing"]:
        address = path.format(session_id=session, run_id=run, id=element, element_id=element)
        with Wire(gateway.port) as wire:
            wire.send(request("GET", address))
            got = wire.head()
        with Wire(gateway.port) as wire:
            wire.send(request("HEAD", address) + PROBE)
            head = wire.answer("HEAD")
            # Nothing of a body came in between.
            assert wire.answer().json == {"status": "ok"}
        assert head.status == got.status, address
        # RFC 9110, 9.3.2: what is only known while the body is made may be left out.
        free = {"date", "transfer-encoding"}
        if path in TELL_SECONDS:
            assert int(head.all("content-length")[0]) > 0
            free.add("content-length")
        differing = {name for name, _ in set(got.headers) ^ set(head.headers)}
        assert differing <= free, address
    wait_until(
        lambda: "stepwire_gateway_streams 0.0" in gateway.client.get("/metrics").text,
        "no stream is held open",
    )


def test_head_of_what_is_not_there_is_404_and_of_what_takes_no_get_is_405(
    gateway: Gateway, session: str
) -> None:
    assert gateway.client.head("/v1/sessions/none/events").status_code == 404
    refused = gateway.client.head(f"/v1/sessions/{session}/messages")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    refused = gateway.client.put(f"/v1/sessions/{session}")
    assert refused.headers["allow"] == "DELETE, GET, HEAD"


@pytest.mark.parametrize("path", ["/v1/sessions/", "/healthz/", "/inspector", "/v1/tokens/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_slash_too_many_is_not_found_and_leads_nowhere_else(
    gateway: Gateway, method: str, path: str
) -> None:
    answer = gateway.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "location" not in answer.headers
