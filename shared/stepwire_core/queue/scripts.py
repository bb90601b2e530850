"""The Lua scripts of the queue."""

from __future__ import annotations

from typing import Final

from stepwire_core.queue.arq_format import (
    JOB_TTL_MS,
    in_progress_key_prefix,
    job_key_prefix,
    retry_key_prefix,
)
from stepwire_core.redis.commands import Script
from stepwire_core.redis.scripts import lua_constants, lua_source
from stepwire_core.values.addresses import DEFAULT_QUEUE

WAKE_MAX: Final = 1_000
"""Wakes that wait while no worker listens; beyond them the poll finds the jobs."""

WAITING_MS: Final = 30 * 24 * 3600 * 1000
"""So far in the past is the score of a job that waits for a worker."""

LEVEL_MS: Final = 3600 * 1000
"""As much waiting is a level of priority worth."""

HEAD: Final = lua_constants(
    ARQ_QUEUE=DEFAULT_QUEUE,
    ARQ_JOB=job_key_prefix,
    ARQ_HAS=in_progress_key_prefix,
    ARQ_TRIED=retry_key_prefix,
    TRIED_TTL_S=JOB_TTL_MS // 1000,
    WAKE_MAX=WAKE_MAX,
    WAITING_MS=WAITING_MS,
    LEVEL_MS=LEVEL_MS,
) + lua_source("queue/keys")
"""What stands before every script of the queue."""


def queue_body(name: str) -> bytes:
    """A script of the queue without :data:`HEAD`."""
    return lua_source("queue/row") + lua_source(f"queue/{name}")


def _script(name: str) -> Script:
    return Script(HEAD + queue_body(name))


ENQUEUE: Final = _script("enqueue")
PROMOTE: Final = _script("promote")
CLAIM: Final = _script("claim")
CLAIM_BY_ID: Final = _script("claim_by_id")
RENEW: Final = _script("renew")
RELEASE_SLOTS: Final = _script("release_slots")
ACK: Final = _script("ack")
DEAD_LETTER: Final = Script(lua_source("queue/dead_letter"))
FORGET_LETTERS: Final = _script("forget_letters")
