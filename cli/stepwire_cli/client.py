"""What the commands ask of a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import httpx
from httpx_sse import ServerSentEvent, connect_sse

from stepwire_core.errors import StepwireError, StoreUnavailable

NEW_SESSION: Final = "-"

_TIMEOUT = httpx.Timeout(10.0, read=None)


class GatewayRefused(StepwireError):
    """The gateway answered with a problem; the message is its detail."""


class StreamLost(Exception):
    """The stream ended or broke; it can be opened again from the last cursor."""


def send_message(session: str, text: str, *, url: str) -> str:
    """Send a message, into a new session if ``session`` is ``-``; the session's id.

    Raises:
        GatewayRefused: the gateway said no.
        StoreUnavailable: no gateway answers.
    """
    with _gateway(url) as client:
        if session == NEW_SESSION:
            session = _checked(client.post("/v1/sessions"))["session_id"]
        _checked(client.post(f"/v1/sessions/{quote(session)}/messages", json={"content": text}))
    return session


def read_events(session: str, *, url: str, after: str | None) -> Iterator[ServerSentEvent]:
    """The session's events from a cursor on.

    Raises:
        StreamLost: it ended; open it again from the last event's id.
        GatewayRefused: the gateway said no.
        StoreUnavailable: no gateway answers.
    """
    with _gateway(url) as client:
        yield from _stream(client, session, after)


def _stream(client: httpx.Client, session: str, after: str | None) -> Iterator[ServerSentEvent]:
    headers = {"Last-Event-ID": after} if after else {}
    path = f"/v1/sessions/{quote(session)}/events"
    with connect_sse(client, "GET", path, headers=headers) as stream:
        if stream.response.status_code != httpx.codes.OK:
            stream.response.read()
            _checked(stream.response)
        try:
            yield from stream.iter_sse()
        except httpx.TransportError as error:
            raise StreamLost from error
    raise StreamLost


@contextmanager
def _gateway(url: str) -> Iterator[httpx.Client]:
    try:
        with httpx.Client(base_url=url, timeout=_TIMEOUT) as client:
            yield client
    except httpx.ConnectError as error:
        raise StoreUnavailable(
            f"no gateway answers at {url}: start one with 'stepwire dev app.py' or "
            "'stepwire gateway', or give its address with --url"
        ) from error
    except httpx.UnsupportedProtocol as error:
        raise GatewayRefused(
            f"--url {url!r} is not an address such as http://127.0.0.1:8000"
        ) from error


def _checked(response: httpx.Response) -> dict[str, str]:
    if response.is_success:
        body: dict[str, str] = response.json()
        return body
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"HTTP {response.status_code}"
    raise GatewayRefused(detail)
