"""One job in this worker: from the request in it to whether it has to come again."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from stepwire._ending import RetryLater
from stepwire_core.documents import ErrorInfo
from stepwire_core.errors import RunFenced, RunWaits, StoreUnavailable
from stepwire_core.queue import RunRequest

if TYPE_CHECKING:
    from stepwire._claims import Claimed
    from stepwire._run import Runner

logger = logging.getLogger("stepwire.worker")

_FIRST_TURN_S: Final = 0.25
_TURN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Again:
    """The job of a run that has not ended."""

    after_s: float = 0.0
    waits: RunRequest | None = None
    """The run, if it is not its turn yet."""


class Job:
    """A job that this worker has claimed."""

    def __init__(self, claimed: Claimed, runner: Runner, lease_s: float) -> None:
        self.lease = claimed.lease
        self._claimed = claimed
        self._runner = runner
        self._lease_s = lease_s
        self._attempt: asyncio.Task[Again | None] | None = None
        self._is_lost = False

    @property
    def is_running(self) -> bool:
        """Whether its run is being executed."""
        return self._attempt is not None

    @property
    def is_lost(self) -> bool:
        """Whether another worker has it now."""
        return self._is_lost

    def lose(self) -> None:
        """Another worker has taken it while this one was silent for longer than a lease: stop."""
        if self._attempt is not None:
            logger.warning(
                "a lease is lost, another worker has the run", extra={"run_id": self.lease.job_id}
            )
            self._is_lost = True
            self._attempt.cancel("another worker has this run: this one was silent for too long")

    async def execute(self) -> Again | None:
        """Execute its run; whether it has to come again.

        Instead of arq's ``run_job``, which asks Redis for the job once more, wraps it in limits of
        its own, and logs arguments. It ends by itself: whatever the handler does, and when the
        worker is told to stop.
        """
        request = self._claimed.request()
        if request is None:
            return None
        self._attempt = asyncio.create_task(self._run(request))
        try:
            return await self._attempt
        except asyncio.CancelledError:
            # The worker stops, or another one has the job now.
            return Again()
        except Exception:
            logger.exception("a job failed", extra={"job_id": self.lease.job_id})
            return None
        finally:
            self._attempt = None

    async def _run(self, fields: dict[str, Any]) -> Again | None:
        try:
            request = RunRequest.model_validate(fields)
        except ValidationError as error:
            await self._refuse(fields, error)
            return None
        tried = self._claimed.tried - 1
        try:
            await self._runner.execute(request, tried=tried)
        except RunWaits:
            # Whoever ends the run before it hurries it; this is for those that die over that.
            return Again(min(_FIRST_TURN_S * 2.0 ** min(tried, 16), _TURN_S), request)
        except RetryLater as later:
            return Again(later.after_s)
        except StoreUnavailable as error:
            logger.error(  # noqa: TRY400 - expected while Redis is away
                "a run is lost and will be closed",
                extra={"run_id": request.run_id, "error": str(error)},
            )
            return Again(self._lease_s)
        except RunFenced:
            logger.warning("a run went on elsewhere", extra={"run_id": request.run_id})
            self._is_lost = True
        return None

    async def _refuse(self, fields: dict[str, Any], error: ValidationError) -> None:
        """End the run of a job that another version has queued, if it says which."""
        job_id = self.lease.job_id
        logger.error("a job cannot be understood", extra={"job_id": job_id, "error": str(error)})
        session_id, run_id = fields.get("session_id"), fields.get("run_id")
        if isinstance(session_id, str) and isinstance(run_id, str):
            message = f"this worker does not understand the request: {error.errors()[0]['msg']}"
            reason = ErrorInfo(type="InvalidRequest", message=message)
            await self._runner.refuse(session_id, run_id, reason)
