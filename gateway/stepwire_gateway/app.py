"""The gateway as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import as_file, files
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from stepwire_core.errors import StepwireError
from stepwire_core.health import HealthFile
from stepwire_core.objects import Objects
from stepwire_core.settings import Settings, listed, load_settings
from stepwire_core.supervision import Supervisor, stop_process
from stepwire_gateway import (
    _access,
    _asks,
    _elements,
    _feedback,
    _health,
    _metrics,
    _problems,
    _sessions,
    _streams,
    _tokens,
)
from stepwire_gateway._body_limit import BodyLimit
from stepwire_gateway._limits import Exits
from stepwire_gateway._prefix import Prefix, Prefixed
from stepwire_gateway._problems import Problem
from stepwire_gateway._running import OnlyRunning
from stepwire_gateway._services import open_services

_CORS: Final[dict[str, Any]] = {
    "allow_methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        *("Authorization", "Content-Type", "Last-Event-ID"),
        *("Range", "If-Range", "If-None-Match"),
    ],
    "allow_credentials": True,
    "expose_headers": [
        *("Location", "ETag", "Accept-Ranges", "Content-Range", "Content-Disposition"),
        *("Retry-After", "WWW-Authenticate"),
    ],
}

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}, "description": what}
    for status, what in {
        400: "The cursor is malformed.",
        401: "There is no token, or none that is valid.",
        403: "The token does not open this, or another site's page sends it.",
        404: "There is no such session, run, step, element or ask.",
        409: "The id stands for something else, or what is asked for is over.",
        413: "The body, or the message in it, is too large.",
        422: "The request does not have the shape asked for.",
        429: "There were too many; `Retry-After` says when to try again.",
        503: "Redis does not answer.",
    }.items()
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The gateway; settings come from the environment unless given.

    When it cannot go on (the right to subscribe is taken away, say) it says why in the log and in
    ``app.state.failure``, and sends its process SIGTERM.

    Raises:
        SettingsError: a setting has a wrong value, or the health file cannot be written.
    """
    settings = settings or load_settings()
    objects = Objects.open(settings)
    prefix = Prefix(settings.root_path)
    health = HealthFile.of(settings)
    health.prepare()

    def fail(error: StepwireError) -> None:
        # Whatever server this runs in ends its streams, and then the process, as it always does.
        app.state.failure = error
        stop_process(error)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_services(settings, objects, prefix, fail) as services,
            Supervisor(fail) as side,
        ):
            app.state.services = services
            side.start(health.beat(), "stepwire-health")
            yield
        del app.state.services
        health.remove()

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
    app.add_middleware(OnlyRunning, gateway=app)
    app.state.failure = None
    app.state.requests = _metrics.Requests()
    app.state.refusals = _problems.Refusals()
    _problems.install(app)
    app.add_middleware(Exits)
    if origins := listed(settings.cors_origins):
        app.add_middleware(CORSMiddleware, allow_origins=origins, **_CORS)
    # Those added last are the outermost: it counts the answers of all others.
    app.add_middleware(_metrics.RequestCount, requests=app.state.requests)
    app.add_middleware(Prefixed, prefix=prefix)
    parts = (_sessions, _elements, _asks, _feedback, _streams, _tokens, _health, _metrics)
    _access.include(app, *(part.router for part in parts))
    _access.describe(app, cookie=settings.auth_cookie, is_open=not settings.has_auth)
    _add_inspector(app)
    return app


def _add_inspector(app: FastAPI) -> None:
    with as_file(files("stepwire_gateway") / "inspector") as folder:
        app.mount("/inspector", StaticFiles(directory=folder), name="inspector")
        page = folder / "index.html"

    router = APIRouter(route_class=_access.GuardedRoute)

    @router.get("/", include_in_schema=False)
    @_access.needs_nothing
    async def inspector() -> FileResponse:
        return FileResponse(page, headers=_PAGE_HEADERS)

    _access.include(app, router)


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
