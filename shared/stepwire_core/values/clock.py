"""Times as the protocol writes them: RFC 3339, UTC, milliseconds, ``2026-11-22T19:00:00.123Z``."""

from __future__ import annotations

import time
from functools import lru_cache

_latest: list[tuple[int, str]] = [(0, "1970-01-01T00:00:00.000Z")]
"""The time that was written last: many steps begin and end in one millisecond."""


def now() -> str:
    """The time now."""
    time_ms = time.time_ns() // 1_000_000
    known_ms, text = _latest[0]
    if time_ms != known_ms:
        text = written(time_ms)
        _latest[0] = (time_ms, text)
    return text


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
