"""The gateway as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import as_file, files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from stepwire_core.objects import Objects
from stepwire_core.settings import Settings, load_settings
from stepwire_gateway import (
    _asks,
    _elements,
    _feedback,
    _health,
    _metrics,
    _problems,
    _sessions,
    _streams,
)
from stepwire_gateway._body_limit import BodyLimit
from stepwire_gateway._problems import Problem
from stepwire_gateway._services import open_services

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": what}
    for status, what in {
        400: "The cursor is malformed.",
        404: "There is no such session, run, step, element or ask.",
        409: "The id stands for something else, or what is asked for is over.",
        413: "The body is too large.",
        422: "The request does not have the shape asked for.",
        503: "Redis does not answer.",
    }.items()
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The gateway; settings come from the environment unless given.

    Raises:
        SettingsError: a setting has a wrong value.
    """
    settings = settings or load_settings()
    objects = Objects.open(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, objects) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="stepwire gateway",
        version=version("stepwire"),
        lifespan=lifespan,
        # The interactive pages load their scripts from elsewhere; the document itself is served.
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEMS,
    )
    app.add_middleware(BodyLimit, settings=settings)
    app.state.requests = _metrics.Requests()
    # Added last, it is the outermost.
    app.add_middleware(_metrics.RequestCount, requests=app.state.requests)
    _problems.install(app)
    for part in (_sessions, _elements, _asks, _feedback, _streams, _health, _metrics):
        app.include_router(part.router)
    _add_inspector(app)
    return app


def _add_inspector(app: FastAPI) -> None:
    with as_file(files("stepwire_gateway") / "inspector") as folder:
        app.mount("/inspector", StaticFiles(directory=folder), name="inspector")
        page = folder / "index.html"

    @app.get("/", include_in_schema=False)
    async def inspector() -> FileResponse:
        return FileResponse(page, headers=_PAGE_HEADERS)


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}
