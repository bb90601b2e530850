"""How many files, and so connections, this process may have open."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stepwire_core.settings import Settings

logger = logging.getLogger("stepwire.gateway")

RESERVE: Final = 128
"""Files that are not connections of clients: those to Redis and object storage, logs, modules."""

_UNLIMITED_TRIES: Final = (1_048_576, 65_536, 10_240)
"""Where the hard limit is none, some systems have another one that they do not tell (macOS)."""


def room_for_connections(settings: Settings) -> int:
    """Raise the soft limit of open files to the hard one; how many clients may then be connected.

    That is ``STEPWIRE_MAX_CONNECTIONS`` unless the hard limit is lower: then a warning says so, and
    what it means for ``STEPWIRE_MAX_STREAMS``.
    """
    wanted = settings.effective_max_connections
    files = raise_file_limit()
    if files is None or files >= wanted + RESERVE:
        return wanted
    room = max(1, files - RESERVE)
    setting = "STEPWIRE_MAX_CONNECTIONS" if settings.max_connections else "STEPWIRE_MAX_STREAMS"
    logger.warning(
        "%s cannot be reached: raise the hard limit of open files (ulimit -Hn; 'ulimits' in Docker)"
        " or lower the setting",
        setting,
        extra={
            "max_streams": settings.max_streams,
            "max_connections": wanted,
            "open_files": files,
            "connections": room,
        },
    )
    return room


def raise_file_limit() -> int | None:
    """Raise the soft limit to the hard one; the number then in force, or None: no limit."""
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in _UNLIMITED_TRIES if hard == resource.RLIM_INFINITY else (hard,):
        if soft == resource.RLIM_INFINITY or limit <= soft:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            continue
        soft = limit
    return None if soft == resource.RLIM_INFINITY else soft
