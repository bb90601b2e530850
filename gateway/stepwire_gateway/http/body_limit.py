"""Request bodies are bounded, whether or not the client says how long they are."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire_gateway.http.problems import problem_response
from stepwire_gateway.http.uvicorn_protocol import DIRECT
from stepwire_gateway.prefix import route_path

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stepwire_core.settings import Settings


DRAIN_BYTES: Final = 8 * 1024 * 1024
DRAIN_S: Final = 5.0
"""What is read and dropped of a body that is too large, and for how long, before it is answered:
under another server than ours, which may reset a connection under its answer."""


_UPLOAD: Final = re.compile(r"/v1/sessions/[^/]+/elements")


@dataclass(frozen=True, slots=True)
class Limit:
    """How large a body may be, and the settings that say so."""

    max_bytes: int
    settings: str


def _limit_of_uploads(settings: Settings) -> Limit:
    if (
        settings.elements_url is None
        and settings.elements_redis_bytes < settings.elements_max_bytes
    ):
        return Limit(
            settings.elements_redis_bytes,
            "STEPWIRE_ELEMENTS_REDIS_BYTES; STEPWIRE_ELEMENTS_URL is where larger ones could go",
        )
    return Limit(settings.elements_max_bytes, "STEPWIRE_ELEMENTS_MAX_BYTES")


class _TooLarge(Exception):
    """The body went over the limit while it was read."""


class BodyLimit:
    """Answers 413 to a body that is too large, before it is held in memory.

    Files that are uploaded have a limit of their own.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._usual = Limit(settings.max_body_bytes, "STEPWIRE_MAX_BODY_BYTES")
        self._uploads = _limit_of_uploads(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._uploads if _UPLOAD.fullmatch(route_path(scope)) else self._usual
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit.max_bytes:
            # A client that waits for '100 Continue' must not be asked for what is refused.
            waits = dict(scope["headers"]).get(b"expect", b"").lower() == b"100-continue"
            await self._refuse(limit, scope, receive, send, more=not waits)
            return
        received, more = 0, True

        async def counted() -> Message:
            nonlocal received, more
            message = await receive()
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
            if received > limit.max_bytes:
                raise _TooLarge
            return message

        async def unless_refused(message: Message) -> None:
            # FastAPI answers an error while reading the body by itself, with a 400.
            if received <= limit.max_bytes:
                await send(message)

        with suppress(_TooLarge):
            await self._app(scope, counted, unless_refused)
        if received > limit.max_bytes:
            await self._refuse(limit, scope, receive, send, more=more)

    async def _refuse(
        self, limit: Limit, scope: Scope, receive: Receive, send: Send, *, more: bool
    ) -> None:
        # Closed with unread bytes, the connection would be reset, and the answer lost with it; our
        # own server sees to that by itself.
        if DIRECT in scope.get("extensions", ()):
            more = False
        drained = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while more and drained < DRAIN_BYTES:
                    message = await receive()
                    drained += len(message.get("body", b""))
                    more = message.get("more_body", False)
        response = problem_response(
            413,
            "body_too_large",
            f"the body is larger than {limit.max_bytes} bytes ({limit.settings})",
        )
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
