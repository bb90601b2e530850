"""Files that people upload: from the bytes of a body to an element of the session."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepwire_core.errors import ElementNotFound, IdConflict, InvalidArgument, SessionNotFound
from stepwire_core.log.event_log import Batch
from stepwire_core.values.ids import upload_producer
from stepwire_core.wire.events import element_event
from stepwire_core.wire.user_messages import uploaded

if TYPE_CHECKING:
    from stepwire_core.wire.documents import ElementDocument
    from stepwire_gateway.services import Services


async def require_uploads(
    services: Services, session_id: str, element_ids: Sequence[str], *, for_step: str
) -> list[ElementDocument]:
    """Files that a person has uploaded and now sends with something.

    Raises:
        ElementNotFound: one of the elements does not exist.
        InvalidArgument: one is listed twice, was sent with something else, or was not uploaded.
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
        if element.step_id is None and (element.run_id is not None or element.sha256 is None):
            # A handler shows it beside the conversation: the form of the settings, say.
            raise InvalidArgument(f"element {element.id!r} is not a file that was uploaded")
    return elements


@dataclass(frozen=True, slots=True)
class File:
    """An upload before its bytes have come."""

    session_id: str
    element_id: str
    name: str
    mime: str


async def known_element(
    services: Services, file: File, body: AsyncIterator[bytes]
) -> ElementDocument | None:
    """The element that an earlier call of this request has made.

    Raises:
        IdConflict: it has made it of another file.
    """
    try:
        known = await services.log.element(file.session_id, file.element_id)
    except ElementNotFound:
        return None
    sent = _Upload(body)
    async for _ in sent.chunks():
        pass
    if (known.name, known.mime, known.sha256) != (file.name, file.mime, sent.hexdigest()):
        raise IdConflict("element", file.element_id)
    return known


async def kept_element(
    services: Services, file: File, body: AsyncIterator[bytes]
) -> ElementDocument:
    """A new element, whose bytes are in place.

    Raises:
        IdConflict: an earlier call of this request has made it, and it was removed.
    """
    session_id, element_id = file.session_id, file.element_id
    folder = await services.log.object_folder(session_id)
    size, sha256 = await _store(services, session_id, folder, element_id, body)
    element = uploaded(session_id, element_id, file.name, file.mime, size=size, sha256=sha256)
    batch = Batch(session_id, [element_event(element)], producer=upload_producer(element_id))
    try:
        appended = await services.log.append(batch)
    except SessionNotFound:
        # The session was deleted meanwhile; Redis has deleted its part of the bytes.
        if services.objects is not None:
            await asyncio.to_thread(services.objects.remove, folder, [element_id])
        raise
    if not appended.stored:
        raise IdConflict("element", element_id)
    return element


async def _store(
    services: Services, session_id: str, folder: str, element_id: str, body: AsyncIterator[bytes]
) -> tuple[int, str]:
    """Put a body where its size, which is not known yet, says; return its size and digest.

    ``BodyLimit`` has bounded the body: it counts while the body is read.
    """
    upload = _Upload(body)
    begin = await upload.read_up_to(services.settings.elements_redis_bytes)
    if services.objects is None or len(begin) <= services.settings.elements_redis_bytes:
        await services.files.put(session_id, element_id, begin)
    else:
        await services.objects.put_stream(folder, element_id, upload.rest(begin))
    return upload.size, upload.hexdigest()


class _Upload:
    """A body that is counted and digested while it is read."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self.size = 0
        self._digest = hashlib.sha256()

    def hexdigest(self) -> str:
        """SHA-256 of what was read."""
        return self._digest.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self.size += len(chunk)
            self._digest.update(chunk)
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
        """The beginning that was read already, then everything else."""
        yield begin
        async for chunk in self.chunks():
            yield chunk
