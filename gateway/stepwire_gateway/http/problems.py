"""Errors as problem details (RFC 9457) with a stable ``code``."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from stepwire_core.errors import (
    ActionNotFound,
    AskEnded,
    AskNotFound,
    ChatProfileNotFound,
    CrossSiteRequest,
    ElementNotFound,
    FeedbackDisabled,
    Forbidden,
    IdConflict,
    InvalidArgument,
    InvalidCursor,
    InvalidId,
    InvalidSettings,
    KeyReused,
    KeysUnavailable,
    LimitExceeded,
    MessageTooLarge,
    NoWorker,
    QueueFull,
    RequestNotKept,
    RunNotFailed,
    RunNotFound,
    RunNotOver,
    SessionFull,
    SessionNotFound,
    SettingsNotFound,
    StepNotFound,
    StepwireError,
    StillInProgress,
    StoreRefused,
    StoreUnavailable,
    TokensDisabled,
    Unauthenticated,
    UnsupportedMediaType,
    UntrustedHost,
)
from stepwire_core.values.text import whole
from stepwire_gateway.metrics import counter

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.types import Receive, Scope, Send

logger = logging.getLogger("stepwire.gateway")

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:stepwire:problem:"
"""What the ``type`` of every problem begins with (RFC 9457, 3.1.1). An address would differ from
gateway to gateway, and what a client compares should not."""

MAX_FLAWS: Final = 20
MAX_FLAW_CHARS: Final = 500
"""How many flaws of a request are told, and how long each may be: names of fields are the sender's,
and an answer must not be several times as large as its request."""

RETRY_AFTER_S: Final = 2
STREAM_RETRY_MS: Final = 3_000

_OF_ERROR: Final[dict[type[StepwireError], tuple[int, str]]] = {
    SessionNotFound: (404, "session_not_found"),
    RunNotFound: (404, "run_not_found"),
    RunNotFailed: (404, "run_not_failed"),
    StepNotFound: (404, "step_not_found"),
    ElementNotFound: (404, "element_not_found"),
    ActionNotFound: (404, "action_not_found"),
    AskNotFound: (404, "ask_not_found"),
    SettingsNotFound: (404, "settings_not_found"),
    ChatProfileNotFound: (404, "chat_profile_not_found"),
    AskEnded: (409, "ask_ended"),
    RunNotOver: (409, "run_not_over"),
    RequestNotKept: (409, "request_not_kept"),
    FeedbackDisabled: (409, "feedback_disabled"),
    InvalidCursor: (400, "invalid_cursor"),
    InvalidArgument: (422, "invalid_request"),
    InvalidSettings: (422, "invalid_request"),
    InvalidId: (422, "invalid_request"),
    IdConflict: (409, "id_conflict"),
    KeyReused: (422, "idempotency_key_reused"),
    StillInProgress: (409, "still_in_progress"),
    Unauthenticated: (401, "unauthenticated"),
    Forbidden: (403, "forbidden"),
    CrossSiteRequest: (403, "cross_site_request"),
    UntrustedHost: (403, "untrusted_host"),
    TokensDisabled: (404, "tokens_disabled"),
    LimitExceeded: (429, "limit_exceeded"),
    QueueFull: (429, "queue_full"),
    SessionFull: (409, "session_full"),
    MessageTooLarge: (413, "message_too_large"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    KeysUnavailable: (503, "keys_unavailable"),
    NoWorker: (503, "no_worker"),
    StoreUnavailable: (503, "store_unavailable"),
    StoreRefused: (503, "store_refused"),
}
_OF_STATUS: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    422: "invalid_request",
}


class Flaw(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="The place in the request, as `body.content`.")
    what: str


class Problem(BaseModel):
    """Problem details (RFC 9457). Programs compare `type` or `code`, which say the same."""

    type: str = Field(
        description="A URI that names the kind of problem: `urn:stepwire:problem:` and the code. "
        "It is the same at every gateway, and is not an address.",
        examples=["urn:stepwire:problem:session_not_found"],
    )
    title: str = Field(description="The kind of problem in words.")
    status: int
    detail: str = Field(description="What happened, and what to do.")
    code: str = Field(
        description="The kind of problem. Later versions may add some.",
        examples=["session_not_found"],
    )
    errors: list[Flaw] | None = Field(
        default=None,
        description="Of a request that cannot be taken: what is wrong with it, up to 20 things.",
    )


REFUSALS: Final = counter(
    "refusals", "Requests refused, by problem and, of a limit, setting.", labels=("code", "setting")
)


class _Refusal(Response):
    """An answer that counts itself when it is sent, from whichever part of the application."""

    refused_as: tuple[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"].state.metrics.add(REFUSALS, *self.refused_as)
        await super().__call__(scope, receive, send)


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    setting: str = "",
    errors: list[Flaw] | None = None,
) -> Response:
    problem = Problem(
        type=TYPE_PREFIX + code,
        # Of the kind, so that it does not change from one occurrence to the next (RFC 9457, 3.1.3).
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        errors=errors,
    )
    # A cache may keep some errors, 404 among them, if it is not told otherwise (RFC 9110, 15.1).
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    response = _Refusal(
        problem.model_dump_json(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )
    response.refused_as = (code, setting)
    return response


def try_again_response(error: StepwireError) -> Response:
    """An empty stream, for an EventSource: it would give up for good on 503.

    A comment in it says why, for people and for clients that read comments.
    """
    code = _meaning(error)[1]
    why = " ".join(str(error).split())
    response = _Refusal(
        f": {code}: {why}\nretry: {STREAM_RETRY_MS}\n\n", media_type="text/event-stream"
    )
    response.refused_as = (code, _setting(error))
    return response


def _meaning(error: Exception) -> tuple[int, str]:
    """Status and code."""
    return _OF_ERROR.get(type(error), (500, "internal_error"))  # type: ignore[arg-type]


def _setting(error: Exception) -> str:
    return error.setting if isinstance(error, (LimitExceeded, SessionFull)) else ""


def install(app: FastAPI) -> None:
    """Answer every error of this app with a problem."""
    app.add_exception_handler(StepwireError, error_response)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)


def answer_of(request: Request, error: Exception) -> Response:
    """The problem that an error of a request is answered with, for those that tell it in a form of
    their own.

    Raises: the error, if it is none that a request can have.
    """
    if isinstance(error, StepwireError):
        return error_response(request, error)
    if isinstance(error, RequestValidationError):
        return _on_invalid_request(request, error)
    if isinstance(error, HTTPException):
        return _on_http_error(request, error)
    raise error


def error_response(_request: Request, error: Exception) -> Response:
    """The answer to an error of ours."""
    status, code = _meaning(error)
    if status == 500:
        logger.error("request failed", exc_info=error)
    response = problem_response(
        status, code, str(error), setting=_setting(error), errors=_flaws(error)
    )
    if isinstance(error, (LimitExceeded, QueueFull, StillInProgress)):
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, UnsupportedMediaType):
        response.headers.update(_taken(error))
    if challenge := _challenge(error):
        response.headers["WWW-Authenticate"] = challenge
    return response


def _flaws(error: Exception) -> list[Flaw] | None:
    """All that is wrong, where there may be several things."""
    if not isinstance(error, InvalidSettings):
        return None
    return [Flaw(where=f"body.values.{id_}", what=what) for id_, what in error.flaws.items()]


def _taken(error: UnsupportedMediaType) -> dict[str, str]:
    """What would have been taken (RFC 9110, 15.5.16)."""
    headers = {"Accept": error.accept, "Accept-Encoding": error.accept_encoding}
    return {name: value for name, value in headers.items() if value}


def _challenge(error: Exception) -> str | None:
    """The challenge to the client (RFC 6750, section 3), if there is one."""
    if isinstance(error, Unauthenticated):
        return 'Bearer realm="stepwire"' + (', error="invalid_token"' if error.given else "")
    if type(error) is Forbidden:
        return 'Bearer realm="stepwire", error="insufficient_scope"'
    return None


def _on_invalid_request(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    if any(isinstance(problem.get("input"), bytes) for problem in problems):
        # FastAPI reads what is not declared as JSON as bytes.
        return error_response(request, _not_json(request))
    errors = [_flaw(problem) for problem in problems[:MAX_FLAWS]]
    told = [f"{flaw.where}: {flaw.what}" for flaw in errors]
    if (more := len(problems) - len(errors)) > 0:
        told.append(f"and {more} more")
    return problem_response(422, "invalid_request", "; ".join(told), errors=errors)


def _not_json(request: Request) -> UnsupportedMediaType:
    given = request.headers.get("content-type")
    return UnsupportedMediaType(
        f"the body must be JSON, sent with 'Content-Type: application/json', not {given!r}",
        accept="application/json",
    )


def _flaw(problem: dict[str, Any]) -> Flaw:
    where, what = ".".join(map(str, problem["loc"])), problem["msg"]
    if problem["type"] == "json_invalid":
        where, what = "body", f"is not JSON: {problem['ctx']['error']}, at {problem['loc'][-1]}"
    # The request may hold what no answer can: halves of surrogate pairs in a name, say.
    return Flaw(
        where=whole(where[:MAX_FLAW_CHARS]),
        what=whole(what.removeprefix("Value error, ")[:MAX_FLAW_CHARS]),
    )


def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    headers = {}
    if status == 400:
        # FastAPI's word for a body that cannot be read: nested too deeply, say.
        status, detail = 422, "body: cannot be read as JSON"
    elif status == 404:
        detail = f"there is nothing at {request.url.path}; /openapi.json lists all paths"
    elif status == 405:
        # Starlette's own list is that of the first route alone that has this path.
        headers["Allow"] = ", ".join(_methods(request))
        detail = f"{request.url.path} takes {headers['Allow']}, not {request.method}"
    response = problem_response(status, _OF_STATUS.get(status, "http_error"), detail)
    response.headers.update(headers)
    return response


def _methods(request: Request) -> list[str]:
    """What the path of a request can be asked for."""
    routes = [r for r in request.app.state.routes if r.matches(request.scope)[0] != Match.NONE]
    # The other paths are those of files.
    return sorted({method for route in routes for method in route.methods} or {"GET", "HEAD"})
