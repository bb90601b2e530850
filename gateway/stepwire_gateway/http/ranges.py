"""Range requests for one span of bytes (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import Final

# 18 digits: more than any size, and less than what would make int() complain.
_SPEC: Final = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins behind the end: 416."""


def requested_span(header: str | None, size: int) -> range | None:
    """The positions that a ``Range`` header asks for, or None for all of them.

    A header of another form is ignored, as is one with several ranges: both may be (section 14.2),
    and no client of ours needs them.

    Raises:
        Unsatisfiable: nothing of it is there.
    """
    match = _SPEC.fullmatch(header) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        # The last so many bytes.
        start, stop = max(0, size - int(last)), size
    else:
        start = int(first)
        stop = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise Unsatisfiable
    return range(start, stop)


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether an ``If-None-Match`` header names this entity (RFC 9110, section 13.1.2)."""
    if header is None:
        return False
    candidates = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in candidates or etag in candidates
