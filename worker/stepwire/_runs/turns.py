"""Whose turn it is: the runs of a session that wait for each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from stepwire._asking.waiting import patiently
from stepwire._runs.outcome import BUSY, CANCELLED, Ending
from stepwire_core.errors import RunWaits
from stepwire_core.log.turn_queue import NOBODY, pass_turn
from stepwire_core.values.ids import attempt_token
from stepwire_core.wire.words import IN_TURN, ON_MESSAGE

if TYPE_CHECKING:
    from stepwire._handlers.policy import Concurrency
    from stepwire_core.log.event_log import Begun, EventLog
    from stepwire_core.queue.run_queue import RunQueue
    from stepwire_core.settings import Settings
    from stepwire_core.wire.run_request import RunRequest

logger = logging.getLogger("stepwire.run")

ORPHAN_TRIES: Final = 6
"""A run that has waited for its turn this often looks whether the one before it is still queued."""


class Turns:
    """Begins runs when it is their turn, as the ``concurrency`` of their handler says."""

    def __init__(self, log: EventLog, queue: RunQueue | None, settings: Settings) -> None:
        """Without a queue, no run waits for another."""
        self._settings = settings
        self._log = log
        self._queue = queue

    async def begin(
        self, request: RunRequest, concurrency: Concurrency, tried: int
    ) -> tuple[Begun, Ending | None]:
        """Begin an attempt; with its end, if it has one already.

        Raises:
            RunWaits: it is not its turn yet; nothing was begun.
            RunEnded, SessionNotFound, StoreUnavailable: as of ``EventLog.begin_run``.
        """
        session_id, run_id, token = request.session_id, request.run_id, attempt_token()
        in_turn = (
            self._queue is not None and request.handler in IN_TURN and concurrency != "parallel"
        )
        message = "" if request.message is None else request.message.id
        begin = partial(self._log.begin_run, session_id, run_id, token, message=message)
        try:
            turn = request.handler if in_turn else ""
            begun = await patiently(self._settings, partial(begin, turn=turn))
        except RunWaits as waits:
            messages = [run for handler, run in waits.before if handler == ON_MESSAGE]
            if concurrency == "reject" and messages:
                return await patiently(self._settings, begin), BUSY
            if concurrency == "interrupt":
                await self._interrupt(session_id, messages)
            if tried >= ORPHAN_TRIES:
                await self._skip_orphan(session_id, waits)
            raise
        return begun, CANCELLED if begun.cancelled else None

    async def over(self, request: RunRequest) -> None:
        """Let the run that waited for this one begin at once."""
        if self._queue is not None:
            await pass_turn(
                self._log, self._queue, request.session_id, request.handler, request.run_id
            )

    async def skip(self, request: RunRequest) -> None:
        """A run that does nothing waits no more; no attempt of it begins."""
        await self._log.leave_turn(request.session_id, request.handler, request.run_id)

    async def look_again(self, request: RunRequest) -> None:
        """Its turn may have come between the moment when it was told to wait and the moment when
        it was back in the queue, where one can be hurried."""
        if self._queue is not None:
            await pass_turn(self._log, self._queue, request.session_id, request.handler, NOBODY)

    async def _interrupt(self, session_id: str, messages: Sequence[str]) -> None:
        for run_id in messages:
            await self._log.cancel_run(session_id, run_id)
            if self._queue is not None:
                # One that waits itself ends as soon as a worker looks at it.
                await self._queue.make_due(run_id)

    async def _skip_orphan(self, session_id: str, waits: RunWaits) -> None:
        """Stop waiting for a run that was never queued: its gateway died before it could."""
        handler, run_id = waits.before[0]
        if self._queue is not None and not await self._queue.has(run_id):
            logger.warning("a run was never queued", extra={"run_id": run_id})
            await pass_turn(self._log, self._queue, session_id, handler, run_id)
