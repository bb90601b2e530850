"""``stepwire workers``, ``tasks``, ``runs`` and ``retry``: what the queue's Redis knows of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepwire_core.errors import SessionNotFound, StepwireError
from stepwire_core.log.event_log import EventLog, open_log
from stepwire_core.log.repeat import replay
from stepwire_core.queue.dead_letters import DeadLetter, DeadLetters
from stepwire_core.queue.listing import QueuedRun, read_queue
from stepwire_core.queue.run_list import RunList, WantedRuns
from stepwire_core.queue.run_queue import RunQueue, open_queue
from stepwire_core.queue.task_registry import TaskRegistry
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.wire.task_document import TaskList
from stepwire_core.wire.worker_document import WorkerDocument

if TYPE_CHECKING:
    from stepwire_core.settings import Settings
    from stepwire_core.wire.run_entry import RunEntry

ALL_LETTERS = 1_000_000


class NotDead(StepwireError):
    """The run has no dead letter."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} is not among the failed runs: "
            "'stepwire runs --failed' lists the runs that can be retried"
        )


class NothingToReplayInto(StepwireError):
    """The session of a dead letter is gone."""

    def __init__(self, letter: DeadLetter) -> None:
        request = letter.request
        super().__init__(
            f"run {request.run_id!r} cannot be retried: its session {request.session_id!r} is gone "
            "(deleted, expired, or on another server than STEPWIRE_REDIS_URL)"
        )


@dataclass(frozen=True, slots=True)
class Retried:
    """The new run of a dead letter, or the reason why it has none."""

    letter: DeadLetter
    run_id: str | None
    problem: NothingToReplayInto | None = None


async def list_workers(settings: Settings) -> list[WorkerDocument]:
    """The workers of the queue, with what they run.

    Raises:
        SettingsError, StoreUnavailable: the queue's Redis does not answer.
    """
    async with _queue(settings) as queue:
        return await read_workers(queue.store, settings.queue_name)


async def list_tasks(settings: Settings) -> TaskList:
    """The tasks of the workers of the queue.

    Raises:
        StoreUnavailable: the queue's Redis does not answer.
    """
    async with open_queue(settings) as queue:
        return await TaskRegistry(queue.store, settings.queue_name).offer()


async def list_runs(settings: Settings, limit: int) -> list[QueuedRun]:
    """What runs and what waits.

    Raises:
        SettingsError, StoreUnavailable: the queue's Redis does not answer.
    """
    async with _queue(settings) as queue:
        return await read_queue(queue.store, settings.queue_name, limit)


async def find_runs(settings: Settings, wanted: WantedRuns, limit: int) -> list[RunEntry]:
    """The runs that a filter lets through.

    Raises:
        SettingsError, StoreUnavailable: the queue's Redis does not answer.
    """
    async with _queue(settings) as queue:
        found: list[RunEntry] = []
        at = None
        runs = RunList(queue.store, settings)
        while len(found) < limit:
            page = await runs.page(wanted, limit - len(found), at)
            found += page.runs
            if (at := page.next) is None:
                break
        return found


async def list_failed(settings: Settings, limit: int) -> list[DeadLetter]:
    """The dead letters, the newest first.

    Raises:
        SettingsError, StoreUnavailable: the queue's Redis does not answer.
    """
    async with _queue(settings) as queue:
        return await DeadLetters(queue.store, settings).newest(limit)


async def retry_run(settings: Settings, run_id: str) -> str:
    """Replay a dead letter; the new run's id.

    Raises:
        NotDead: the run has no dead letter.
        NothingToReplayInto: its session is gone.
        SettingsError, StoreUnavailable: Redis does not answer; again is safe.
    """
    async with _replaying(settings) as replaying:
        letter = await replaying.letters.get(run_id)
        if letter is None:
            raise NotDead(run_id)
        return await replaying(letter)


async def retry_all(settings: Settings) -> AsyncIterator[Retried]:
    """Replay all dead letters, the oldest first.

    Raises:
        SettingsError, StoreUnavailable: Redis does not answer; again is safe.
    """
    async with _replaying(settings) as replaying:
        for letter in reversed(await replaying.letters.newest(ALL_LETTERS)):
            try:
                yield Retried(letter, await replaying(letter))
            except NothingToReplayInto as problem:
                yield Retried(letter, None, problem)


@dataclass(frozen=True, slots=True)
class _Replaying:
    letters: DeadLetters
    log: EventLog
    queue: RunQueue

    async def __call__(self, letter: DeadLetter) -> str:
        try:
            return await replay(letter, self.letters, self.log, self.queue)
        except SessionNotFound:
            raise NothingToReplayInto(letter) from None


@asynccontextmanager
async def _queue(settings: Settings) -> AsyncIterator[RunQueue]:
    """The queue, once its Redis has answered: a wrong address is said with what to do."""
    url = settings.effective_queue_url
    is_logs = url == settings.redis_url
    await _require_answer(url, "STEPWIRE_REDIS_URL" if is_logs else "STEPWIRE_QUEUE_URL")
    async with open_queue(settings) as queue:
        yield queue


@asynccontextmanager
async def _replaying(settings: Settings) -> AsyncIterator[_Replaying]:
    await _require_answer(settings.redis_url, "STEPWIRE_REDIS_URL")
    async with open_log(settings) as log, _queue(settings) as queue:
        yield _Replaying(DeadLetters(queue.store, settings), log, queue)


async def _require_answer(url: str, variable: str) -> None:
    # Here, so that redis-py is loaded by the commands that connect, and not by all of them.
    from stepwire_core.process.redis_rights import require_answer

    await require_answer(url, variable)
