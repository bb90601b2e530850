"""A gateway as clients reach it: through all proxies in front of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final

import httpx

from stepwire_cli.doctor.finding import Finding, error, ok, unknown, warning
from stepwire_core.settings import is_loopback

TIMEOUT_S: Final = 10.0
FIRST_BYTES_S: Final = 3.0
"""A gateway sends the first line of a stream at once; later, something on the way holds it back."""

MAX_SKEW_S: Final = 5.0
"""Dates of HTTP are whole seconds."""

_STREAM: Final = "/v1/events"


def look_at_gateway(url: str, token: str | None) -> list[Finding]:
    """Checks a gateway through ``url`` as any client would; nothing is changed there."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    found: list[Finding] = []
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S) as http:
        try:
            alive = http.get("/healthz")
        except httpx.HTTPError as fault:
            todo = "start one there, or give another address with --gateway"
            return [error("gateway", "address", f"{url} does not answer: {fault}", todo)]
        if not _is_ours(alive):
            todo = "give its address, with the path under which a proxy publishes it"
            return [error("gateway", "address", f"what answers at {url} is not a gateway", todo)]
        for look in (_address, _ready, _version, _clock, _stream):
            try:
                found += look(http, alive)
            except httpx.HTTPError as fault:
                name = look.__name__.removeprefix("_")
                found.append(unknown("gateway", name, f"it did not answer: {fault!r}"))
    return found


def _is_ours(alive: httpx.Response) -> bool:
    with suppress(ValueError):
        return alive.status_code == 200 and alive.json() == {"status": "ok"}
    return False


def _address(http: httpx.Client, _alive: httpx.Response) -> Iterator[Finding]:
    url = http.base_url
    if url.scheme == "https" or is_loopback(url.host):
        yield ok("gateway", "address", str(url))
    else:
        yield warning(
            "gateway",
            "address",
            f"{url} is not encrypted: tokens and answers can be read on the way",
            "serve it by https; then all tabs share one connection, too (HTTP/2)",
        )


def _ready(http: httpx.Client, _alive: httpx.Response) -> Iterator[Finding]:
    ready = http.get("/readyz")
    said, problems = ready.text[:300], []
    with suppress(ValueError, AttributeError):
        answer = ready.json()
        said, problems = answer.get("detail", said), answer.get("problems", [])
    if ready.status_code == 200 and problems:
        away = f"a part of the log is away: {'; '.join(map(str, problems))}"
        yield warning("gateway", "ready", away, "repair that node; the sessions there wait for it")
        return
    if ready.status_code == 200:
        yield ok("gateway", "ready", "it reaches Redis, and events arrive")
        return
    yield error("gateway", "ready", f"it is not ready: {said}", "follow what it says about Redis")


def _version(http: httpx.Client, _alive: httpx.Response) -> Iterator[Finding]:
    own = version("stepwire")
    try:
        theirs = str(http.get("/openapi.json").json()["info"]["version"])
    except (ValueError, LookupError, TypeError):
        yield unknown("gateway", "version", "/openapi.json, which has it, cannot be read")
        return
    if theirs == own:
        yield ok("gateway", "version", own)
    else:
        todo = "this is expected during an upgrade; otherwise bring all to one version"
        yield warning("gateway", "version", f"it is {theirs}, this command {own}", todo)


def _clock(_http: httpx.Client, alive: httpx.Response) -> Iterator[Finding]:
    try:
        skew_s = parsedate_to_datetime(alive.headers["date"]).timestamp() - time.time()
    except (KeyError, ValueError):
        return
    if abs(skew_s) > MAX_SKEW_S:
        yield error(
            "gateway",
            "clock",
            f"its clock, or that of the proxy, is {abs(skew_s):.0f} s off that of this machine",
            "run NTP on both: tokens are valid only between two times",
        )
    else:
        yield ok("gateway", "clock", f"within {MAX_SKEW_S:g} s of this machine's")


def _stream(http: httpx.Client, _alive: httpx.Response) -> Iterator[Finding]:
    """Whether events arrive while the stream is open."""
    first = httpx.Timeout(TIMEOUT_S, read=FIRST_BYTES_S)
    with suppress(httpx.ReadTimeout):
        with http.stream("GET", _STREAM, timeout=first) as stream:
            if stream.status_code in (401, 403):
                yield unknown(
                    "gateway",
                    "streams",
                    "no stream could be opened without a token that may read (--token-file)",
                )
                return
            if stream.status_code != 200:
                todo = "look at the log of the gateway, and at the rules of the proxy for /v1/"
                said = f"a stream was answered with {stream.status_code}"
                yield error("gateway", "streams", said, todo)
                return
            yield from _headers(stream)
            for piece in stream.iter_raw():
                if piece:
                    yield ok("gateway", "streams", "events arrive at once")
                    return
        yield error(
            "gateway",
            "streams",
            "a stream ended before its first event",
            "look at the time limits of the proxy, and at the log of the gateway",
        )
        return
    yield error(
        "gateway",
        "streams",
        f"nothing of a stream arrived within {FIRST_BYTES_S:g} s: a proxy holds it back",
        "switch its buffering off (nginx: proxy_buffering off), and compression of "
        "text/event-stream",
    )


def _headers(stream: httpx.Response) -> Iterator[Finding]:
    if (encoding := stream.headers.get("content-encoding")) is not None:
        yield warning(
            "gateway",
            "compression",
            f"a proxy compresses streams ({encoding}), and may hold events back for it",
            "exclude text/event-stream from compression",
        )
    if not stream.headers.get("content-type", "").startswith("text/event-stream"):
        yield error(
            "gateway",
            "streams",
            f"a stream came as {stream.headers.get('content-type')!r}",
            "let the proxy pass Content-Type on unchanged",
        )
