"""Faults of ours: exceptions that no other part of the application handles."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stepwire_gateway.http.problems import problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("stepwire.gateway")


class Unexpected:
    """Logs an exception that no handler takes, and answers it with a problem of status 500.

    It belongs inside the middlewares that count answers and add headers to them. Starlette's own
    handler stands outside all middlewares and raises the exception again: such an answer has no
    CORS headers, is counted nowhere, and the server logs it once more and closes the connection.

    When the response has begun, nothing else can be answered. The exception then goes to the
    server, which logs it and closes the connection: only so does a client see that the answer is
    not whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            if has_begun or scope["type"] != "http":
                raise
            route = getattr(scope.get("route"), "path", None)
            logger.exception("request failed", extra={"method": scope["method"], "route": route})
            detail = "the gateway has failed, and the error is in its log"
            await problem_response(500, "internal_error", detail)(scope, receive, send)
