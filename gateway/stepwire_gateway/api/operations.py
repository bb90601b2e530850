"""The parts of the OpenAPI document that FastAPI does not find out by itself."""

from __future__ import annotations

from typing import Any, Final

from stepwire_gateway.http.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


LOCATION: Final = {"Location": _header("The path on the gateway of what was made.")}
ETAG: Final = {"ETag": _header("Names the state that was sent; send it back in `If-None-Match`.")}
_RETRY_AFTER: Final = {"Retry-After": _header("The seconds to wait before trying again.")}

_PROBLEMS: Final[dict[int, str]] = {
    400: "The cursor is malformed.",
    401: "The request has no valid token.",
    403: "The token does not open this, or a page of another site sends the request.",
    404: "The session, run, step, element, ask or chat profile does not exist.",
    409: "The id is used for something else, the thing has ended, or the session is full.",
    413: "The body, or the message in it, is too large.",
    415: "The body has a type or a coding that is not accepted.",
    416: "The range begins behind the end.",
    422: "The request does not have the shape asked for.",
    429: "Too many requests; `Retry-After` says when to try again.",
    500: "The gateway has failed, and the error is in its log.",
    503: "Redis, or another server that is needed, does not answer.",
}
_HEADERS: Final = {
    401: {"WWW-Authenticate": _header("The kind of token that is needed (RFC 6750).")},
    415: {
        "Accept": _header("The types that are accepted."),
        "Accept-Encoding": _header("The codings that are accepted."),
    },
    416: {"Content-Range": _header("How many bytes there are.")},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def may(*statuses: int) -> Responses:
    """An operation may be answered with these problems, beside those that come from what it needs
    (:mod:`stepwire_gateway.api.openapi`)."""
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in statuses
    }
