"""What the OpenAPI document says of an operation that FastAPI does not find out by itself."""

from __future__ import annotations

from typing import Any, Final

from stepwire_gateway.http.problems import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


LOCATION: Final = {"Location": _header("Where it is, as a path on the gateway.")}
ETAG: Final = {"ETag": _header("Names what was sent; send it back in `If-None-Match`.")}
_RETRY_AFTER: Final = {"Retry-After": _header("In how many seconds to try again.")}

_PROBLEMS: Final[dict[int, str]] = {
    400: "The cursor is malformed.",
    401: "There is no token, or none that is valid.",
    403: "The token does not open this, or another site's page sends it.",
    404: "There is no such session, run, step, element or ask.",
    409: "The id stands for something else, what is asked for is over, or the session is full.",
    413: "The body, or the message in it, is too large.",
    415: "The body is of a type, or packed in a way, that is not taken.",
    416: "The range begins behind the end.",
    422: "The request does not have the shape asked for.",
    429: "There were too many; `Retry-After` says when to try again.",
    500: "A fault of ours; it has been logged.",
    503: "Redis, or another server that is needed, does not answer.",
}
_HEADERS: Final = {
    401: {"WWW-Authenticate": _header("Says what token is needed (RFC 6750).")},
    415: {
        "Accept": _header("The types that are taken."),
        "Accept-Encoding": _header("The codings that are taken."),
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
