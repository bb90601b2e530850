"""Why the run of a session's message has not begun yet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from stepwire.client import GatewayError
from stepwire_core.wire.kinds import SNAPSHOT
from stepwire_core.wire.words import USER_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from stepwire.client import Event, Session, SessionTree, StepNode, WaitingRun

ASK_EVERY_S: Final = 2.0
"""A run usually begins within milliseconds; the gateway is asked about one that does not."""

_WORDS: Final = {
    "worker": "no worker is there that takes runs",
    "limit": "its handler or subject has as many runs as it may",
    "start": "a worker is about to begin",
}


class Waits:
    """Says what the messages of a session wait for, from a thread of its own."""

    def __init__(self, session: Session, tell: Callable[[str | None], None]) -> None:
        self._session = session
        self._tell = tell
        self._waits = threading.Event()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._runs: set[str] = set()
        self._thread = threading.Thread(target=self._watch, name="stepwire-waits", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._waits.set()
        self._thread.join()

    def note(self, event: Event, tree: SessionTree) -> None:
        """After an event: whether a message has no run yet."""
        if event.type == SNAPSHOT:
            self._runs = {run for run in map(_run_of, tree.steps.values()) if run}
        elif event.type in ("step.start", "step.end") and (
            node := tree.steps.get(event.data.get("id", ""))
        ):
            if run := _run_of(node):
                self._runs.add(run)
        elif not event.type.startswith("run."):
            return
        self._runs = {run for run in self._runs if run not in tree.runs}
        with self._lock:
            if self._runs:
                self._waits.set()
            else:
                self._waits.clear()
                self._tell(None)

    def _watch(self) -> None:
        while self._waits.wait() and not self._done.wait(ASK_EVERY_S):
            try:
                waiting = self._session.waiting()
            except GatewayError:
                # The stream says why, and an older gateway does not know the question.
                continue
            # Not after the beginning, about which the stream was quicker than this answer.
            with self._lock:
                if self._waits.is_set() and not self._done.is_set():
                    self._tell(words(waiting[0]) if waiting else None)


def _run_of(node: StepNode) -> str | None:
    return node.document.run_id if node.document.type == USER_MESSAGE else None


def words(run: WaitingRun) -> str:
    """Why a run has not begun."""
    match run.waits_for:
        case "turn":
            why = f"{run.ahead or 1} before it in this session"
        case "slot":
            why = f"all workers are busy, {run.ahead} before it" if run.ahead else "for a worker"
        case "time":
            why = f"until {run.due_at}"
        case other:
            why = _WORDS.get(other or "", other or "in the queue")
    return f"waiting: {why}"
