"""Times as the protocol writes them."""

from __future__ import annotations

import time


def now() -> str:
    """The time now: RFC 3339, UTC, milliseconds, as in ``2026-11-22T19:00:00.123Z``."""
    seconds, ms = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03d}Z"
