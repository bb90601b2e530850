"""Times as the protocol writes them: RFC 3339, UTC, milliseconds, ``2026-11-22T19:00:00.123Z``."""

from __future__ import annotations

import time
from functools import lru_cache


def now() -> str:
    """The time now."""
    return written(time.time_ns() // 1_000_000)


def after(seconds: float) -> str:
    """The time that many seconds from now."""
    return written(time.time_ns() // 1_000_000 + int(seconds * 1000))


def written(time_ms: int) -> str:
    """A time in milliseconds since 1970."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{_second(seconds)}.{ms:03d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    # Hundreds of steps begin in one second.
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
