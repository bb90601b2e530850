"""The gateway inside another application, whose server runs that application's lifespan alone."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from stepwire_gateway.http.problems import problem_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("stepwire.gateway")

_WHAT_TO_DO: Final = (
    "this gateway is mounted in an application that does not run it: enter "
    "'async with stepwire_gateway.running(gateway)' in the lifespan of that application"
)


@asynccontextmanager
async def running(gateway: FastAPI) -> AsyncIterator[None]:
    """Run a gateway that is mounted in another application, for as long as the block runs.

    A server runs the lifespan of the application that it serves, and not those of what is mounted
    in it (Starlette: "Lifespan"). So enter this in the outer one::

        gateway = create_app()

        @asynccontextmanager
        async def lifespan(app):
            async with running(gateway):
                yield

        app = FastAPI(lifespan=lifespan)
        app.mount("/stepwire", gateway)

    When the gateway cannot go on, it says why in the log and sends its process SIGTERM.
    """
    async with gateway.router.lifespan_context(gateway):
        yield


class OnlyRunning:
    """Answers 503 ``not_running`` to everything while the lifespan is not entered."""

    def __init__(self, app: ASGIApp, gateway: FastAPI) -> None:
        self._app = app
        self._gateway = gateway
        self._is_told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or hasattr(self._gateway.state, "services"):
            await self._app(scope, receive, send)
            return
        if not self._is_told:
            logger.error("%s", _WHAT_TO_DO)
            self._is_told = True
        await problem_response(503, "not_running", _WHAT_TO_DO)(scope, receive, send)
