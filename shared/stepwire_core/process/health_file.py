"""A file that tells a supervisor whether this process lives: it needs no network, no Redis, and no
Python to be looked at.

A worker that cannot reach Redis is healthy: it waits for it, and a supervisor that restarts it
would only kill its runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import ProcessUnfit, SettingsError
from stepwire_core.process.supervision import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stepwire_core.process.supervision import Fail
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.health")

BEAT_S: Final = 2.0
"""How often the file is touched while the event loop runs."""

STALE_S: Final = 60.0
"""A file that was not touched for this long is the trace of a process that is dead or blocked. It
is the minute of ``find -mmin -1``."""

_MODE: Final = 0o644
# Never through a link that another user has put there, and never waiting for a pipe's reader.
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class HealthFile:
    """The file of one process; without a path nothing is written.

    A file that an earlier process has left is removed at once: it says nothing about this one.

    Raises:
        SettingsError: no file can be written there.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        try:
            self._touch()
        except OSError as error:
            raise SettingsError(
                f"STEPWIRE_HEALTH_FILE={path}: cannot be written ({error.strerror}): name a file "
                "in a folder that this user may write to, or leave the setting out"
            ) from error
        self._remove()

    @classmethod
    def of(cls, settings: Settings) -> HealthFile:
        return cls(settings.health_file)

    @asynccontextmanager
    async def beating(self, fail: Fail) -> AsyncIterator[None]:
        """Touch the file every :data:`BEAT_S` while the block runs, and remove it at the end,
        however that comes. ``fail`` is called if that cannot go on."""
        try:
            async with Supervisor(fail) as side_tasks:
                side_tasks.start(self._beat(), "stepwire-health")
                yield
        finally:
            self._remove()

    async def _beat(self) -> None:
        if self._path is None:
            return
        fails = False
        while True:
            try:
                self._touch()
                fails = False
            except OSError as error:
                if not fails:
                    logger.warning(
                        "the health file cannot be touched: a supervisor will take this process "
                        "for dead",
                        extra={"path": str(self._path), "error": str(error)},
                    )
                fails = True
            await asyncio.sleep(BEAT_S)

    def _remove(self) -> None:
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("the health file stays", extra={"error": str(error)})

    def _touch(self) -> None:
        if self._path is None:
            return
        # Opened anew each time: something may have cleaned up the folder.
        file = os.open(self._path, _FLAGS, _MODE)
        try:
            os.utime(file)
        finally:
            os.close(file)


def check_health(settings: Settings) -> None:
    """Return when the process whose file it is lives, and its event loop turns.

    Raises:
        SettingsError: the settings name no file.
        ProcessUnfit: the process is dead or blocked, or still starts.
    """
    path = settings.health_file
    if path is None:
        raise SettingsError(
            "there is nothing to look at: set STEPWIRE_HEALTH_FILE to the same path for the "
            "process and for its check"
        )
    try:
        age_s = time.time() - Path(path).stat().st_mtime
    except OSError as error:
        raise ProcessUnfit(
            f"{path}: {error.strerror}: no process that has this STEPWIRE_HEALTH_FILE works"
        ) from error
    if age_s > STALE_S:
        raise ProcessUnfit(
            f"{path} was last touched {age_s:.0f} s ago: the process has died, or code that does "
            "not await blocks its event loop; restart it"
        )
