"""The judgement: every log, snapshot and dead letter, when all is over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from redis import Redis

from faults.clients import Conversation, Fleet, Harassment
from faults.plan import Report
from faults.verdict import Entry, Verdict, joined, read_log
from faults.work import HOSTILE
from stepwire_core.queue.dead_letters import DeadLetter
from stepwire_core.redis.keys import SessionKeys


class Judge:
    """Notes in the report what must not have been seen.

    What a log held before it was changed over to another server, or came back with one, it is told
    in :meth:`remember`: a new epoch begins a new stream.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._seen: dict[str, list[Entry]] = defaultdict(list)
        self._dead: dict[str, set[str]] = defaultdict(set)

    def remember(self, redis: Redis, session_ids: Iterable[str]) -> None:
        """The contents of the logs, after the last write."""
        for session_id in session_ids:
            self._seen[session_id] = self._all_of(redis, session_id)

    def conversation(self, redis: Redis, each: Conversation) -> None:
        """One client's session, in which every run has an expected result."""
        verdict = self._verdict(redis, each.session_id)
        value: Any = redis.hget(SessionKeys.of(each.session_id).meta[:-4] + "user", "count")
        if snapshot := self._snapshot(each):
            verdict.judge(each.posted, snapshot, None if value is None else int(value))
        self._judge_talk(each, verdict)
        self._note_violations(verdict)

    def harassment(self, redis: Redis, each: Harassment) -> None:
        """The session of hostile runs, each of which ends as promised."""
        verdict = self._verdict(redis, each.session_id)
        if snapshot := self._snapshot(each):
            verdict.judge_log(snapshot)
        self._judge_hostile(each, verdict)
        self._note_violations(verdict)

    def _all_of(self, redis: Redis, session_id: str) -> list[Entry]:
        entries, changed = joined(self._seen[session_id], read_log(redis, session_id))
        self._report.violations += [f"{session_id} {what}" for what in changed]
        return entries

    def _verdict(self, redis: Redis, session_id: str) -> Verdict:
        verdict = Verdict(session_id)
        verdict.read(self._all_of(redis, session_id))
        return verdict

    def _snapshot(self, of: Conversation | Harassment) -> dict[str, Any] | None:
        response = of.fleet.gateway.client.get(f"/v1/sessions/{of.session_id}")
        if not response.is_success:
            self._report.violations.append(f"{of.session_id} cannot be read: {response.text}")
            return None
        snapshot: dict[str, Any] = response.json()
        return snapshot

    def _note_violations(self, verdict: Verdict) -> None:
        self._report.violations += [f"{verdict.session_id} {what}" for what in verdict.violations]

    def _judge_hostile(self, harassment: Harassment, verdict: Verdict) -> None:
        if len(harassment.run_ids) != harassment.repeats:
            self._report.violations.append(f"{harassment.session_id}: not all was started in time")
        for run_id in harassment.run_ids:
            verdict.judge_hostile(run_id, HOSTILE[harassment.task])
            end = verdict.runs[run_id].ended
            status = "never" if end is None else end["status"]
            self._report.hostile[f"{harassment.task}: {status}"] += 1
        self._note_dead(harassment.fleet, verdict)

    def _judge_talk(self, conversation: Conversation, verdict: Verdict) -> None:
        if len(conversation.posted) != len(conversation.works):
            self._report.violations.append(
                f"{conversation.session_id} got only {len(conversation.posted)} answers in time"
            )
        self._report.events += 0 if verdict.view.cursor is None else verdict.view.cursor.seq
        for posted in conversation.posted:
            end = verdict.runs[posted.run_id].ended
            if end is not None:
                self._report.ended[end["status"]] += 1
                self._report.attempts[end["attempt"]] += 1
        self._report.parts += len(verdict.runs) - len(conversation.posted)
        self._note_dead(conversation.fleet, verdict)

    def _note_dead(self, fleet: Fleet, verdict: Verdict) -> None:
        for run_id, run in verdict.runs.items():
            if run.ended is not None and run.ended["status"] in {"error", "interrupted"}:
                self._dead[fleet.queue].add(run_id)

    def dead_letters(self, redis: Redis, fleet: Fleet) -> None:
        kept: Any = redis.hgetall(f"{fleet.queue}:dead:letters")
        letters = {run.decode(): DeadLetter.model_validate_json(kept[run]) for run in kept}
        self._report.dead_letters += len(letters)
        failed = self._dead[fleet.queue]
        for run_id in failed ^ set(letters):
            what = "is no dead letter" if run_id in failed else "is a dead letter, but did not fail"
            self._report.violations.append(f"run {run_id} {what}")
