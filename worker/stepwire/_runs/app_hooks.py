"""The functions of a module around all runs: ``on_app_startup``, ``on_app_shutdown``."""

from __future__ import annotations

import logging
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from stepwire._runs.user_code import UserCode, invoke
from stepwire_core.errors import HandlerModuleError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stepwire._handlers.registry import Handlers, Hook
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.worker")

SHUTDOWN_S: Final = 5.0
"""The end of a worker process counts on it: see ``stopping.END_S``."""


@asynccontextmanager
async def application(handlers: Handlers, settings: Settings) -> AsyncIterator[None]:
    """Around all runs of a process.

    Raises:
        HandlerModuleError: ``on_app_startup`` failed or took too long; the block was not entered.
        asyncio.CancelledError: the process was told to stop meanwhile.
    """
    limit_s = settings.startup_timeout_s
    await _call(handlers, "on_app_startup", limit_s, "STEPWIRE_STARTUP_TIMEOUT_S")
    try:
        yield
    finally:
        try:
            await _call(handlers, "on_app_shutdown", SHUTDOWN_S, "a limit of stepwire")
        except HandlerModuleError as error:
            # The process ends either way.
            logger.error("the application did not shut down in order", extra={"error": str(error)})  # noqa: TRY400


async def _call(handlers: Handlers, hook: Hook, limit_s: float, limit: str) -> None:
    function = handlers.hooks.get(hook)
    if function is None:
        return
    outcome = await UserCode(invoke(function)).outcome(limit_s)
    if outcome.stopped is not None:
        raise outcome.stopped
    if outcome.cut is not None:
        raise HandlerModuleError(f"@cl.{hook} took longer than {limit_s:g} s ({limit})")
    if outcome.error is not None:
        raise HandlerModuleError(
            f"@cl.{hook} failed:\n\n{_user_traceback(outcome.error)}"
        ) from outcome.error


def _user_traceback(error: BaseException) -> str:
    """The traceback from the user's first frame on."""
    frames = traceback.TracebackException.from_exception(error)
    ours = {__file__, invoke.__code__.co_filename}
    frames.stack = traceback.StackSummary.from_list(
        frame for frame in frames.stack if frame.filename not in ours
    )
    return "".join(frames.format()).rstrip()
