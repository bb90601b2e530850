"""The gateway as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from stepwire_core.errors import StepwireError
from stepwire_core.process.health_file import HealthFile
from stepwire_core.process.supervision import stop_process
from stepwire_core.settings import Settings, load_settings
from stepwire_core.storage.object_store import Objects
from stepwire_core.tracing.span_export import SpanExport
from stepwire_gateway import page
from stepwire_gateway.api import (
    asks,
    elements,
    feedback,
    health,
    metrics,
    openapi,
    runs,
    sessions,
    streams,
    tokens,
)
from stepwire_gateway.api.choices import settings as chat_settings
from stepwire_gateway.api.choices import start_page
from stepwire_gateway.api.lists import failed, fleet, task_list, waiting
from stepwire_gateway.api.lists import sessions as session_list
from stepwire_gateway.auth import guard
from stepwire_gateway.auth.browser import Cors
from stepwire_gateway.auth.limits import Exits, Room
from stepwire_gateway.faces.routes import routers as faces
from stepwire_gateway.http import problems
from stepwire_gateway.http.body_limit import BodyLimit
from stepwire_gateway.http.request_trace import Traced
from stepwire_gateway.http.unexpected import Unexpected
from stepwire_gateway.metrics import Metrics
from stepwire_gateway.mounted import OnlyRunning
from stepwire_gateway.prefix import Prefix, Prefixed
from stepwire_gateway.services import open_services

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


_OF_BODIES: Final[tuple[object, ...]] = (BodyLimit, OnlyRunning)
"""Middlewares that a stream does not need: it has no body, and the door looks whether it runs."""


class _Gateway(FastAPI):
    """FastAPI, with a door of their own for the streams of sessions."""

    door: streams.StreamDoor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.door.takes(scope):
            scope["app"] = self
            await self.door(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The gateway; settings come from the environment unless given.

    When it cannot go on (the right to subscribe is taken away, say) it says why in the log and in
    ``app.state.failure``, and sends its process SIGTERM.

    Raises:
        SettingsError: a setting has a wrong value, or the health file cannot be written.
        PageMissing: the inspector is not in this installation.
    """
    settings = settings or load_settings()
    objects = Objects.open(settings)
    prefix, numbers = Prefix(settings.root_path), Metrics()
    health_file = HealthFile.of(settings)
    spans = SpanExport.of(settings, service="stepwire-gateway")

    def fail(error: StepwireError) -> None:
        # Whatever server this runs in ends its streams, and then the process, as it always does.
        app.state.failure = error
        stop_process(error)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_services(settings, objects, prefix, numbers, fail) as services,
            health_file.beating(fail),
        ):
            app.state.services = services
            try:
                yield
            finally:
                del app.state.services
                if spans is not None:
                    await asyncio.to_thread(spans.close)

    app = _Gateway(
        title="stepwire gateway",
        version=version("stepwire"),
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        # The interactive pages load their scripts from elsewhere; the document itself is served.
        docs_url=None,
        redoc_url=None,
        # A redirect would name the scheme and host that we see, not those that the client uses.
        redirect_slashes=False,
    )
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(OnlyRunning, gateway=app)
    app.state.failure = None
    app.state.metrics = numbers
    problems.install(app)
    app.add_middleware(Exits)
    app.add_middleware(Unexpected)
    app.add_middleware(Room)
    if settings.cors_origins is not None:
        app.add_middleware(Cors, settings=settings)
    # Those added last are the outermost: it counts the answers of all others.
    app.add_middleware(metrics.RequestCount, metrics=numbers)
    app.add_middleware(Traced, settings=settings, spans=spans)
    app.add_middleware(Prefixed, prefix=prefix)
    # A request is compared with those before its own: what comes most often stands first.
    parts = (
        streams,
        sessions,
        session_list,
        start_page,
        runs,
        elements,
        asks,
        feedback,
        chat_settings,
        task_list,
        fleet,
        failed,
        waiting,
        tokens,
        health,
        metrics,
    )
    guard.include(app, *(part.router for part in parts), *faces(settings))
    openapi.describe(app, cookie=settings.auth_cookie, is_open=not settings.has_auth)
    page.add(app)
    around = [one for one in app.user_middleware if one.cls not in _OF_BODIES]
    app.door = streams.StreamDoor(app, prefix, around)
    return app
