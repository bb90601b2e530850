"""The jobs of this worker, each from the request in it to whether it has to come again."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from stepwire._runs.outcome import FAULT, RetryLater
from stepwire_core.errors import RunFenced, RunWaits, StoreRefused, StoreUnavailable
from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.run_request import RunRequest

if TYPE_CHECKING:
    from stepwire._runs.runner import Runner
    from stepwire._worker.lease import Lease
    from stepwire._worker.queue_client import Claimed
    from stepwire._worker.slots import Slot

logger = logging.getLogger("stepwire.worker")

FAULTS: Final = 3
"""A job that fails for a reason which is a fault of ours is tried this often."""

_FIRST_TURN_S: Final = 0.25
_TURN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Again:
    """The job has to come again: its run is not over."""

    after_s: float = 0.0
    waits: RunRequest | None = None
    """The run, if it is not its turn yet."""


class Job:
    """A job that this worker has claimed."""

    def __init__(self, claimed: Claimed, slot: Slot, runner: Runner, lease_s: float) -> None:
        self.lease = claimed.lease
        self.slot = slot
        self._claimed = claimed
        self._runner = runner
        self._lease_s = lease_s
        self._attempt: asyncio.Task[Again | None] | None = None
        self._is_lost = False
        self._is_stopped = False
        self.ended: RunRequest | None = None
        """The run, once it is over."""

    @property
    def size(self) -> int:
        """The bytes of the job."""
        return len(self._claimed.job or b"")

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
                "a lease is lost: another worker has the run", extra={"run_id": self.lease.job_id}
            )
            self._is_lost = True
            self._attempt.cancel("another worker has this run: this one was silent for too long")

    def stop(self) -> None:
        """The worker stops: end the attempt, so that another worker may try again."""
        if not self._is_stopped and self._attempt is not None:
            self._attempt.cancel("the worker is stopping")
        self._is_stopped = True

    async def execute(self) -> Again | None:
        """Execute its run; whether it has to come again.

        Instead of arq's ``run_job``, which asks Redis for the job once more, wraps it in limits of
        its own, and logs arguments. It ends by itself: whatever the handler does, and when the
        worker is told to stop.

        Raises:
            StoreRefused: no job can be executed until a person changes something.
        """
        if self._is_stopped:
            return Again()
        self._attempt = asyncio.create_task(self._run())
        try:
            return await self._attempt
        except asyncio.CancelledError:
            # The worker stops, or another one has the job now.
            return Again()
        finally:
            self._attempt = None
            await self.slot.close()

    async def _run(self) -> Again | None:
        fields: dict[str, Any] | None = None
        request: RunRequest | None = None
        try:
            if (queued := self._claimed.queued()) is not None:
                fields, queued_ms = queued
                request = await self._understood(fields)
                self._count_wait(request, queued_ms)
            if request is not None:
                tried = self._claimed.tried - 1
                await self._runner.execute(request, tried=tried, resting=self.slot.resting)
                self.ended = request
        except RunWaits:
            # The worker that ends the run before promotes it; this is for workers that die first.
            delay_s = _FIRST_TURN_S * 2.0 ** min(self._claimed.tried - 1, 16)
            return Again(min(delay_s, _TURN_S), request)
        except RetryLater as later:
            return Again(later.after_s)
        except StoreRefused:
            raise
        except StoreUnavailable as error:
            logger.error(  # noqa: TRY400 - expected while Redis is away
                "a run is lost and will be closed",
                extra={"run_id": self.lease.job_id, "error": str(error)},
            )
            return Again(self._lease_s)
        except RunFenced:
            logger.warning("a run went on elsewhere", extra={"run_id": self.lease.job_id})
            self._is_lost = True
        except Exception:
            # The boundary of a job: it is a fault of ours, which must not cost the worker.
            logger.exception("a job failed", extra={"job_id": self.lease.job_id})
            return await self._after_fault(fields)
        return None

    def _count_wait(self, request: RunRequest | None, queued_ms: int) -> None:
        """How long it waited for its first worker, by the clocks of both machines."""
        if request is None or self._claimed.tried > 1:
            return
        due_ms = max(queued_ms, request.due_ms or 0)
        self._runner.numbers.waited(request.handler, time.time() - due_ms / 1000)

    async def _understood(self, fields: dict[str, Any]) -> RunRequest | None:
        """The request; None if it cannot be understood, and its run has ended with that."""
        try:
            return RunRequest.model_validate(fields)
        except ValidationError as error:
            await self._refuse(fields, error)
            return None

    async def _after_fault(self, fields: dict[str, Any] | None) -> Again | None:
        """Perhaps it passes; the last time, the run ends with it."""
        if fields is None:
            return None
        if self._claimed.tried < FAULTS:
            return Again(self._lease_s)
        try:
            await self._end(fields, FAULT)
        except StoreRefused:
            raise
        except StoreUnavailable:
            return Again(self._lease_s)
        except Exception:
            # It cannot be ended either; once more would come to the same.
            logger.exception("a run could not be ended", extra={"run_id": self.lease.job_id})
        return None

    async def _refuse(self, fields: dict[str, Any], error: ValidationError) -> None:
        """End the run of a job that another version has queued, if it says which."""
        job_id = self.lease.job_id
        logger.error("a job cannot be understood", extra={"job_id": job_id, "error": str(error)})
        message = f"this worker does not understand the request: {error.errors()[0]['msg']}"
        await self._end(fields, ErrorInfo(type="InvalidRequest", message=message))

    async def _end(self, fields: dict[str, Any], reason: ErrorInfo) -> None:
        session_id, run_id = fields.get("session_id"), fields.get("run_id")
        if isinstance(session_id, str) and isinstance(run_id, str):
            await self._runner.refuse(session_id, run_id, reason)


class Jobs:
    """The jobs that this worker has, by their ids; changed on its event loop alone."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self.lost = 0
        """How many other workers took, since this one was silent."""

    @property
    def ids(self) -> list[str]:
        return list(self._jobs)

    def add(self, job: Job) -> None:
        self._jobs[job.lease.job_id] = job

    def remove(self, job: Job) -> None:
        """The job is over."""
        del self._jobs[job.lease.job_id]

    def leases(self) -> list[Lease]:
        """Those of the jobs that are being executed; from any thread."""
        # Copied at once: the loop changes it meanwhile.
        return [job.lease for job in list(self._jobs.values()) if job.is_running]

    def lose(self, leases: list[Lease]) -> None:
        """Stop these jobs, unless they are over: other workers have them."""
        for lease in leases:
            job = self._jobs.get(lease.job_id)
            if job is not None and job.lease is lease:
                self.lost += 1
                job.lose()

    def stop(self) -> None:
        """The worker stops: end all attempts."""
        for job in list(self._jobs.values()):
            job.stop()
