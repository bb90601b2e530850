"""The Lua scripts of the queue."""

from __future__ import annotations

from typing import Final

from stepwire_core.queue.arq_format import (
    JOB_TTL_MS,
    in_progress_key_prefix,
    job_key_prefix,
    retry_key_prefix,
)
from stepwire_core.redis.scripts import lua_source
from stepwire_core.settings import DEFAULT_QUEUE

WAKE_MAX: Final = 1_000
"""Wakes that wait while no worker listens; beyond them the poll finds the jobs."""


def queue_script(name: str) -> bytes:
    """One of these scripts, with what they have in common."""
    common = (
        f"local ARQ_QUEUE, ARQ_JOB, ARQ_HAS, ARQ_TRIED = '{DEFAULT_QUEUE}', '{job_key_prefix}', "
        f"'{in_progress_key_prefix}', '{retry_key_prefix}'\n"
        f"local TRIED_TTL_S, WAKE_MAX = {JOB_TTL_MS // 1000}, {WAKE_MAX}\n"
    )
    return common.encode() + lua_source("queue/row") + lua_source(f"queue/{name}")
