"""The smallest application of sse-starlette: streams that say something once and stay open."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route


async def _events() -> AsyncIterator[dict[str, str]]:
    yield {"event": "snapshot", "data": "{}"}
    await asyncio.Event().wait()


async def _stream(_: Request) -> EventSourceResponse:
    return EventSourceResponse(_events())


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/events", _stream)]),
        port=int(sys.argv[1]),
        access_log=False,
        log_config=None,
    )
