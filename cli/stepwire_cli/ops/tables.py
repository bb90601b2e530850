"""Workers and runs as tables for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepwire_cli.printable import duration, one_line

if TYPE_CHECKING:
    from stepwire_core.queue.dead_letters import DeadLetter
    from stepwire_core.queue.listing import QueuedRun
    from stepwire_core.wire.run_entry import RunEntry
    from stepwire_core.wire.session_entry import SessionEntry
    from stepwire_core.wire.task_document import TaskEntry, TaskList
    from stepwire_core.wire.worker_document import WorkerDocument

_STATE_STYLES = {
    "ready": "green",
    "running": "green",
    "stopping": "yellow",
    "silent": "yellow",
    "deferred": "yellow",
    "held": "yellow",
    "blocked": "red",
    "error": "red",
    "interrupted": "yellow",
}


def print_workers(workers: Sequence[WorkerDocument]) -> None:
    """The workers, each with its runs below it."""
    if not workers:
        print("no worker is there: start one with 'stepwire worker app.py'")
        return
    table = _table("worker", "host", "pid", "up", "state", "running", "version", "handlers")
    runs = _table("worker", "session", "run", "handler", "attempt", "for")
    for worker in workers:
        table.add_row(
            worker.id[:8],
            one_line(worker.host),
            str(worker.pid),
            _since(worker.since),
            _state(worker.state),
            f"{worker.running} of {worker.max_jobs}"
            + (f", {worker.left_behind} left behind" if worker.left_behind else ""),
            one_line(worker.version),
            one_line(", ".join(worker.handlers)),
        )
        for run in worker.runs:
            runs.add_row(
                worker.id[:8],
                run.session_id,
                run.run_id,
                one_line(run.handler),
                str(run.attempt),
                _since(run.since),
            )
    _print(table)
    if runs.row_count:
        print()
        _print(runs)


def print_tasks(offer: TaskList) -> None:
    """The tasks, with what each takes."""
    if not offer.tasks:
        none = "no worker is there: start one with 'stepwire worker app.py'"
        print("no worker has a task: decorate a function with @cl.task" if offer.workers else none)
        return
    table = _table("task", "workers", "arguments", "what it does")
    for task in offer.tasks:
        table.add_row(
            one_line(task.name),
            str(task.workers),
            one_line(_arguments(task)),
            one_line(task.description.partition("\n")[0]),
        )
    _print(table)


def _arguments(task: TaskEntry) -> str:
    """The names of the arguments, those in brackets that may be left out."""
    if task.args_schema is None:
        return "?"
    properties, required = task.args_schema.get("properties"), task.args_schema.get("required")
    names = list(properties) if isinstance(properties, dict) else []
    needed = required if isinstance(required, list) else []
    return ", ".join(name if name in needed else f"[{name}]" for name in names)


def print_runs(runs: Sequence[QueuedRun]) -> None:
    """What runs and what waits."""
    if not runs:
        print("nothing runs, nothing waits")
        return
    table = _table("state", "run", "session", "handler", "priority", "attempt", "for", "worker")
    for run in runs:
        where = "" if run.host is None else f"{one_line(run.host)}, pid {run.pid}"
        table.add_row(
            _state(run.state),
            run.run_id,
            run.session_id,
            one_line(run.handler),
            "" if run.priority is None else str(run.priority),
            "" if run.attempt is None else str(run.attempt),
            _since(run.since or run.queued_at),
            where,
        )
    _print(table)


def print_entries(runs: Sequence[RunEntry]) -> None:
    """Runs of any status, with what they are found by."""
    if not runs:
        print("there is no such run")
        return
    table = _table(
        *("status", "run", "session", "handler", "subject", "tags", "attempt", "for", "about")
    )
    for run in runs:
        about = "" if run.host is None else f"{one_line(run.host)}, pid {run.pid}"
        if run.error is not None:
            about = one_line(f"{run.error.type}: {run.error.message}")[:200]
        table.add_row(
            _state(run.status),
            run.run_id,
            run.session_id,
            one_line(run.handler),
            one_line(run.subject or ""),
            one_line(", ".join(run.tags)),
            "" if run.attempt is None else str(run.attempt),
            _since(run.ended_at or run.started_at or run.queued_at),
            about,
        )
    _print(table)


def print_sessions(sessions: Sequence[SessionEntry]) -> None:
    """Sessions, as they come."""
    if not sessions:
        print("there is no such session")
        return
    table = _table("session", "status", "for", "subject", "title")
    for session in sessions:
        table.add_row(
            session.id,
            _state(session.status),
            _since(session.updated_at),
            one_line(session.subject or ""),
            one_line(session.title or ""),
        )
    _print(table)


def print_failed(letters: Sequence[DeadLetter]) -> None:
    """Dead letters, as they come."""
    if not letters:
        print("no run has failed")
        return
    table = _table("status", "run", "session", "handler", "attempts", "ended", "error")
    for letter in letters:
        error = letter.error
        table.add_row(
            _state(letter.status),
            letter.request.run_id,
            letter.request.session_id,
            one_line(letter.request.handler),
            str(letter.attempts),
            letter.ended_at,
            "" if error is None else one_line(f"{error.type}: {error.message}")[:200],
        )
    _print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # Ids can be copied whole.
        table.add_column(column, no_wrap=column in {"run", "session", "worker"})
    return table


def _print(table: Table) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        # Nothing to fit into: one line a row, as `grep` wants it.
        console.width = 10_000
    console.print(table)


def _state(state: str) -> Text:
    return Text(state, style=_STATE_STYLES.get(state, ""))


def _since(at: str | None) -> str:
    return "" if at is None else duration(at, None, time.time())
