"""How arq keeps a job in Redis: what it is named, what is in it.

This is said here once more, and not imported, so that only a worker needs arq: scripts, gateways
and other task queues send runs to a worker, too. A test compares it with arq itself.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final

# Named as in arq.constants.
job_key_prefix: Final = "arq:job:"
in_progress_key_prefix: Final = "arq:in-progress:"
retry_key_prefix: Final = "arq:retry:"

JOB_TTL_MS: Final = 7 * 24 * 3600 * 1000
"""A job that no worker takes for this long after it is due is gone."""

_LAST_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job, as far as we use what arq has in it."""

    function: str
    arguments: list[Any]
    queued_ms: int


def serialize_job(function: str, *arguments: Any) -> bytes:
    """A job that is queued now."""
    queued_ms = time.time_ns() // 1_000_000
    return serialize({"t": None, "f": function, "a": arguments, "k": {}, "et": queued_ms})


def stored_job(raw: bytes) -> StoredJob:
    """A stored job, decoded.

    Raises:
        ValueError: this is not a job that stepwire has written.
    """
    try:
        job = deserialize(raw)
        found = StoredJob(str(job["f"]), list(job["a"]), int(job["et"]))
    except (LookupError, TypeError, OverflowError) as error:
        raise ValueError(f"a job of a form that is not ours: {error!r}") from error
    if not 0 <= found.queued_ms <= _LAST_MS:
        raise ValueError("a job of a form that is not ours: its time is none that can be written")
    return found


def serialize(job: dict[str, Any]) -> bytes:
    """A job or a result for Redis; arq would write pickle."""
    # An exception as a job's result has no JSON; its text is what a reader can use.
    return json.dumps(job, ensure_ascii=False, allow_nan=False, default=repr).encode()


def deserialize(job: bytes) -> dict[str, Any]:
    """What :func:`serialize` has written."""
    decoded: dict[str, Any] = json.loads(job)
    return decoded
