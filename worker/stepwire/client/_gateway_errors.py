"""What can go wrong between this client and a gateway.

::

    StepwireError
    └── GatewayError            what a gateway has answered, or that none has
        ├── RequestRefused      the gateway says no, and would say so again
        │   ├── Unauthenticated 401: no token, or none that is valid
        │   ├── Forbidden       403: the token does not open this
        │   ├── NotFound        404: no such session, run, step, ask or element
        │   ├── Conflict        409: it was answered before, the session is full, an id is taken
        │   └── InvalidRequest  400, 405, 413 to 422: this cannot be asked so
        ├── Unavailable         the same request may succeed later
        │   ├── LimitExceeded   429: too many at a time, or in a time
        │   └── NoAnswer        nothing answered, or not in full
        │       └── NoToken     ``get_token`` has failed
        └── BadAnswer           something answered that is not a gateway
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.errors import StepwireError

if TYPE_CHECKING:
    import httpx


class GatewayError(StepwireError):
    """The answer of a gateway, or its absence; the message is for people and may change."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 0,
        retry_after_s: float | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        self.code = code
        """Stable: one of docs/protocol.md, or ``no_answer``, ``no_token``, ``bad_answer``."""
        self.status = status
        """The HTTP status; 0 if there was no answer."""
        self.retry_after_s = retry_after_s
        """When the gateway wants to be asked again, if it has said so."""
        self.problem: Mapping[str, Any] = problem or {}
        """The problem document (RFC 9457), with the fields that some codes have."""
        super().__init__(message)


class RequestRefused(GatewayError):
    """The gateway says no, and would say so again."""


class Unauthenticated(RequestRefused):
    """There was no token, or none that is valid, also after ``get_token`` was asked for another."""


class Forbidden(RequestRefused):
    """The token does not open this, whether or not it exists."""


class NotFound(RequestRefused):
    """The gateway does not have this session, run, step, ask or element: ``code`` says which."""


class Conflict(RequestRefused):
    """What is there does not allow it: ``ask_ended``, ``session_full``, ``id_conflict``, …"""


class InvalidRequest(RequestRefused):
    """The request has a form or a size that the gateway does not take."""


class Unavailable(GatewayError):
    """The same request may succeed later; it was repeated as often as the client may."""


class LimitExceeded(Unavailable):
    """There are too many of something, at a time or in a time; see ``retry_after_s``."""


class NoAnswer(Unavailable):
    """Nothing answered, or not in full: it is not known whether the request has arrived."""

    def __init__(self, message: str, *, code: str = "no_answer") -> None:
        super().__init__(message, code=code)


class NoToken(NoAnswer):
    """``get_token`` has failed; what it raised is the cause."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="no_token")


class BadAnswer(GatewayError):
    """Something answered that is not a gateway: the address may be wrong."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message, code="bad_answer", status=status)


_BY_STATUS: Final[Mapping[int, type[GatewayError]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    429: LimitExceeded,
}


def error_of(response: httpx.Response) -> GatewayError:
    """The error that an answer stands for; its body has been read.

    It need not come from a gateway: there may be a proxy in between, or another server altogether.
    """
    status = response.status_code
    problem: Mapping[str, Any] = object_in(response) or {}
    code = problem.get("code")
    if isinstance(code, str):
        message = str(problem.get("detail") or problem.get("title") or code)
        kind = _BY_STATUS.get(status, Unavailable if status >= 500 else InvalidRequest)
    elif status in (408, 429) or status >= 500:
        # A proxy speaks for a gateway that is away.
        message, code = f"{response.url} answered HTTP {status}", "bad_answer"
        kind = _BY_STATUS.get(status, Unavailable)
    else:
        return not_a_gateway(response)
    return kind(
        message,
        code=code,
        status=status,
        retry_after_s=_seconds_of(response.headers.get("retry-after")),
        problem=problem,
    )


def not_a_gateway(response: httpx.Response) -> BadAnswer:
    """The error for an answer that no gateway gives."""
    said = f"HTTP {response.status_code}"
    if location := response.headers.get("location"):
        said += f" and leads to {location}"
    return BadAnswer(
        f"{response.url} does not answer as a stepwire gateway does ({said}): check its address",
        status=response.status_code,
    )


def object_in(response: httpx.Response) -> dict[str, Any] | None:
    """The JSON object of an answer that has been read; None if its body is anything else."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _seconds_of(retry_after: str | None) -> float | None:
    """Seconds, or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        at_s = email.utils.parsedate_to_datetime(retry_after).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, at_s - time.time())
