"""The gateway as a process."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import TYPE_CHECKING, Final, cast

import uvicorn
from sse_starlette.sse import AppStatus

from stepwire_core.errors import SettingsError
from stepwire_core.process.listen_address import require_address
from stepwire_core.process.redis_rights import require_stores
from stepwire_core.settings import is_loopback
from stepwire_gateway.app import create_app
from stepwire_gateway.http.connection_end import Bounds
from stepwire_gateway.http.open_files import room_for_connections
from stepwire_gateway.http.uvicorn_protocol import Connection

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from fastapi import FastAPI

    from stepwire_core.settings import Settings

DRAIN_SHARE: Final = 0.5
"""The part of the grace time over which open streams are closed, and bodies may still arrive."""

GC_THRESHOLDS: Final = (50_000, 10, 10)
"""Objects that are made until the garbage collector looks at the newest, and how often it does that
until it looks at older ones."""

ACCEPTS: Final = 8
"""Connections that are accepted in one turn of the event loop: what many clients need that come at
once is then asked of Redis together."""


def run_gateway(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; open streams are then ended, spread over the grace time.

    Raises:
        SettingsError: no Redis answers, or it cannot do what is needed; it cannot listen there; or
            others could reach it without authentication.
        StoreRefused, SideTaskFailed: it could not go on, and has stopped as on SIGTERM.
    """
    _refuse_strangers(settings)
    require_address(settings.host, settings.port)
    asyncio.run(require_stores(settings, takes_runs=False))
    # The library would cancel every stream half a second after the signal, in the middle of its
    # response.
    AppStatus.enable_automatic_graceful_drain = False
    app = create_app(settings)
    drain_s = settings.grace_s * DRAIN_SHARE
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection.within(_bounds(settings, app, drain_s)),
        # There are none here: asked for one, we answer as if it had not been asked for.
        ws="none",
        timeout_graceful_shutdown=max(1, int(settings.grace_s)),
        access_log=False,
        log_config=None,
        # Behind a proxy the client's address is in a header; who may set it is said by the
        # deployment.
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS"),
    )
    server = _Server(config, app, drain_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.told_to_stop)
    server.run()
    if app.state.failure is not None:
        raise app.state.failure


def _bounds(settings: Settings, app: FastAPI, drain_s: float) -> Bounds:
    return Bounds(
        headers_timeout_s=settings.headers_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        keep_alive_s=settings.keep_alive_s,
        send_timeout_s=settings.send_timeout_s,
        drain_s=drain_s,
        max_header_bytes=settings.max_header_bytes,
        max_connections=room_for_connections(settings),
        metrics=app.state.metrics,
    )


def _refuse_strangers(settings: Settings) -> None:
    if settings.has_auth or settings.auth_open or is_loopback(settings.host):
        return
    raise SettingsError(
        f"no authentication is set, and others could reach the gateway at {settings.host}: set "
        "STEPWIRE_AUTH_SECRETS, STEPWIRE_AUTH_JWKS_URL or STEPWIRE_API_KEYS, listen on loopback "
        "(--host 127.0.0.1), or say that it is open on purpose (STEPWIRE_AUTH_OPEN=true)"
    )


def _spare_the_collector() -> None:
    """Take what was loaded out of what the garbage collector looks at, and let it look less often.

    A client that comes makes some hundred objects, of which a few stay: with the usual numbers, the
    collector takes a fifth of what a client costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class _Server(uvicorn.Server):
    """Drains its streams when it shuts down."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, spread_s: float) -> None:
        super().__init__(config)
        self._app = app
        self._spread_s = spread_s

    def told_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Before the server handles signals itself, and after: once it has shut down in order it
        raises the signal again, and that is not a failure."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop, config = asyncio.get_running_loop(), self.config

        def made() -> asyncio.Protocol:
            return cast("type[Connection]", config.http)(
                config, self.server_state, self.lifespan.state
            )

        for listening in [one for server in self.servers for one in server.sockets]:
            for _ in range(ACCEPTS - 1):
                # The loop accepts one connection a turn from each of them.
                server = await loop.create_server(
                    made, sock=listening.dup(), backlog=config.backlog
                )
                self.servers.append(server)
        _spare_the_collector()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.services.hub.drain(self._spread_s)
        await super().shutdown(sockets)
