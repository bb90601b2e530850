"""Dead letters: runs that have ended as ``error`` or ``interrupted``, with all that it takes to do
their work again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from stepwire_core.queue.run_queue import queue_keys
from stepwire_core.queue.scripts import DEAD_LETTER, FORGET_LETTERS
from stepwire_core.redis.commands import command
from stepwire_core.redis.scripts import script_args
from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.unreadable import readable

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store
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


def dead_letter_keys(queue_name: str) -> tuple[str, str]:
    """Where the ids of the letters are, by when they were added, and the letters themselves."""
    return f"{queue_name}:dead", f"{queue_name}:dead:letters"


class DeadLetters:
    """The dead letters of a queue, in its Redis, by the id of their run.

    At most ``dead_letters_max``, none for longer than ``dead_letters_ttl_s``; the oldest go first.
    Every method raises :class:`StoreUnavailable` when Redis does not answer. A letter that this
    version cannot read is not there (:mod:`stepwire_core.wire.unreadable`).
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._order, self._letters = dead_letter_keys(settings.queue_name)
        self._sessions = f"{self._order}:sessions"
        self._keys = [self._order, self._letters, self._sessions]

    async def add(self, letter: DeadLetter) -> None:
        """Remember a run; again changes nothing."""
        request = letter.request
        args = script_args(
            "queue/dead_letter",
            run=request.run_id,
            session=request.session_id,
            letter=letter.model_dump_json(),
            most=self._settings.dead_letters_max,
            ttl_ms=self._settings.dead_letters_ttl_s * 1000,
        )
        await self._store.call(DEAD_LETTER.on(self._keys, args))

    async def newest(self, limit: int) -> list[DeadLetter]:
        """The last ones, the newest first."""
        if limit < 1:
            return []
        since_ms = int((time.time() - self._settings.dead_letters_ttl_s) * 1000)
        [run_ids] = await self._store.read(
            command("ZREVRANGEBYSCORE", self._order, "+inf", since_ms, "LIMIT", 0, limit)
        )
        if not run_ids:
            return []
        [contents] = await self._store.read(command("HMGET", self._letters, *run_ids))
        letters = (
            readable(DeadLetter, content, "dead letter", run_id.decode())
            for run_id, content in zip(run_ids, contents, strict=True)
            if content
        )
        return [letter for letter in letters if letter is not None]

    async def get(self, run_id: str) -> DeadLetter | None:
        """The dead letter of that run, if there is one."""
        [content] = await self._store.read(command("HGET", self._letters, run_id))
        return None if content is None else readable(DeadLetter, content, "dead letter", run_id)

    async def forget(self, run_id: str) -> None:
        """Take a letter off the list, if it is there."""
        await self._remove([run_id])

    async def forget_session(self, session_id: str) -> None:
        """Nothing is left of a session that was deleted."""
        [sessions] = await self._store.read(command("HGETALL", self._sessions))
        wanted = session_id.encode()
        if runs := [run.decode() for run, session in sessions.items() if session == wanted]:
            await self._remove(runs)

    async def _remove(self, run_ids: list[str]) -> None:
        keys = [*queue_keys(self._settings.queue_name), *self._keys]
        await self._store.call(FORGET_LETTERS.on(keys, run_ids))
