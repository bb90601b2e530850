"""Request bodies are bounded, whether or not the client says how long they are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from stepwire_gateway._problems import problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


DRAIN_BYTES: Final = 8 * 1024 * 1024
DRAIN_S: Final = 5.0
"""What is read and dropped of a body that is too large, and for how long, before it is answered."""


class _TooLarge(Exception):
    """The body went over the limit while it was read."""


class BodyLimit:
    """Answers 413 to a body of more than ``max_bytes``, before it is held in memory."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await self._refuse(scope, receive, send, more=True)
            return
        received, more = 0, True

        async def counted() -> Message:
            nonlocal received, more
            message = await receive()
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
            if received > self._max_bytes:
                raise _TooLarge
            return message

        async def unless_refused(message: Message) -> None:
            # FastAPI answers an error while reading the body by itself, with a 400.
            if received <= self._max_bytes:
                await send(message)

        with suppress(_TooLarge):
            await self._app(scope, counted, unless_refused)
        if received > self._max_bytes:
            await self._refuse(scope, receive, send, more=more)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, *, more: bool) -> None:
        # Closed with unread bytes, the connection would be reset, and the answer lost with it.
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
            f"the body is larger than {self._max_bytes} bytes (STEPWIRE_MAX_BODY_BYTES)",
        )
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
