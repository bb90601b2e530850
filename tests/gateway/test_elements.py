"""Elements over HTTP: upload, download, ranges, and what a browser may do with them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import httpx
import pytest
from redis import Redis

from object_storage import URL, ObjectStorage
from sse import View, assert_dense, events
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.storage.object_store import PIECE_BYTES
from stepwire_gateway.http.served_types import DOWNLOADS, INLINE, served

REDIS_BYTES = 64 * 1024
MAX_BYTES = 12 * 1024 * 1024
SMALL = bytes(range(256)) * 4
LARGE = bytes(range(251)) * 40_000

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        picture = cl.Image(name="cat.png", content=b"\\x89PNG\\r\\n\\x1a\\n" + b"x" * 100_000)
        note = cl.Text(name="note", content="a note", display="side")
        async with cl.Step("look", elements=[picture, note]) as step:
            await step.stream_token("seen")
        await cl.Message("done", elements=[cl.File(url="https://example.org/a.zip")]).send()

    @cl.task
    async def remove(step_id):
        step = cl.Step(id=step_id)
        await step.send()
        await step.remove()
"""


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer, storage: ObjectStorage
) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("elements"), server.url) as stack:
        stack.env |= storage.env | {
            "STEPWIRE_ELEMENTS_URL": URL,
            "STEPWIRE_ELEMENTS_REDIS_BYTES": str(REDIS_BYTES),
            "STEPWIRE_ELEMENTS_MAX_BYTES": str(MAX_BYTES),
            "STEPWIRE_MAX_BODY_BYTES": "2048",
        }
        stack.worker(APP)
        yield stack


@pytest.fixture(scope="module")
def gateway(stack: Stack) -> Gateway:
    return stack.gateway()


@pytest.fixture(scope="module")
def without_storage(
    tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer
) -> Iterator[Gateway]:
    with Stack(tmp_path_factory.mktemp("no-storage"), server.url) as stack:
        yield stack.gateway(STEPWIRE_ELEMENTS_REDIS_BYTES=str(REDIS_BYTES))


def upload(
    gateway: Gateway,
    session: str,
    content: bytes | Iterator[bytes],
    name: str = "file.bin",
    content_type: str | None = None,
) -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    path = f"/v1/sessions/{session}/elements"
    return gateway.client.post(path, params={"name": name}, content=content, headers=headers)


def uploaded(gateway: Gateway, session: str, content: bytes, **fields: Any) -> dict[str, Any]:
    response = upload(gateway, session, content, **fields)
    assert response.status_code == 201, response.text
    element: dict[str, Any] = response.json()
    return element


def assert_problem(response: httpx.Response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code
    detail: str = response.json()["detail"]
    return detail


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_what_is_uploaded_is_what_any_gateway_serves(
    stack: Stack, gateway: Gateway, storage: ObjectStorage, server: EmbeddedServer, content: bytes
) -> None:
    session = gateway.create_session()
    response = upload(gateway, session, content, "data.bin", "application/x-data")
    element = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == element["url"]
    assert element["size"] == len(content)
    assert element["sha256"] == hashlib.sha256(content).hexdigest()
    assert (element["type"], element["mime"], element["name"]) == (
        "file",
        "application/x-data",
        "data.bin",
    )
    in_redis = Redis.from_url(server.url).hexists(SessionKeys.of(session).files, element["id"])
    in_storage = [name for name in storage.names() if name.endswith(f"/{element['id']}")]
    assert all(name.startswith(f"{session}/") for name in in_storage)
    assert (bool(in_redis), len(in_storage)) == (
        len(content) <= REDIS_BYTES,
        len(content) > REDIS_BYTES,
    )
    other = stack.gateway()
    answer = other.client.get(element["url"])
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert int(answer.headers["content-length"]) == len(content)
    assert other.snapshot(session)["elements"] == [element]


def test_a_body_without_a_length_is_taken_too(gateway: Gateway, storage: ObjectStorage) -> None:
    session = gateway.create_session()
    for count in (1, 2000):
        response = upload(gateway, session, iter([SMALL] * count))
        assert gateway.client.get(response.json()["url"]).content == SMALL * count


@pytest.mark.parametrize(
    ("content_type", "name", "mime", "kind"),
    [
        ("image/png", "x", "image/png", "image"),
        ("image/svg+xml", "x", "image/svg+xml", "file"),
        ("text/plain; charset=latin-1", "x", "text/plain; charset=latin-1", "text"),
        ("application/pdf", "x", "application/pdf", "pdf"),
        ("application/json", "x", "application/json", "json"),
        ("audio/mpeg", "x", "audio/mpeg", "audio"),
        ("VIDEO/mp4", "x", "VIDEO/mp4", "video"),
        (None, "cat.webp", "image/webp", "image"),
        (None, "a.tar.gz", "application/gzip", "file"),
        (None, "unknown", "application/octet-stream", "file"),
    ],
)
def test_the_media_type_is_the_one_given_else_that_of_the_name(
    gateway: Gateway, content_type: str | None, name: str, mime: str, kind: str
) -> None:
    session = gateway.create_session()
    element = uploaded(gateway, session, b"x", name=name, content_type=content_type)
    assert (element["mime"], element["type"]) == (mime, kind)


@pytest.mark.parametrize(
    ("content_type", "what"),
    [
        ("nonsense", "is not a media type"),
        ("text/html; \u00e9", "is not a media type"),
        ("a/" + "b" * 300, "is not a media type"),
        ("text/plain;,text/html", "is not a media type"),
        ('text/plain; charset="utf-8', "is not a media type"),
        ("multipart/form-data; boundary=x", "send the file itself"),
    ],
)
def test_a_content_type_that_is_none_is_refused(
    gateway: Gateway, content_type: str, what: str
) -> None:
    session = gateway.create_session()
    response = gateway.client.post(
        f"/v1/sessions/{session}/elements?name=x",
        content=b"x",
        headers={b"Content-Type": content_type.encode("latin-1")},
    )
    assert what in assert_problem(response, 415, "unsupported_media_type")
    assert response.headers["accept"] == "*/*"
    assert gateway.snapshot(session)["elements"] == []


@pytest.mark.parametrize("query", ["", "?name=", "?name=" + "x" * 256])
def test_an_upload_needs_a_name(gateway: Gateway, query: str) -> None:
    path = f"/v1/sessions/{gateway.create_session()}/elements{query}"
    assert "query.name" in assert_problem(
        gateway.client.post(path, content=b"x"), 422, "invalid_request"
    )


def test_an_upload_that_is_too_large_leaves_nothing(
    gateway: Gateway, storage: ObjectStorage
) -> None:
    session = gateway.create_session()
    chunk = b"x" * 1024 * 1024
    for content in (b"x" * (MAX_BYTES + 1), iter([chunk] * 13)):
        detail = assert_problem(upload(gateway, session, content), 413, "body_too_large")
        assert "STEPWIRE_ELEMENTS_MAX_BYTES" in detail
    assert gateway.snapshot(session)["elements"] == []
    assert not [key for key in storage.names() if key.startswith(session)]
    assert storage.unfinished_uploads() == []


def test_an_upload_of_the_largest_size_is_taken(gateway: Gateway) -> None:
    session = gateway.create_session()
    assert uploaded(gateway, session, b"x" * MAX_BYTES)["size"] == MAX_BYTES


def test_without_object_storage_uploads_end_where_redis_does(without_storage: Gateway) -> None:
    session = without_storage.create_session()
    assert uploaded(without_storage, session, b"x" * REDIS_BYTES)["size"] == REDIS_BYTES
    for content in (b"x" * (REDIS_BYTES + 1), iter([SMALL] * 65)):
        detail = assert_problem(upload(without_storage, session, content), 413, "body_too_large")
        assert "STEPWIRE_ELEMENTS_REDIS_BYTES" in detail
        assert "STEPWIRE_ELEMENTS_URL" in detail


@pytest.mark.parametrize("session", ["never-created", "%7Bx%7D", "x" * 200])
def test_nothing_is_uploaded_into_an_unknown_session(gateway: Gateway, session: str) -> None:
    assert_problem(upload(gateway, session, b"x"), 404, "session_not_found")
    path = f"/v1/sessions/{session}/elements/some"
    assert_problem(gateway.client.get(path), 404, "session_not_found")


@pytest.mark.parametrize("element", ["never-added", "%7Bx%7D", "a b", "x" * 200])
def test_an_unknown_element_is_not_found(gateway: Gateway, element: str) -> None:
    path = f"/v1/sessions/{gateway.create_session()}/elements/{element}"
    assert_problem(gateway.client.get(path), 404, "element_not_found")
    assert gateway.client.head(path).status_code == 404


def test_an_element_of_another_session_is_not_found(gateway: Gateway) -> None:
    element = uploaded(gateway, gateway.create_session(), SMALL)
    path = f"/v1/sessions/{gateway.create_session()}/elements/{element['id']}"
    assert_problem(gateway.client.get(path), 404, "element_not_found")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_range_is_what_is_answered(gateway: Gateway, content: bytes) -> None:
    session, size = gateway.create_session(), len(content)
    url = uploaded(gateway, session, content)["url"]
    for header, start, stop in [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=-5", size - 5, size),
        (f"bytes={size - 1}-", size - 1, size),
        (f"bytes=7-{size + 99}", 7, size),
        ("bytes=0-", 0, size),
        (f"bytes=3-{PIECE_BYTES + 5}", 3, min(size, PIECE_BYTES + 6)),
    ]:
        response = gateway.client.get(url, headers={"Range": header})
        assert response.status_code == 206, header
        assert response.content == content[start:stop], header
        assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert int(response.headers["content-length"]) == stop - start
    for header in ("bytes=0-1,4-5", "bytes=5-2", "lines=1-2"):
        response = gateway.client.get(url, headers={"Range": header})
        assert (response.status_code, response.content) == (200, content), header
    for header in (f"bytes={size}-", "bytes=-0"):
        response = gateway.client.get(url, headers={"Range": header})
        assert_problem(response, 416, "range_not_satisfiable")
        assert response.headers["content-range"] == f"bytes */{size}"


def test_an_empty_element_has_no_range(gateway: Gateway) -> None:
    url = uploaded(gateway, gateway.create_session(), b"")["url"]
    response = gateway.client.get(url, headers={"Range": "bytes=0-"})
    assert response.headers["content-range"] == "bytes */0"
    assert_problem(response, 416, "range_not_satisfiable")


def test_a_client_that_has_the_bytes_gets_none(gateway: Gateway) -> None:
    url = uploaded(gateway, gateway.create_session(), LARGE)["url"]
    etag = gateway.client.get(url).headers["etag"]
    for tag in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = gateway.client.get(url, headers={"If-None-Match": tag})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
        assert response.headers["cache-control"] == "private, no-cache"
    assert gateway.client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_range_of_what_is_now_something_else_is_answered_with_all_of_it(gateway: Gateway) -> None:
    url = uploaded(gateway, gateway.create_session(), SMALL)["url"]
    etag = gateway.client.head(url).headers["etag"]
    same = gateway.client.get(url, headers={"Range": "bytes=0-3", "If-Range": etag})
    other = gateway.client.get(url, headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_head_request_gets_the_headers_alone(gateway: Gateway, content: bytes) -> None:
    url = uploaded(gateway, gateway.create_session(), content)["url"]
    head = gateway.client.head(url, headers={"Range": "bytes=0-3"})
    get = gateway.client.get(url)
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-type", "content-length", "etag", "accept-ranges", "content-security-policy")
    assert [head.headers[name] for name in same] == [get.headers[name] for name in same]


HOSTILE = b"<script>fetch('/v1/sessions', {method: 'POST'})</script>"


@pytest.mark.parametrize(
    "mime",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "text/javascript",
        "application/octet-stream",
        "text/markdown",
        "x/y",
    ],
)
def test_what_could_run_in_our_origin_is_sandboxed_and_a_download(
    gateway: Gateway, mime: str
) -> None:
    url = uploaded(gateway, gateway.create_session(), HOSTILE, name="a.html", content_type=mime)[
        "url"
    ]
    for response in (
        gateway.client.get(url),
        gateway.client.get(url, headers={"Range": "bytes=0-7"}),
        gateway.client.head(url),
    ):
        policy = [part.strip() for part in response.headers["content-security-policy"].split(";")]
        assert "sandbox" in policy
        assert "default-src 'none'" in policy
        assert "script-src" not in " ".join(policy)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-disposition"].startswith("attachment;")
        type_ = response.headers["content-type"].partition(";")[0]
        assert type_ in DOWNLOADS | {"application/octet-stream"}


@pytest.mark.parametrize("mime", sorted(INLINE))
def test_what_runs_nothing_is_shown_inline(gateway: Gateway, mime: str) -> None:
    url = uploaded(gateway, gateway.create_session(), HOSTILE, content_type=mime)["url"]
    headers = gateway.client.get(url).headers
    assert headers["content-type"].removesuffix("; charset=utf-8") == mime
    assert headers["content-disposition"].startswith("inline;")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("sandbox;")


def test_a_type_is_sent_as_the_table_writes_it(gateway: Gateway) -> None:
    session = gateway.create_session()
    unknown = "application/octet-stream"
    for given, sent in {
        "text/plain": "text/plain; charset=utf-8",
        "TEXT/Plain;format=flowed ; Charset=UTF8": "text/plain; charset=utf-8",
        "text/plain; charset=latin-1": "text/plain; charset=iso-8859-1",
        'text/plain; charset="KOI8-R"': "text/plain; charset=koi8-r",
        "text/plain; charset=utf-7": unknown,
        'text/plain; x=";charset=koi8-r"': "text/plain; charset=utf-8",
        "text/plain; charset=utf-8; charset=utf-7": "text/plain; charset=utf-8",
        "application/json; charset=utf-7": "application/json",
        "image/JPG": "image/jpeg",
        "image/svg+xml": "image/svg+xml",
        "text/csv": "text/csv; charset=utf-8",
        "text/html": unknown,
        "text/javascript": unknown,
        "text/css": unknown,
    }.items():
        url = uploaded(gateway, session, b"x", content_type=given)["url"]
        headers = gateway.client.get(url).headers
        assert headers["content-type"] == sent, given
        assert headers["content-disposition"].startswith("inline") is (
            sent.partition(";")[0] in INLINE
        )


@pytest.mark.parametrize(
    "mime", ["text/plain;,text/html", "nonsense", "", "a/b\r\nX: y", "\u00e9/x"]
)
def test_a_type_that_an_older_version_has_taken_is_not_passed_on(mime: str) -> None:
    content_type, disposition = served(mime, "x")
    assert content_type == "application/octet-stream"
    assert disposition.startswith("attachment;")


def test_a_packed_body_is_refused_and_the_answer_says_what_to_do(gateway: Gateway) -> None:
    session = gateway.create_session()
    path, packed = f"/v1/sessions/{session}/elements?name=a.txt", gzip.compress(b"x" * 100)
    for coding in ("gzip", "GZIP", "x-gzip", "br", "identity, gzip"):
        headers = {"Content-Type": "text/plain", "Content-Encoding": coding}
        response = gateway.client.post(path, content=packed, headers=headers)
        detail = assert_problem(response, 415, "unsupported_media_type")
        assert coding in detail
        assert "application/gzip" in detail
        # RFC 9110, section 15.5.16
        assert response.headers["accept-encoding"] == "identity"
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    message = gzip.compress(b'{"content": "x"}')
    path = f"/v1/sessions/{session}/messages"
    response = gateway.client.post(path, content=message, headers=headers)
    assert_problem(response, 415, "unsupported_media_type")
    snapshot = gateway.snapshot(session)
    assert (snapshot["elements"], snapshot["steps"]) == ([], [])
    headers = {"Content-Type": "application/json", "Content-Encoding": "identity"}
    response = gateway.client.post(path, content=b'{"content": "x"}', headers=headers)
    assert response.status_code == 202
    # The archive itself is a file like any other.
    element = uploaded(gateway, session, packed, name="a.gz", content_type="application/gzip")
    answer = gateway.client.get(element["url"])
    assert (answer.content, answer.headers["content-type"]) == (packed, "application/gzip")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("name", "saved_as", "plain"),
    [
        ("report.pdf", "report.pdf", "report.pdf"),
        ('a"b;c.txt', 'a"b;c.txt', "a_b;c.txt"),
        ("gr\u00fc\u00df e.txt", "gr\u00fc\u00df e.txt", "gr__ e.txt"),
        ("100%41.txt", "100%41.txt", "100_41.txt"),
        ("a\r\nSet-Cookie: x=1", "a__Set-Cookie: x=1", "a__Set-Cookie_ x=1"),
        ("../..\\x", ".._.._x", ".._.._x"),
        # Shown from right to left it would end in .txt.
        ("cod\u202etxt.exe", "cod_txt.exe", "cod_txt.exe"),
        ("\U0001f469\u200d\U0001f4bb.png", "\U0001f469\u200d\U0001f4bb.png", "___.png"),
    ],
)
def test_any_name_stands_safely_in_a_header(
    gateway: Gateway, name: str, saved_as: str, plain: str
) -> None:
    element = uploaded(gateway, gateway.create_session(), b"x", name=name)
    assert element["name"] == name
    headers = gateway.client.get(element["url"]).headers
    assert "set-cookie" not in headers
    match = re.fullmatch(
        r"(?:inline|attachment); filename=\"([ -~]*)\"; filename\*=UTF-8''([!-~]+)",
        headers["content-disposition"],
    )
    assert match is not None
    assert match[1] == plain
    assert unquote(match[2]) == saved_as
    assert not set(match[2]) & set('"; ')


@pytest.mark.parametrize("name", ["%ED%A0%BD", "%FF", "a%C3"])
def test_a_name_that_is_not_utf_8_is_refused(gateway: Gateway, name: str) -> None:
    session = gateway.create_session()
    response = gateway.client.post(f"/v1/sessions/{session}/elements?name={name}", content=b"x")
    assert "not UTF-8" in assert_problem(response, 422, "invalid_request")
    assert gateway.snapshot(session)["elements"] == []


def test_an_element_at_a_url_of_its_own_is_not_redirected_to(gateway: Gateway) -> None:
    session = gateway.create_session()
    run = gateway.send(session, "look")["run_id"]
    gateway.wait_for_end(session, run)
    [element] = [item for item in gateway.snapshot(session)["elements"] if item["size"] is None]
    assert element["url"] == "https://example.org/a.zip"
    path = f"/v1/sessions/{session}/elements/{element['id']}"
    response = gateway.client.get(path, follow_redirects=False)
    assert_problem(response, 404, "element_not_found")


@pytest.mark.anyio
async def test_elements_come_over_the_wire_after_their_step_and_once(gateway: Gateway) -> None:
    session = gateway.create_session()
    received = []
    view = View()
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        with anyio.fail_after(30):
            async for event in events(client, f"/v1/sessions/{session}/events"):
                received.append(event)
                view.fold(event)
                if event.type == "snapshot":
                    await anyio.to_thread.run_sync(gateway.send, session, "look")
                if event.type == "run.end":
                    break
    assert_dense(received)
    order = [
        (event.type, event.data.get("name"))
        for event in received
        if event.type != "step.delta" and event.type.startswith(("step", "element"))
    ]
    assert order[2:] == [
        ("step.start", "look"),
        ("element.add", "cat.png"),
        ("element.add", "note"),
        ("step.end", "look"),
        ("step.start", "Assistant"),
        ("element.add", "a.zip"),
        ("step.end", "Assistant"),
    ]
    snapshot = gateway.snapshot(session)
    assert view.same_as(snapshot)
    [look] = [step for step in snapshot["steps"] if step["name"] == "look"]
    added = [event.data for event in received if event.type == "element.add"]
    assert snapshot["elements"] == added
    assert look["elements"] == [element["id"] for element in added[:2]]
    assert [element["step_id"] for element in added[:2]] == [look["id"]] * 2
    assert all(b"xxxxxxxxxx" not in json.dumps(event.data).encode() for event in received)
    assert [gateway.client.get(element["url"]).content[-3:] for element in added[:2]] == [
        b"xxx",
        b"ote",
    ]


def test_removing_a_step_removes_its_elements_and_their_bytes(
    gateway: Gateway, storage: ObjectStorage, server: EmbeddedServer
) -> None:
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "look")["run_id"])
    before = gateway.snapshot(session)
    [look] = [step for step in before["steps"] if step["name"] == "look"]
    urls = [item["url"] for item in before["elements"] if item["step_id"] == look["id"]]
    assert [key for key in storage.names() if key.startswith(session)]
    body = {"task": "remove", "args": {"step_id": look["id"]}}
    run = gateway.client.post(f"/v1/sessions/{session}/runs", json=body).json()["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert [item["name"] for item in gateway.snapshot(session)["elements"]] == ["a.zip"]
    for url in urls:
        assert_problem(gateway.client.get(url), 404, "element_not_found")
    assert not [key for key in storage.names() if key.startswith(session)]
    assert not Redis.from_url(server.url).exists(SessionKeys.of(session).files)


def test_bytes_that_are_gone_from_the_storage_are_not_found(
    gateway: Gateway, storage: ObjectStorage
) -> None:
    session = gateway.create_session()
    element = uploaded(gateway, session, LARGE)
    [name] = [name for name in storage.names() if name.endswith(f"/{element['id']}")]
    httpx.delete(f"{storage.endpoint}/stepwire/some/prefix/{name}")
    assert_problem(gateway.client.get(element["url"]), 404, "element_not_found")


def test_a_storage_that_does_not_answer_is_503_and_does_not_say_where_it_is(
    stack: Stack, gateway: Gateway, server: EmbeddedServer
) -> None:
    session = gateway.create_session()
    url = uploaded(gateway, session, LARGE)["url"]
    lost = stack.gateway(AWS_ENDPOINT_URL="http://127.0.0.1:1")
    for response in (lost.client.get(url), upload(lost, session, LARGE)):
        detail = assert_problem(response, 503, "store_unavailable")
        assert "STEPWIRE_ELEMENTS_URL" in detail
        assert "127.0.0.1" not in detail
        assert int(response.headers["retry-after"]) > 0
    assert "object storage failed" in lost.child.output
    assert len(gateway.snapshot(session)["elements"]) == 1


def test_a_gateway_with_a_wrong_url_does_not_start(tmp_path: Path, server: EmbeddedServer) -> None:
    with Stack(tmp_path, server.url) as stack, pytest.raises(AssertionError) as raised:
        stack.gateway(STEPWIRE_ELEMENTS_URL="https://bucket")
    assert "STEPWIRE_ELEMENTS_URL='https://bucket'" in str(raised.value)


def test_all_keys_of_a_session_with_elements_expire_at_one_instant(
    gateway: Gateway, server: EmbeddedServer
) -> None:
    session = gateway.create_session()
    uploaded(gateway, session, SMALL)
    gateway.wait_for_end(session, gateway.send(session, "look")["run_id"])
    redis = Redis.from_url(server.url)
    keys: Any = redis.keys(f"*{session}*")
    assert SessionKeys.of(session).files.encode() in keys
    assert len({redis.execute_command("PEXPIRETIME", key) for key in keys}) == 1


def test_without_redis_elements_are_503(tmp_path: Path) -> None:
    with embedded_server() as server, Stack(tmp_path, server.url) as stack:
        gateway = stack.gateway()
        session = gateway.create_session()
        url = uploaded(gateway, session, SMALL)["url"]
        server.kill()
        assert_problem(gateway.client.get(url), 503, "store_unavailable")
        assert_problem(upload(gateway, session, SMALL), 503, "store_unavailable")


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(
    gateway: Gateway, storage: ObjectStorage
) -> None:
    session = gateway.create_session()

    def broken() -> Iterator[bytes]:
        for _ in range(8):
            yield b"x" * 1024 * 1024
        wait_until(lambda: storage.unfinished_uploads() != [], "the upload to begin")
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        upload(gateway, session, broken())
    wait_until(lambda: storage.unfinished_uploads() == [], "the upload to be aborted")
    assert gateway.snapshot(session)["elements"] == []
    assert not [key for key in storage.names() if key.startswith(session)]
    assert gateway.child.output.count("Traceback") == 0


def test_a_session_does_not_share_its_objects_with_the_next_one_of_its_id(
    gateway: Gateway, storage: ObjectStorage, server: EmbeddedServer
) -> None:
    def names() -> list[str]:
        return [name for name in storage.names() if name.startswith(session)]

    session = gateway.create_session()
    uploaded(gateway, session, LARGE)
    [old] = names()
    redis = Redis.from_url(server.url)
    # It has expired, which is not announced: a rule of the bucket deletes its objects.
    keys: Any = redis.keys(f"*{session}*")
    redis.delete(*keys)
    gateway.create_session(session)
    element = uploaded(gateway, session, LARGE)
    [new] = set(names()) - {old}
    assert old.rpartition("/")[0] != new.rpartition("/")[0]
    assert gateway.client.get(element["url"]).content == LARGE
    assert gateway.client.delete(f"/v1/sessions/{session}").status_code == 204
    assert names() == [old]


def test_objects_of_a_session_that_an_older_version_has_made_are_found_and_deleted(
    gateway: Gateway, storage: ObjectStorage, server: EmbeddedServer
) -> None:
    session = gateway.create_session()
    uploaded(gateway, session, LARGE)
    [another] = [name for name in storage.names() if name.startswith(session)]
    redis = Redis.from_url(server.url)
    redis.hdel(SessionKeys.of(session).meta, "born")
    element = uploaded(gateway, session, LARGE)
    assert f"{session}/{element['id']}" in storage.names()
    assert gateway.client.get(element["url"]).content == LARGE
    assert gateway.client.delete(f"/v1/sessions/{session}").status_code == 204
    assert [name for name in storage.names() if name.startswith(session)] == [another]
