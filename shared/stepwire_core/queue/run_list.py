"""Pages of the runs: those that run, then those that wait, then those that have failed for good."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from stepwire_core.queue.arq_format import StoredJob, stored_job
from stepwire_core.queue.dead_letters import DeadLetter, dead_letter_keys
from stepwire_core.queue.run_queue import JobKeys, about_key, held_key, subject_fact
from stepwire_core.queue.worker_registry import read_workers
from stepwire_core.redis.commands import command
from stepwire_core.values.clock import written
from stepwire_core.wire.run_entry import FAILED, UNDER_WAY, RunEntry
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.unreadable import readable
from stepwire_core.wire.worker_document import RunningRun, WorkerDocument

if TYPE_CHECKING:
    from stepwire_core.redis.store import Store
    from stepwire_core.settings import Settings

_AT_A_TIME: Final = 20
"""Jobs that are read in one round trip: each has the arguments of its run in it."""

_SCAN: Final = 200
_MOST: Final = 1_000
"""Runs that one page looks at, at the most; the next page goes on from there."""

Part = Literal["running", "waiting", "failed"]
_PARTS: Final[tuple[Part, ...]] = ("running", "waiting", "failed")


class Place(NamedTuple):
    """How far a list was read: in this part, to this order, of which so many runs were seen."""

    part: Part
    order: str
    seen: int


@dataclass(frozen=True, slots=True)
class WantedRuns:
    """Which runs a list is about."""

    statuses: frozenset[str] = UNDER_WAY
    handler: str | None = None
    subject: str | None = None
    tag: str | None = None

    def may_be(self, about: str | None) -> bool:
        """Whether a job may be one of them, by what the queue has beside it."""
        facts = () if about is None else about.split(" ", 2)
        if len(facts) != 3:
            # Somebody else's job, or one that has left the queue: it says itself what it is.
            return True
        _, subject, handler = facts
        if self.handler is not None and handler != self.handler:
            return False
        if self.subject is None:
            return True
        return subject == subject_fact(self.subject)

    def includes(self, entry: RunEntry) -> bool:
        return (
            entry.status in self.statuses
            and self.handler in (None, entry.handler)
            and self.subject in (None, entry.subject)
            and (self.tag is None or self.tag in entry.tags)
        )


@dataclass(slots=True)
class RunPage:
    runs: list[RunEntry] = field(default_factory=list)
    next: Place | None = None
    """Where the next page begins, which may be there although this one is short."""


class _Seen(NamedTuple):
    order: str
    entry: RunEntry | None


class RunList:
    """Reads the runs of one queue.

    Runs move while they are read: one that begins meanwhile may come twice, or not at all.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._queue = settings.queue_name

    async def page(self, wanted: WantedRuns, limit: int, after: Place | None = None) -> RunPage:
        """The next runs, at most ``limit``.

        Raises:
            StoreUnavailable: the queue's Redis does not answer.
        """
        page, looked_at, at = RunPage(), 0, after
        workers = await read_workers(self._store, self._queue)
        running = _running(workers)
        for part in _PARTS[_PARTS.index(after.part) if after else 0 :]:
            begin = after if after is not None and after.part == part else None
            async for seen in self._part(part, wanted, running, begin):
                if len(page.runs) == limit or looked_at == _MOST:
                    page.next = at
                    return page
                looked_at += 1
                before = at.seen if at and (at.part, at.order) == (part, seen.order) else 0
                at = Place(part, seen.order, before + 1)
                if seen.entry is not None and wanted.includes(seen.entry):
                    page.runs.append(seen.entry)
        return page

    def _part(
        self,
        part: Part,
        wanted: WantedRuns,
        running: dict[str, tuple[WorkerDocument, RunningRun]],
        after: Place | None,
    ) -> AsyncIterator[_Seen]:
        match part:
            case "running" if "running" in wanted.statuses:
                return self._executed(list(running.values()), wanted, after)
            case "waiting" if wanted.statuses & UNDER_WAY:
                return self._waiting(wanted, running, after)
            case "failed" if wanted.statuses & FAILED:
                return self._failed(after)
            case _:
                return _none()

    async def _executed(
        self,
        running: Sequence[tuple[WorkerDocument, RunningRun]],
        wanted: WantedRuns,
        after: Place | None,
    ) -> AsyncIterator[_Seen]:
        """What workers say that they execute, the oldest first."""
        chosen = [pair for pair in running if wanted.handler in (None, pair[1].handler)]
        left = [pair for pair in chosen if after is None or pair[1].since >= after.order]
        if after is not None:
            left = left[after.seen if left and left[0][1].since == after.order else 0 :]
        for start in range(0, len(left), _AT_A_TIME):
            chunk = left[start : start + _AT_A_TIME]
            keys = [JobKeys.of(self._queue, run.run_id).job for _, run in chunk]
            jobs = await self._store.read(*(command("GET", key) for key in keys))
            for (worker, run), job in zip(chunk, jobs, strict=True):
                found = _request(job)
                entry = RunEntry(
                    run_id=run.run_id,
                    session_id=run.session_id,
                    handler=run.handler,
                    status="running",
                    attempt=run.attempt,
                    started_at=run.since,
                    worker_id=worker.id,
                    host=worker.host,
                    pid=worker.pid,
                )
                yield _Seen(run.since, entry if found is None else _with_request(entry, *found))

    async def _waiting(
        self,
        wanted: WantedRuns,
        running: dict[str, tuple[WorkerDocument, RunningRun]],
        after: Place | None,
    ) -> AsyncIterator[_Seen]:
        """The runs in the queue, the next one first."""
        offset, lowest = (0, "-inf") if after is None else (after.seen, after.order)
        while True:
            [reply] = await self._store.read(
                command(
                    *("ZRANGEBYSCORE", self._queue, lowest, "+inf", "WITHSCORES"),
                    *("LIMIT", offset, _SCAN),
                )
            )
            ids = [id_.decode() for id_ in reply[::2]]
            scored = dict(zip(ids, map(_score, reply[1::2]), strict=True))
            about = []
            if ids:
                [about] = await self._store.read(command("HMGET", about_key(self._queue), *ids))
            chosen = [
                id_
                for id_, facts in zip(ids, about, strict=True)
                if id_ not in running and wanted.may_be(facts and facts.decode(errors="replace"))
            ]
            places = {id_: place for place, id_ in enumerate(chosen)}
            entries: dict[str, RunEntry] = {}
            for id_ in ids:
                if (place := places.get(id_)) is not None and place % _AT_A_TIME == 0:
                    # Read when they are reached: a page that is full reads no further jobs.
                    entries = await self._queued(chosen[place : place + _AT_A_TIME], scored)
                yield _Seen(scored[id_], entries.get(id_))
            if len(ids) < _SCAN:
                return
            offset += _SCAN

    async def _queued(self, ids: Sequence[str], scored: dict[str, str]) -> dict[str, RunEntry]:
        calls = []
        for id_ in ids:
            keys = JobKeys.of(self._queue, id_)
            calls.append(command("GET", keys.job))
            calls.append(command("EXISTS", keys.taken))
            calls.append(command("HEXISTS", held_key(self._queue), id_))
        replies = await self._store.read(*calls)
        found = {}
        for id_, job, taken, held in zip(
            ids, replies[::3], replies[1::3], replies[2::3], strict=True
        ):
            stored = _request(job)
            if stored is None:
                # Somebody else's job in our queue, or one that has left it meanwhile.
                continue
            at_ms = float(scored[id_])
            status = "queued"
            if taken:
                status = "running"
            elif held:
                status = "held"
            elif at_ms > time.time() * 1000:
                status = "deferred"
            request = stored[1]
            entry = RunEntry(
                run_id=request.run_id,
                session_id=request.session_id,
                handler=request.handler,
                status=status,
                due_at=written(int(at_ms)) if status == "deferred" else None,
            )
            found[id_] = _with_request(entry, *stored)
        return found

    async def _failed(self, after: Place | None) -> AsyncIterator[_Seen]:
        """The dead letters, the newest first."""
        order, letters = dead_letter_keys(self._queue)
        offset, highest = (0, "+inf") if after is None else (after.seen, after.order)
        lowest = int((time.time() - self._settings.dead_letters_ttl_s) * 1000)
        while True:
            [reply] = await self._store.read(
                command(
                    *("ZREVRANGEBYSCORE", order, highest, lowest, "WITHSCORES"),
                    *("LIMIT", offset, _AT_A_TIME),
                )
            )
            ids, scores = reply[::2], [_score(at) for at in reply[1::2]]
            contents = []
            if ids:
                [contents] = await self._store.read(command("HMGET", letters, *ids))
            for id_, score, content in zip(ids, scores, contents, strict=True):
                yield _Seen(score, _letter(id_.decode(), content))
            if len(ids) < _AT_A_TIME:
                return
            offset += _AT_A_TIME


async def _none() -> AsyncIterator[_Seen]:
    nothing: tuple[_Seen, ...] = ()
    for seen in nothing:
        yield seen


def _running(workers: Sequence[WorkerDocument]) -> dict[str, tuple[WorkerDocument, RunningRun]]:
    """The runs that workers execute; of two attempts of one run, the newer."""
    pairs = sorted(
        ((worker, run) for worker in workers for run in worker.runs),
        key=lambda pair: pair[1].attempt,
    )
    newest = {run.run_id: (worker, run) for worker, run in pairs}
    return dict(sorted(newest.items(), key=lambda item: (item[1][1].since, item[0])))


def _request(job: bytes | None) -> tuple[StoredJob, RunRequest] | None:
    if job is None:
        return None
    try:
        stored = stored_job(job)
        return stored, RunRequest.model_validate(stored.arguments[0])
    except (ValueError, LookupError, TypeError):
        return None


def _with_request(entry: RunEntry, stored: StoredJob, request: RunRequest) -> RunEntry:
    return entry.model_copy(
        update={
            "subject": request.subject,
            "tags": request.tags,
            "priority": request.priority,
            "queued_at": written(stored.queued_ms),
        }
    )


def _letter(run_id: str, content: bytes | None) -> RunEntry | None:
    letter = None if content is None else readable(DeadLetter, content, "dead letter", run_id)
    if letter is None:
        return None
    request = letter.request
    return RunEntry(
        run_id=request.run_id,
        session_id=request.session_id,
        handler=request.handler,
        status=letter.status,
        subject=request.subject,
        tags=request.tags,
        priority=request.priority,
        attempt=letter.attempts,
        ended_at=letter.ended_at,
        error=letter.error,
    )


def _score(score: bytes | float) -> str:
    """As Redis reads it again, to the same number."""
    return score.decode() if isinstance(score, bytes) else repr(score)
