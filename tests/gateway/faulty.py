"""``stepwire gateway`` with routes that fail, and a kind of stream that does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NoReturn
from unittest.mock import patch

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse

from stepwire_cli.main import main
from stepwire_core.settings import Settings
from stepwire_gateway import create_app
from stepwire_gateway.auth.guard import GuardedRoute, include, needs_nothing

router = APIRouter(prefix="/fails", route_class=GuardedRoute)


@router.post("/before")
@needs_nothing
async def before(request: Request) -> None:
    raise LookupError("a fault before the answer")


@router.get("/within")
@needs_nothing
async def within() -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"the beginning"
        raise LookupError("a fault within the answer")

    return StreamingResponse(body(), media_type="text/plain")


def with_faults(settings: Settings) -> FastAPI:
    app = create_app(settings)
    include(app, router)
    return app


def no_selection(*_: object) -> NoReturn:
    raise LookupError("a fault within a stream")


if __name__ == "__main__":
    with (
        patch("stepwire_gateway.server.create_app", with_faults),
        patch("stepwire_gateway.hub.event_filter.Selection.passed", no_selection),
    ):
        main()
