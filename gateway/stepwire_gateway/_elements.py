"""Elements over HTTP: their bytes, for anybody to read, and files that people upload."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from stepwire_core import media_types
from stepwire_core.documents import ElementDocument
from stepwire_core.errors import ElementNotFound, InvalidArgument, InvalidId, SessionNotFound
from stepwire_core.events import element_event
from stepwire_core.ids import check_id, new_id, upload_producer
from stepwire_core.log import Batch
from stepwire_core.messages import uploaded
from stepwire_gateway._access import GuardedRoute, needs
from stepwire_gateway._problems import problem_response
from stepwire_gateway._ranges import Unsatisfiable, etag_matches, requested_span
from stepwire_gateway._services import ServicesDep, SessionId

if TYPE_CHECKING:
    from stepwire_gateway._services import Services

router = APIRouter(
    prefix="/v1/sessions/{session_id}/elements", tags=["elements"], route_class=GuardedRoute
)

INLINE: Final = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"),
        *("audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm", "audio/flac"),
        *("audio/aac", "audio/x-wav"),
        *("video/mp4", "video/webm", "video/ogg"),
        *("text/plain", "application/json", "application/pdf"),
    }
)
"""Types that a browser shows and that can run nothing; all others are downloads. SVG is not one of
them: opened by itself it is a page with scripts. (As an image on a page it shows all the same.)"""

SANDBOX: Final = (
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
)
"""What is opened by itself gets an origin of its own, no scripts, and nothing from elsewhere."""

_RAW_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, with any media type but a form's.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_ANY_TYPE: Final[dict[str, Any]] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


@router.post("", status_code=201, response_model=ElementDocument, openapi_extra=_RAW_BODY)
@needs("write", counts="messages")
async def upload_element(
    services: ServicesDep,
    session_id: SessionId,
    request: Request,
    response: Response,
    name: Annotated[str, Query(min_length=1, max_length=255)],
    content_type: Annotated[str | None, Header()] = None,
) -> ElementDocument | Response:
    """Put a person's file into the session, for all to see: the body as it is, no form."""
    mime = _media_type(content_type, name)
    element_id = new_id()
    folder = await services.log.object_folder(session_id)
    try:
        size, sha256 = await _store(services, session_id, folder, element_id, request.stream())
    except ClientDisconnect:
        # Nothing of it is kept, and nobody reads this.
        return Response(status_code=400)
    element = uploaded(session_id, element_id, name, mime, size=size, sha256=sha256)
    batch = Batch(session_id, [element_event(element)], producer=upload_producer(element_id))
    try:
        await services.log.append(batch)
    except SessionNotFound:
        # It has gone meanwhile; Redis has let its part go with it.
        if services.objects is not None:
            await asyncio.to_thread(services.objects.remove, folder, [element_id])
        raise
    # What is stored has no prefix: another gateway may have another one.
    element.url = response.headers["Location"] = services.hub.prefix.address(element.url)
    return element


@router.head("/{id}", include_in_schema=False)
@router.get(
    "/{id}",
    response_class=Response,
    responses={
        200: {"content": _ANY_TYPE, "description": "The bytes."},
        206: {"content": _ANY_TYPE, "description": "The bytes that `Range` asks for."},
        304: {"description": "`If-None-Match` names them."},
        416: {"description": "`Range` begins behind the end."},
    },
)
@needs("read", link=True)
async def read_element(
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
        # It lies at a url of its own; to send clients there would be an open redirect.
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


async def uploads(
    services: Services, session_id: str, element_ids: Sequence[str], *, for_step: str
) -> list[ElementDocument]:
    """Files that a person has uploaded and now sends with something.

    Raises:
        ElementNotFound: there is no such element.
        InvalidArgument: one is listed twice, or was sent with something else.
    """
    if not element_ids:
        return []
    if len(set(element_ids)) < len(element_ids):
        raise InvalidArgument("an element is listed twice: name each file once")
    elements = await services.log.elements(session_id, element_ids)
    for element in elements:
        if element.step_id not in (None, for_step):
            raise InvalidArgument(
                f"element {element.id!r} belongs to step {element.step_id!r}: upload the file again"
            )
    return elements


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
    type_ = element.mime.partition(";")[0].strip().lower()
    # Unlabelled text would be read in whatever encoding the reader's machine prefers.
    charset = "; charset=utf-8" if element.mime == type_ and type_.startswith("text/") else ""
    disposition = "inline" if type_ in INLINE else "attachment"
    return {
        "Content-Type": element.mime + charset,
        "Content-Disposition": f"{disposition}; filename*=utf-8''{quote(element.name, safe='')}",
        "Content-Security-Policy": SANDBOX,
        "X-Content-Type-Options": "nosniff",
        # The address may have a token in it.
        "Referrer-Policy": "no-referrer",
        "Accept-Ranges": "bytes",
        "ETag": etag,
        # Only for who may read it, and asked for again each time: it may have been removed.
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
        raise InvalidArgument(f"Content-Type {content_type!r} is no media type")
    if content_type.lower().startswith("multipart/"):
        raise InvalidArgument(
            f"Content-Type {content_type!r}: send the file itself as the body, with its own type, "
            "not in a form"
        )
    return content_type


async def _store(
    services: Services, session_id: str, folder: str, element_id: str, body: AsyncIterator[bytes]
) -> tuple[int, str]:
    """Put a body where it belongs by its size, which nobody knows yet; its size and digest.

    How large it may be at all is checked before us, while it is read (``BodyLimit``).
    """
    upload = _Upload(body)
    begin = await upload.read_up_to(services.settings.elements_redis_bytes)
    if services.objects is None or len(begin) <= services.settings.elements_redis_bytes:
        await services.files.put(session_id, element_id, begin)
    else:
        await services.objects.put_stream(folder, element_id, upload.rest(begin))
    return upload.size, upload.digest.hexdigest()


class _Upload:
    """A body that is counted and digested while it is read."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self.size = 0
        self.digest = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self.size += len(chunk)
            self.digest.update(chunk)
            if chunk:
                yield chunk

    async def read_up_to(self, limit: int) -> bytes:
        """All of it, or a little more than ``limit``."""
        parts = []
        async for chunk in self.chunks():
            parts.append(chunk)
            if self.size > limit:
                break
        return b"".join(parts)

    async def rest(self, begin: bytes) -> AsyncIterator[bytes]:
        """What was read already, then what was not."""
        yield begin
        async for chunk in self.chunks():
            yield chunk
