"""What must be true of every log, whatever was done to the workers. Shares no code with the product
but the name of a key, the form of a cursor and the vocabulary."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from faults.moments import PLANTED
from faults.work import DROPPED, Work
from sse import Received, View
from stepwire_core.log.entries import events_of_entry
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.cursor import Cursor


@dataclass(slots=True)
class Posted:
    """A message that a client has sent, and the run that answers it."""

    run_id: str
    work: Work
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Entry(Received):
    """An event with the run that it was stored under."""

    run_id: str


def read_log(redis: Redis, session_id: str) -> list[Entry]:
    """All events that the log holds, straight from Redis, after the last write."""
    keys = SessionKeys.of(session_id)
    stream: Any = redis.xrange(keys.log)
    meta: Any = redis.hmget(keys.meta, ["epoch", "seq", "tail"])
    epoch, top, tail = meta
    if tail:
        lines = redis.get(f"{keys.channel}:tail")
        stream.append((b"%b-%b" % (epoch, top), {b"t": b"", b"r": tail, b"d": lines}))
    return [
        Entry(event.cursor, event.type, json.loads(event.data), event.data, event.run_id)
        for cursor, fields in stream
        for event in events_of_entry((cursor, [part for pair in fields.items() for part in pair]))
    ]


def joined(before: Sequence[Entry], after: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """What the log has held, from two looks at it; and what does not fit.

    A new epoch begins a new stream, so the later look may lack what the earlier one has seen.
    """
    first = after[0].cursor.seq if after else None
    known = {entry.cursor: entry.raw for entry in before}
    changed = [
        f"{entry.cursor} was {known[entry.cursor]} and is {entry.raw}"
        for entry in after
        if known.get(entry.cursor, entry.raw) != entry.raw
    ]
    return [e for e in before if first is None or e.cursor.seq < first] + list(after), changed


@dataclass(slots=True)
class RunStory:
    """One run, as far as it has been read."""

    attempt: int = 0
    """The last attempt that has begun."""
    closed: int = 0
    """The last attempt that has ended."""
    closing: int = 0
    """The attempt that another worker has begun to close."""
    ended: dict[str, Any] | None = None


@dataclass(slots=True)
class Verdict:
    """Reads the log of one session from its first event and notes what must not be."""

    session_id: str
    violations: list[str] = field(default_factory=list)
    runs: dict[str, RunStory] = field(default_factory=lambda: defaultdict(RunStory))
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    counted: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    """The runs that answer messages, in the order of these."""
    view: View = field(default_factory=View)

    def read(self, entries: Sequence[Entry]) -> None:
        last: Cursor | None = None
        for entry in entries:
            expected = 1 if last is None else last.seq + 1
            if entry.cursor.seq != expected:
                self._note(entry, f"seq {entry.cursor.seq} where {expected} was due")
            if last is not None and entry.cursor.epoch < last.epoch:
                self._note(entry, "an epoch that goes back")
            last = entry.cursor
            self._read(entry)
            self.view.fold(entry)

    def _read(self, entry: Entry) -> None:
        data = entry.data
        run_id = data.get("run_id") or entry.run_id
        if entry.type == "step.delta":
            run_id = self.steps.get(data["id"], {}).get("run_id") or run_id
        run = self.runs[run_id]
        if run.ended is not None:
            self._note(entry, f"after the final run.end of {run_id}")
        match entry.type:
            case "run.start":
                self._start(entry, run)
            case "run.end":
                self._end(entry, run)
            case "step.delta":
                self._delta(entry, run)
            case "step.start" | "step.update" | "step.end":
                self._step(entry, run)
            case _:
                self._note(entry, "an event that no handler here makes")

    def _start(self, entry: Entry, run: RunStory) -> None:
        attempt = entry.data["attempt"]
        if attempt <= run.attempt:
            self._note(entry, f"attempt {attempt} after attempt {run.attempt}")
        if (run_id := entry.data["run_id"]) in self.messages:
            for earlier in self.messages[: self.messages.index(run_id)]:
                if self.runs[earlier].ended is None:
                    self._note(entry, f"its turn came before {earlier} had ended")
        if run.closed < run.attempt:
            self._note(entry, f"attempt {run.attempt} was not closed")
        run.attempt = attempt
        # One that died before its first event leaves no trace, or only its end.
        run.closed = attempt - 1

    def _end(self, entry: Entry, run: RunStory) -> None:
        data = entry.data
        if data["attempt"] <= run.closed and not self._gives_up(data, run):
            self._note(entry, f"attempt {data['attempt']} ends again")
        run.closed = max(run.closed, data["attempt"])
        for step in self._open_steps(data["run_id"]):
            self._note(entry, f"step {step['name']} is open")
        if not data["will_retry"]:
            run.ended = data
        elif data["status"] != "interrupted":
            self._note(entry, f"{data['status']} is tried again, and no event has said so")

    @staticmethod
    def _gives_up(data: dict[str, Any], run: RunStory) -> bool:
        """The attempt had ended with will_retry, and died again before it could begin."""
        return data["attempt"] == run.closed and not data["will_retry"]

    def _delta(self, entry: Entry, run: RunStory) -> None:
        step = self.steps.get(entry.data["id"])
        if step is None:
            self._note(entry, "text for a step that is not there")
            return
        if step["status"] != "running":
            self._note(entry, f"text for step {step['name']}, which has ended")
        self._writes(entry, step, run)

    def _step(self, entry: Entry, run: RunStory) -> None:
        step = entry.data
        if entry.type == "step.start" and step["id"] in self.steps:
            self._note(entry, f"step {step['name']} starts again")
        self.steps[step["id"]] = step
        if step["type"] == "user_message":
            self.messages.append(step["run_id"])
            return
        lost = entry.type == "step.end" and (step["error"] or {}).get("type") == "WorkerLost"
        if lost:
            run.closing = max(run.closing, step["attempt"])
        self._writes(entry, step, run, closing=lost)
        if entry.type == "step.end":
            self._step_end(entry, step)

    def _writes(
        self, entry: Entry, step: dict[str, Any], run: RunStory, *, closing: bool = False
    ) -> None:
        """An attempt writes only from its start to its end, and not while others close it."""
        attempt = step["attempt"]
        if attempt <= run.closed:
            self._note(entry, f"attempt {attempt} writes after its end")
        if attempt < run.attempt:
            self._note(entry, f"attempt {attempt} writes in attempt {run.attempt}")
        if attempt <= run.closing and not closing:
            self._note(entry, f"attempt {attempt} writes while it is being closed")

    def _step_end(self, entry: Entry, step: dict[str, Any]) -> None:
        if step["name"] == "counted" and step["status"] == "ok":
            self.counted.append(int(step["output"]))
        for child in self._open_steps(step["run_id"]):
            # An object that is left to the garbage collector ends when that comes by.
            if child["parent_id"] == step["id"] and child["name"] != DROPPED:
                self._note(entry, f"step {step['name']} ends before {child['name']} in it")

    def _open_steps(self, run_id: str) -> Iterator[dict[str, Any]]:
        for step in self.steps.values():
            if step["run_id"] == run_id and step["status"] == "running":
                yield step

    def judge_log(self, snapshot: dict[str, Any]) -> None:
        """What must be true at the end, with what the gateway shows."""
        for step in self.steps.values():
            if step["status"] == "running":
                self.violations.append(f"step {step['name']} of {step['run_id']} was left open")
        for run_id, run in self.runs.items():
            if run.ended is None:
                self.violations.append(f"run {run_id} has no final run.end")
        # Documents of other producers may be shown, or not; nothing else may be missing.
        others = [step["id"].startswith(PLANTED) for step in snapshot["steps"]]
        told = {
            "steps": [step for step in snapshot["steps"] if not step["id"].startswith(PLANTED)],
            "steps_before_runs": [at - sum(others[:at]) for at in snapshot["steps_before_runs"]],
        }
        if not self.view.same_as(snapshot | told):
            self.violations.append("the snapshot is not the fold of the events")

    def judge_hostile(self, run_id: str, promised: frozenset[str]) -> None:
        """A run of a handler that does what no handler should do."""
        end = self.runs[run_id].ended
        if end is not None and end["status"] not in promised:
            self.violations.append(f"run {run_id} ended as {end}")
        if self.runs[run_id].attempt == 0:
            self.violations.append(f"run {run_id} was never begun")

    def judge(self, posted: Sequence[Posted], snapshot: dict[str, Any], user: object) -> None:
        """The same, with what each run was told to do and what the session remembers."""
        self.judge_log(snapshot)
        for wanted in posted:
            self._judge_run(wanted)
        if any(
            after <= before for before, after in zip(self.counted, self.counted[1:], strict=False)
        ):
            self.violations.append(f"an increment was lost: {self.counted}")
        # An attempt may die between its increment and the step that tells it.
        starts = sum(run.attempt for run in self.runs.values())
        if not isinstance(user, int) or not max(self.counted, default=0) <= user <= starts:
            self.violations.append(f"user_session has {user!r} after {self.counted}")

    def _judge_run(self, wanted: Posted) -> None:
        run = self.runs[wanted.run_id]
        if run.ended is None:
            return
        status, attempt = run.ended["status"], run.ended["attempt"]
        if attempt > wanted.max_attempts:
            self.violations.append(f"run {wanted.run_id} had {attempt} attempts")
        if wanted.work.fails and status == "ok":
            self.violations.append(f"run {wanted.run_id} is ok, but its handler fails")
        if status == "interrupted" and attempt < wanted.max_attempts:
            self.violations.append(f"run {wanted.run_id} was given up after attempt {attempt}")
        lost_a_part = wanted.work.parts > 0 and wanted.max_attempts == 1
        if status not in {"ok", "interrupted"} and not wanted.work.fails and not lost_a_part:
            self.violations.append(f"run {wanted.run_id} ended as {run.ended}")
        if status == "ok":
            self._judge_result(wanted, attempt)

    def _judge_result(self, wanted: Posted, attempt: int) -> None:
        shown = [
            step
            for step in self.view.steps.values()
            if step["run_id"] == wanted.run_id and step["attempt"] == attempt
        ]
        outputs = {step["name"]: step["output"] for step in shown if step["type"] != "user_message"}
        outputs.pop("counted", None)
        expected = {
            "work": str(wanted.work.result),
            "words": "".join(wanted.work.words),
            "inside": "",
            "branch 0": "0",
            "branch 1": "1",
            "parts": str(wanted.work.sum_of_parts),
            "Assistant": str(wanted.work.result),
        }
        if outputs != expected:
            self.violations.append(f"the result of {wanted.run_id} is wrong: {outputs}")

    def _note(self, entry: Entry, what: str) -> None:
        self.violations.append(f"{entry.cursor} {entry.type}: {what}")
