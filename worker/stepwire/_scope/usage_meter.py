"""The usage of the steps of a run, summed as they tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.values.clock import now
from stepwire_core.wire.documents import UsageSum
from stepwire_core.wire.events import run_update_event

if TYPE_CHECKING:
    from stepwire_core.wire.documents import RunDocument, Usage
    from stepwire_core.wire.events import NewEvent

_UNDER_WAY: Final[Mapping[str, Any]] = {
    "status": "running",
    "error": None,
    "ended_at": None,
    "will_retry": False,
}
"""The document may be about to become that of the end."""


class UsageMeter:
    """The sum of a run, over all of its attempts.

    Each step counts with what it has told last. A step that is removed goes on counting: what it
    used was used. Calls come one at a time, inside operations of the producer.
    """

    def __init__(self) -> None:
        self._run: RunDocument | None = None
        self._of_steps: dict[str, Usage] = {}

    def begin(self, run: RunDocument) -> None:
        """An attempt begins; its document has the sum of those before it."""
        self._run = run

    def take(self, step_id: str, usage: Usage) -> list[NewEvent]:
        """A step tells what it has used; the event that tells the new sum, if it is another."""
        before = self._of_steps.get(step_id)
        if self._run is None or usage == before:
            return []
        self._of_steps[step_id] = usage
        known = self._run.usage or UsageSum()
        total = known.plus(before, -1).plus(usage)
        if total == known:
            return []
        # The same document ends the run.
        self._run.usage = total
        return [run_update_event(self._run.model_copy(update={**_UNDER_WAY, "ts": now()}))]
