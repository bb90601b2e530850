"""What the commands ask of a gateway."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast, get_args
from urllib.parse import quote

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from stepwire_cli.reply import answer_of, chosen_ask
from stepwire_core.errors import StepwireError, StoreUnavailable
from stepwire_core.wire.documents import AskDocument, EndStatus

NEW_SESSION: Final = "-"

_TIMEOUT_S: Final = 10.0
_UPLOAD_TIMEOUT_S: Final = 60.0
"""The gateway may have to put a large file somewhere else before it answers."""

_BEGIN_CHARS: Final = 2_000
"""So much of a stream is kept, to see whether it is empty."""

_SILENCE_S: Final = 60.0
"""A stream without even a ping for this long is dead: the gateway sends one every 15 s."""


class GatewayRefused(StepwireError):
    """The gateway answered with a problem; the message is its detail."""


class StreamLost(Exception):
    """The stream ended or broke; it can be opened again from the last cursor."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        """Of a stream that was empty: what the gateway said in a comment."""
        super().__init__(why)


def send_message(
    session: str, text: str, *, url: str, token: str | None = None, files: Sequence[Path] = ()
) -> str:
    """Send a message, into a new session if ``session`` is ``-``; the session's id.

    Raises:
        GatewayRefused: the gateway said no.
        StoreUnavailable: no gateway answers.
    """
    with _gateway(url, token) as client:
        if session == NEW_SESSION:
            session = str(_checked(client.post("/v1/sessions"))["session_id"])
        elements = [_upload(client, session, file) for file in files]
        body = {"content": text, "elements": elements}
        _checked(client.post(f"{_path(session)}/messages", json=body))
    return session


def send_answer(
    session: str,
    text: str,
    *,
    url: str,
    token: str | None = None,
    ask: str | None = None,
    files: Sequence[Path] = (),
) -> str:
    """Answer what a handler asks: ``ask``, or how its id begins; else the only open one. Its id.

    Raises:
        InvalidArgument: nothing, or more than one, is asked, or this is no answer to it.
        GatewayRefused: the gateway said no; somebody else was quicker, say.
        StoreUnavailable: no gateway answers.
    """
    with _gateway(url, token) as client:
        found = chosen_ask(_asks(_checked(client.get(_path(session)))), ask)
        # Checked before anything is uploaded: what is in the session stays there.
        answer = answer_of(found, text, files)
        if files:
            answer = {"files": [_upload(client, session, file) for file in files]}
        _checked(client.post(f"{_path(session)}/asks/{quote(found.id, safe='')}", json=answer))
    return found.id


def cancel_runs(session: str, run: str | None, *, url: str, token: str | None = None) -> list[str]:
    """Cancel a run; without one, all that the session's snapshot shows as open. Their ids.

    Raises:
        GatewayRefused: the gateway said no: there is no such session or run, say.
        StoreUnavailable: no gateway answers.
    """
    with _gateway(url, token) as client:
        runs = [run] if run is not None else _open_runs(_checked(client.get(_path(session))))
        for each in runs:
            _checked(client.post(f"{_path(session)}/runs/{quote(each, safe='')}/cancel"))
    return runs


def delete_session(session: str, *, url: str, token: str | None = None) -> None:
    """Delete a session with all that it has, for everybody.

    Raises:
        GatewayRefused: the gateway said no: there is no such session, say.
        StoreUnavailable: no gateway answers; again is safe.
    """
    with _gateway(url, token) as client:
        _checked(client.delete(_path(session)))


def new_token(body: Mapping[str, object], *, url: str, token: str | None = None) -> str:
    """A token that the gateway makes, as ``POST /v1/tokens`` takes it.

    Raises:
        GatewayRefused: the gateway said no: ``token`` is not an API key, say.
        StoreUnavailable: no gateway answers.
    """
    with _gateway(url, token) as client:
        return str(_checked(client.post("/v1/tokens", json=body))["token"])


def _open_runs(snapshot: dict[str, Any]) -> list[str]:
    return [
        str(run["run_id"])
        for run in snapshot.get("runs", ())
        if run.get("status") not in get_args(EndStatus) or run.get("will_retry")
    ]


def _asks(snapshot: dict[str, Any]) -> list[AskDocument]:
    """The documents that this version can read."""
    found = []
    for ask in snapshot.get("asks", ()):
        with suppress(ValueError):
            found.append(AskDocument.model_validate(ask))
    return found


def _upload(client: httpx.Client, session: str, file: Path) -> str:
    """The id of its element. Its type is for the gateway to tell, from the name."""
    timeout = httpx.Timeout(_TIMEOUT_S, read=_UPLOAD_TIMEOUT_S)
    path, name = f"{_path(session)}/elements", {"name": file.name}
    with file.open("rb") as content:
        element = _checked(client.post(path, params=name, content=content, timeout=timeout))
    return str(element["id"])


def read_events(
    session: str, *, url: str, token: str | None = None, after: str | None
) -> Generator[ServerSentEvent, None, None]:
    """The session's events from a cursor on. Close it: it holds a connection.

    Raises:
        StreamLost: it ended; open it again from the last event's id.
        GatewayRefused: the gateway said no.
        StoreUnavailable: no gateway answers.
    """
    with _gateway(url, token) as client:
        yield from _stream(client, session, after)


def _stream(
    client: httpx.Client, session: str, after: str | None
) -> Generator[ServerSentEvent, None, None]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after:
        headers["Last-Event-ID"] = after
    timeout = httpx.Timeout(_TIMEOUT_S, read=_SILENCE_S)
    path, heard = f"{_path(session)}/events", ""
    try:
        with client.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                _checked(response)
            overheard = _Overheard(response)
            yield from EventSource(cast("httpx.Response", overheard)).iter_sse()
            heard = overheard.comment
    except httpx.ConnectError:
        raise
    except SSEError as error:
        raise GatewayRefused(
            f"{client.base_url} does not answer as a stepwire gateway does: {error}"
        ) from error
    except httpx.TransportError as error:
        raise StreamLost from error
    raise StreamLost(heard)


class _Overheard:
    """As much of a response as the library reads, which drops comments: what they say is kept."""

    def __init__(self, response: httpx.Response) -> None:
        self.headers = response.headers
        self._response = response
        self._begin = ""

    def iter_text(self) -> Iterator[str]:
        for text in self._response.iter_text():
            self._begin += text[: _BEGIN_CHARS - len(self._begin)]
            yield text

    @property
    def comment(self) -> str:
        """Of a stream without events: why it has none, if the gateway has said so."""
        lines = self._begin.split("\n")
        if any(line.startswith("data:") for line in lines):
            return ""
        return " ".join(line[1:].strip() for line in lines if line.startswith(":"))


def _path(session: str) -> str:
    return f"/v1/sessions/{quote(session, safe='')}"


@contextmanager
def _gateway(url: str, token: str | None) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S) as client:
            yield client
    except httpx.ConnectError as error:
        raise StoreUnavailable(
            f"no gateway answers at {url}: start one with 'stepwire dev app.py' or "
            "'stepwire gateway', or give its address with --url"
        ) from error
    except httpx.TransportError as error:
        raise StoreUnavailable(f"the gateway at {url} did not answer in full: {error}") from error


def _checked(response: httpx.Response) -> dict[str, Any]:
    """The answer's body.

    Raises:
        GatewayRefused: the gateway said no.
        StoreUnavailable: it cannot at the moment, or a proxy in front of it cannot.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    if response.status_code == httpx.codes.NO_CONTENT:
        return {}
    detail = f"{response.url} answered HTTP {response.status_code}"
    if isinstance(body, dict):
        detail = str(body.get("detail", detail))
    if response.status_code == httpx.codes.UNAUTHORIZED:
        detail += "; give the command one with --token-file, or in STEPWIRE_TOKEN"
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise StoreUnavailable(detail)
    raise GatewayRefused(detail)
