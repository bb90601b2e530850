"""Elements over HTTP: their bytes, for anybody to read, and files that people upload."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from stepwire_core.errors import (
    ElementNotFound,
    InvalidArgument,
    InvalidId,
    UnsupportedMediaType,
)
from stepwire_core.values import media_types
from stepwire_core.values.ids import check_id
from stepwire_core.wire.documents import ElementDocument
from stepwire_gateway.api.idempotency import IdempotencyDep
from stepwire_gateway.api.operations import ETAG, LOCATION, may
from stepwire_gateway.api.uploads import File, kept_element, known_element
from stepwire_gateway.auth.guard import GuardedRoute, needs
from stepwire_gateway.http.problems import problem_response
from stepwire_gateway.http.ranges import Unsatisfiable, etag_matches, requested_span
from stepwire_gateway.http.served_types import DOWNLOADS, INLINE, served
from stepwire_gateway.services import ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_gateway.services import Services

router = APIRouter(
    prefix="/v1/sessions/{session_id}/elements", tags=["elements"], route_class=GuardedRoute
)

SANDBOX: Final = (
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
)
"""An element that is opened by itself has its own origin, no scripts and no outside content."""

_RAW_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, with any media type but a form's.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_TYPES: Final = dict.fromkeys((media_types.UNKNOWN, *sorted(INLINE | DOWNLOADS)), _BINARY)


@router.post(
    "",
    status_code=201,
    response_model=ElementDocument,
    responses={201: {"headers": LOCATION}, **may(409)},
    openapi_extra=_RAW_BODY,
)
@needs("write", counts="messages")
async def upload_element(
    services: ServicesDep,
    idempotency: IdempotencyDep,
    session_id: SessionId,
    request: Request,
    response: Response,
    name: Annotated[str, Query(min_length=1, max_length=255)],
    content_type: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> ElementDocument | Response:
    """Put a person's file into the session, for all to see: the body as it is, no form."""
    _require_utf_8(request)
    mime = _media_type(content_type, name)
    file = File(session_id, idempotency.id(), name, mime)
    try:
        async with idempotency.claimed(services.log.store):
            with idempotency.checked():
                known = None
                if idempotency.key is not None:
                    known = await known_element(services, file, request.stream())
                element = known or await kept_element(services, file, request.stream())
    except ClientDisconnect:
        # The file is not kept, and the client is gone.
        return Response(status_code=400)
    # Stored addresses have no prefix: another gateway may have another one.
    element.url = response.headers["Location"] = services.address(element.url)
    return element


@router.get(
    "/{id}",
    response_class=Response,
    responses={
        200: {"content": _TYPES, "description": "The bytes.", "headers": ETAG},
        206: {
            "content": _TYPES,
            "description": "The bytes that `Range` asks for.",
            "headers": ETAG,
        },
        304: {"description": "`If-None-Match` names them.", "headers": ETAG},
        **may(416),
    },
)
@needs("read", link=True)
async def download_element(
    services: ServicesDep,
    session_id: SessionId,
    request: Request,
    element_id: Annotated[str, Path(alias="id")],
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The bytes of an element, or one range of them."""
    element = await _element(services, session_id, element_id)
    size, etag = element.size, f'"{element.sha256}"'
    if size is None:
        # The element has a url of its own; sending clients there would be an open redirect.
        raise ElementNotFound(session_id, element_id)
    headers = _headers(element, etag)
    if etag_matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    span, status = range(size), 200
    # Range is defined for GET alone; If-Range with another entity asks for all of this one.
    if request.method == "GET" and if_range in (None, etag):
        try:
            if (requested := requested_span(range_, size)) is not None:
                span, status = requested, 206
        except Unsatisfiable:
            return _unsatisfiable(size)
    if status == 206:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    headers["Content-Length"] = str(len(span))
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    pieces = await _pieces(services, element, span)
    return StreamingResponse(pieces, status, headers)


async def _element(services: Services, session_id: str, element_id: str) -> ElementDocument:
    try:
        check_id(element_id, "element")
    except InvalidId:
        raise ElementNotFound(session_id, element_id) from None
    return await services.log.element(session_id, element_id)


async def _pieces(
    services: Services, element: ElementDocument, span: range
) -> AsyncIterator[bytes]:
    session_id, bounds = element.session_id, (span.start, span.stop)
    pieces = await services.files.read(session_id, element.id, *bounds)
    if pieces is None and services.objects is not None:
        folder = await services.log.object_folder(session_id)
        pieces = await services.objects.read(folder, element.id, *bounds)
    if pieces is not None:
        return pieces
    raise ElementNotFound(element.session_id, element.id)


def _headers(element: ElementDocument, etag: str) -> dict[str, str]:
    content_type, disposition = served(element.mime, element.name)
    return {
        "Content-Type": content_type,
        "Content-Disposition": disposition,
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
        # The address may have a token in it.
        "Referrer-Policy": "no-referrer",
        "Accept-Ranges": "bytes",
        "ETag": etag,
        # Only for callers that may read it, and checked each time: it may have been removed.
        "Cache-Control": "private, no-cache",
    }


def _unsatisfiable(size: int) -> Response:
    response = problem_response(
        416, "range_not_satisfiable", f"the range begins behind the end: there are {size} bytes"
    )
    response.headers["Content-Range"] = f"bytes */{size}"
    return response


def _media_type(content_type: str | None, name: str) -> str:
    if content_type is None:
        return media_types.by_name(name) or media_types.UNKNOWN
    if not media_types.is_valid(content_type):
        raise UnsupportedMediaType(
            f"Content-Type {content_type!r} is not a media type (RFC 9110, 8.3.1)", accept="*/*"
        )
    if content_type.lower().startswith("multipart/"):
        raise UnsupportedMediaType(
            f"Content-Type {content_type!r}: send the file itself as the body, with its own type, "
            "not in a form",
            accept="*/*",
        )
    return content_type


def _require_utf_8(request: Request) -> None:
    """Return when the query is UTF-8; in its parameters, other bytes are U+FFFD already.

    Raises:
        InvalidArgument: it is not.
    """
    try:
        unquote_to_bytes(request.url.query).decode()
    except UnicodeDecodeError:
        raise InvalidArgument(
            "name: its bytes are not UTF-8: encode it as UTF-8 before it is percent-encoded"
        ) from None
