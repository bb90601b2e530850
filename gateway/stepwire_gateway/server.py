"""The gateway as a process."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import uvicorn

from stepwire_core.connections import require
from stepwire_gateway.app import create_app

if TYPE_CHECKING:
    from stepwire_core.settings import Settings


def run_gateway(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; open streams are then closed, and clients reconnect elsewhere.

    Raises:
        SettingsError: no Redis answers.
    """
    asyncio.run(require(settings.redis_url, "STEPWIRE_REDIS_URL"))
    asyncio.run(require(settings.effective_queue_url, "STEPWIRE_QUEUE_URL"))
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=max(1, int(settings.grace_s)),
        access_log=False,
        log_config=None,
        # Behind a proxy the client's address is in a header; who may set it is said by the
        # deployment.
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS"),
    )
