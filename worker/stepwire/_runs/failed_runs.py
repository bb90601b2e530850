"""Runs that have ended badly, remembered so that their work can be done again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from stepwire_core.errors import (
    RunEnded,
    RunFenced,
    SessionNotFound,
    StoreRefused,
    StoreUnavailable,
)
from stepwire_core.queue.dead_letters import DeadLetter
from stepwire_core.values.clock import now

if TYPE_CHECKING:
    from stepwire_core.log.event_log import EventLog
    from stepwire_core.queue.dead_letters import DeadLetters
    from stepwire_core.wire.documents import ErrorInfo
    from stepwire_core.wire.run_request import RunRequest

logger = logging.getLogger("stepwire.run")

NOT_OUR_FAULT: Final = (RunEnded, RunFenced, SessionNotFound, StoreRefused, StoreUnavailable)
"""Errors that are not our fault: the run has ended, or nothing of it can be stored any more."""


class FailedRuns:
    """Writes the dead letters of this process."""

    def __init__(self, log: EventLog, letters: DeadLetters | None) -> None:
        """Without ``letters``, a run that fails is not remembered."""
        self._log = log
        self._letters = letters

    async def remember(
        self, request: RunRequest, status: str, error: ErrorInfo | None, attempts: int
    ) -> None:
        """Remember a run if it has ended badly.

        This comes after its end is stored and before its job is done. Whatever happens in between,
        the job comes back, to a worker that finds the run ended (:meth:`remember_ended`). The other
        way round, a dead letter could name a run that goes on, since its end was never stored.

        Raises:
            StoreUnavailable, StoreRefused: the queue's Redis does not answer, or refuses.
        """
        if self._letters is None or status not in {"error", "interrupted"}:
            return
        try:
            letter = DeadLetter(
                request=request, status=status, error=error, attempts=attempts, ended_at=now()
            )
            await self._letters.add(letter)
        except NOT_OUR_FAULT:
            raise
        except Exception:
            # The run has ended; that it cannot be replayed must not look like another fault of it.
            logger.exception("a dead letter is not written", extra={"run_id": request.run_id})

    async def remember_ended(self, request: RunRequest) -> None:
        """A job came back although its run is over: its worker was lost before it could write the
        letter.

        Only for a job that came back: a request that a client repeats must not bring a dead letter
        back that was replayed.
        """
        try:
            run = await self._log.run(request.session_id, request.run_id)
        except SessionNotFound:
            return
        if run is not None and run.status != "running":
            await self.remember(request, run.status, run.error, run.attempt)
