"""Dead letters: runs that have ended as ``error`` or ``interrupted``, with all that it takes to do
their work again."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ConfigDict

from stepwire_core.queue.run_queue import JobKeys, about_key
from stepwire_core.redis.connections import translated
from stepwire_core.redis.scripts import lua_source, script_args
from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.unreadable import readable

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from stepwire_core.settings import Settings


class DeadLetter(BaseModel):
    """A run that ended badly, and for good."""

    # Of a newer version, all of it is kept: a replay hands its request on.
    model_config = ConfigDict(extra="allow")

    request: RunRequest
    status: str
    """``error`` or ``interrupted``, or a newer version's."""
    error: ErrorInfo | None
    attempts: int
    ended_at: str


class DeadLetters:
    """The dead letters of a queue, in its Redis, by the id of their run.

    At most ``dead_letters_max``, none for longer than ``dead_letters_ttl_s``; the oldest go first.
    Every method raises :class:`StoreUnavailable` when Redis does not answer. A letter that this
    version cannot read is not there (:mod:`stepwire_core.wire.unreadable`).
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        base = f"{settings.queue_name}:dead"
        self._order, self._letters, self._sessions = base, f"{base}:letters", f"{base}:sessions"
        self._bury = redis.register_script(lua_source("queue/dead_letter"))

    async def bury(self, letter: DeadLetter) -> None:
        """Remember a run; again changes nothing."""
        request = letter.request
        async with translated():
            await self._bury(
                keys=[self._order, self._letters, self._sessions],
                args=script_args(
                    "queue/dead_letter",
                    run=request.run_id,
                    session=request.session_id,
                    letter=letter.model_dump_json(),
                    most=self._settings.dead_letters_max,
                    ttl_ms=self._settings.dead_letters_ttl_s * 1000,
                ),
            )

    async def newest(self, limit: int) -> list[DeadLetter]:
        """The last ones, the newest first."""
        if limit < 1:
            return []
        since_ms = int((time.time() - self._settings.dead_letters_ttl_s) * 1000)
        async with translated():
            run_ids = await self._redis.zrevrangebyscore(
                self._order, "+inf", since_ms, start=0, num=limit
            )
            if not run_ids:
                return []
            # redis-py types its commands for both of its clients at once.
            reply = self._redis.hmget(self._letters, run_ids)
            contents = await cast("Awaitable[list[bytes | None]]", reply)
        letters = (
            readable(DeadLetter, content, "dead letter", run_id.decode())
            for run_id, content in zip(run_ids, contents, strict=True)
            if content
        )
        return [letter for letter in letters if letter is not None]

    async def get(self, run_id: str) -> DeadLetter | None:
        """The dead letter of that run, if there is one."""
        async with translated():
            reply = self._redis.hget(self._letters, run_id)
            content = await cast("Awaitable[bytes | None]", reply)
        return None if content is None else readable(DeadLetter, content, "dead letter", run_id)

    async def forget(self, run_id: str) -> None:
        """Take a letter off the list; no such letter is no error."""
        await self._remove([run_id])

    async def forget_session(self, session_id: str) -> None:
        """Nothing is left of a session that was deleted."""
        async with translated():
            reply = self._redis.hgetall(self._sessions)
            sessions = await cast("Awaitable[dict[bytes, bytes]]", reply)
        wanted = session_id.encode()
        if runs := [run.decode() for run, session in sessions.items() if session == wanted]:
            await self._remove(runs)

    async def _remove(self, run_ids: list[str]) -> None:
        async with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(self._order, *run_ids)
            pipe.hdel(self._letters, *run_ids)
            pipe.hdel(self._sessions, *run_ids)
            # A job whose worker was stopped may still wait, for another one to find that its run is
            # over and to bury it once more.
            queue_name = self._settings.queue_name
            pipe.zrem(queue_name, *run_ids)
            pipe.hdel(about_key(queue_name), *run_ids)
            for keys in (JobKeys.of(queue_name, run_id) for run_id in run_ids):
                pipe.delete(keys.job, keys.tried)
            await pipe.execute()
