"""Waiting for news from elsewhere: a person's answer, another worker's result."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, TypeVar

from stepwire._transport.signals import CHECK_S
from stepwire_core.errors import StoreUnavailable
from stepwire_core.redis.backoff import Backoff

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from stepwire._scope.context import Scope
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.waiting")

LOOK_S: Final = 0.25
"""The log is looked at this often where no signal comes."""

T = TypeVar("T")


async def patiently(settings: Settings, work: Callable[[], Awaitable[T]]) -> T:
    """Wait for Redis as long as events do. The work may be done twice.

    Raises:
        StoreUnavailable: Redis was away for ``STEPWIRE_PUBLISH_TIMEOUT_S``.
    """
    delays, deadline = Backoff(), time.monotonic() + settings.publish_timeout_s
    while True:
        try:
            return await work()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(delays.next_s())


async def waited_for(scope: Scope, name: str, look: Callable[[], Awaitable[T | None]]) -> T:
    """What ``look`` finds, as soon as it finds something.

    It is called when a signal announces news of ``name``, and now and then, since signals may be
    lost. While it waits, the handler takes no slot in its worker.
    """
    run = scope.run
    # On another loop than the worker's (sync code under asyncio.run) no signal can reach us.
    is_reached = run is not None and run.loop is asyncio.get_running_loop()
    signals = run.signals if run is not None and is_reached else None
    waiting: AbstractContextManager[asyncio.Event] = (
        nullcontext(asyncio.Event()) if signals is None else signals.waiting(name)
    )
    async with nullcontext() if run is None else run.resting():
        with waiting as news:
            while True:
                news.clear()
                try:
                    found = await look()
                except StoreUnavailable as error:
                    logger.warning("cannot look for signals", extra={"error": str(error)})
                else:
                    if found is not None:
                        return found
                try:
                    async with asyncio.timeout(LOOK_S if signals is None else CHECK_S):
                        await news.wait()
                except TimeoutError:
                    continue
