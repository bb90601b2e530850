"""Requests to one gateway: with a token, in time, and repeated where that does no harm."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx

from stepwire.client._gateway_errors import (
    BadAnswer,
    GatewayError,
    NoAnswer,
    NotFound,
    Unavailable,
    error_of,
    not_a_gateway,
    object_in,
)
from stepwire.client._http import Request, Upload
from stepwire.client._tokens import Tokens
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.ids import new_id

if TYPE_CHECKING:
    from stepwire.client._http import Answer, AsyncGetToken, Http

FIRST_BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 10.0

UPLOAD_TIMEOUT_S: Final = 60.0
"""The gateway may have to put a large file somewhere else before it answers."""

_STILL_IN_PROGRESS: Final = "still_in_progress"
_SESSION_NOT_FOUND: Final = "session_not_found"


class Requests:
    """Requests to the gateway at ``url``."""

    def __init__(
        self,
        http: Http,
        url: str,
        get_token: AsyncGetToken | None,
        *,
        timeout_s: float,
        max_retries: int,
    ) -> None:
        self.http = http
        self.url: str = checked_url(url)
        self.timeout_s = timeout_s
        self._tokens = Tokens(http, get_token)
        self.max_retries = max_retries

    async def json(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """The object that the gateway answers with; empty for 204.

        Raises:
            GatewayError: the gateway said no, or gave no answer, also when it was asked again.
        """
        content = None if body is None else _json(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return await self._repeated(method, path, headers, content)

    async def upload(self, path: str, content: Upload, mime: str | None) -> dict[str, Any]:
        """Send a file.

        Raises:
            GatewayError: as of :meth:`json`.
        """
        headers = {} if content.size is None else {"Content-Length": str(content.size)}
        if mime is not None:
            headers["Content-Type"] = mime
        return await self._repeated("POST", path, headers, content)

    async def text(self, path: str) -> str:
        """The body of an answer, as text."""
        async with self.opened("GET", path, {"Accept": "application/json"}) as answer:
            await answer.read()
            return answer.response.text

    async def _repeated(
        self, method: str, path: str, headers: dict[str, str], content: bytes | Upload | None
    ) -> dict[str, Any]:
        headers["Accept"] = "application/json"
        if method in ("POST", "PUT"):
            # The same for each repetition: what has arrived before is not done again.
            headers["Idempotency-Key"] = f'"{new_id()}"'
        failures = 0
        while True:
            try:
                async with self.opened(method, path, headers, content=content) as answer:
                    await answer.read()
                    return _object_of(answer.response)
            except GatewayError as error:
                if method == "DELETE" and failures and _is_gone(error):
                    # The answer to the first one was lost.
                    return {}
                wait_s = self._wait_s(error, failures)
                if wait_s is None or not _can_be_sent_again(content):
                    raise
            failures += 1
            await self.http.sleep(wait_s)

    def _wait_s(self, error: GatewayError, failures: int) -> float | None:
        """How long to wait before the same request; None: it is not to be repeated."""
        may_pass = isinstance(error, Unavailable) or error.code == _STILL_IN_PROGRESS
        if not may_pass or failures >= self.max_retries:
            return None
        if error.retry_after_s is None:
            return backoff_s(failures)
        # What takes longer is the caller's to decide.
        return error.retry_after_s if error.retry_after_s <= MAX_BACKOFF_S else None

    @asynccontextmanager
    async def opened(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        content: bytes | Upload | None = None,
        read_s: float | None = None,
    ) -> AsyncIterator[Answer]:
        """An answer that is 2xx; its body is not read yet. A token that is refused is replaced
        once. ``read_s`` is how long nothing may come.

        Raises:
            GatewayError: any other answer, or none.
        """
        if isinstance(content, Upload):
            read_s = max(self.timeout_s, UPLOAD_TIMEOUT_S)
        timeout = httpx.Timeout(self.timeout_s, read=read_s or self.timeout_s)
        token, is_another = await self._tokens.take(), False
        try:
            while True:
                sent = dict(headers)
                if token is not None:
                    sent["Authorization"] = f"Bearer {token}"
                request = Request(method, self.url + path, timeout, sent, content)
                async with self.http.send(request) as answer:
                    if answer.response.is_success:
                        yield answer
                        return
                    await answer.read()
                    error = error_of(answer.response)
                if error.status == httpx.codes.UNAUTHORIZED and not is_another:
                    token, is_another = await self._tokens.replace(token), True
                    if token is not None and _can_be_sent_again(content):
                        continue
                raise error
        except httpx.TimeoutException as error:
            raise NoAnswer(f"{self.url} did not answer in time ({_named(error)})") from error
        except httpx.ConnectError as error:
            raise NoAnswer(f"no gateway answers at {self.url} ({_named(error)})") from error
        except httpx.RequestError as error:
            raise NoAnswer(f"{self.url} did not answer in full ({_named(error)})") from error


def _can_be_sent_again(content: bytes | Upload | None) -> bool:
    return not isinstance(content, Upload) or content.rewind()


def backoff_s(failures: int) -> float:
    """How long to wait after so many failures more: longer and longer, and not all at once."""
    longest = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures, 16))
    return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing


def checked_url(url: str) -> str:
    """The address of a gateway, without the slash at its end.

    Raises:
        InvalidArgument: it is not the address of a site.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidArgument(f"{url!r} is not the address of a gateway: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise InvalidArgument(
            f"{url!r} is not the address of a gateway: give one like https://stepwire.example, or "
            "with the path under which a proxy publishes it"
        )
    return url.rstrip("/")


def path_of(*parts: str, **query: str | None) -> str:
    """``/v1`` and these parts, each of them one segment whatever is in it."""
    path = "/".join(("/v1", *(quote(part, safe="") for part in parts)))
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _json(body: Mapping[str, object]) -> bytes:
    # As in httpx, but NaN, which no gateway takes, is refused here.
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"this cannot be sent as JSON: {error}") from error


def _object_of(response: httpx.Response) -> dict[str, Any]:
    if response.status_code == httpx.codes.NO_CONTENT:
        return {}
    body = object_in(response)
    if body is None:
        raise not_a_gateway(response)
    return body


def field_of(answer: Mapping[str, Any], name: str) -> str:
    """A text that an answer must have.

    Raises:
        BadAnswer: it has none.
    """
    value = answer.get(name)
    if not isinstance(value, str):
        raise BadAnswer(f"the gateway's answer has no {name!r}: check its address and version")
    return value


def _is_gone(error: GatewayError) -> bool:
    return isinstance(error, NotFound) and error.code == _SESSION_NOT_FOUND


def _named(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
