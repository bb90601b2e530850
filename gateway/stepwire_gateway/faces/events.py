"""An event as a mapping gets it, and which events a face shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.values.cursor import Cursor

if TYPE_CHECKING:
    from stepwire_gateway.hub.frames import Frame

_DATA: Final = b"\ndata: "
RUN_START: Final = "run.start"
STEP_START: Final = "step.start"
_HAS_PARENT: Final = b'"parent_run_id":"'


@dataclass(frozen=True, slots=True)
class FaceEvent:
    """One event: as it came, or retold from a snapshot."""

    type: str
    """As in docs/protocol.md; never ``snapshot``."""
    data: dict[str, Any]
    """The parsed document. It is the mapping's to read, not to change."""
    cursor: Cursor
    """Its place in the log; of a retold one the place of the snapshot."""
    is_retold: bool = False
    """Whether a snapshot tells it, which holds the newest state of its document: a retold
    ``step.start`` has the whole text so far, and there are no retold deltas."""

    @property
    def has_ended(self) -> bool:
        """Of an event with a step: whether it says that the step has ended. A retold start has the
        newest state of its step, whose end follows, after what is below it."""
        return self.type != STEP_START and self.data["ended_at"] is not None


def event_of(frame: Frame) -> FaceEvent:
    """A frame of the hub, which is not a snapshot, as an event."""
    at = frame.encoded.index(_DATA) + len(_DATA)
    return FaceEvent(frame.type, json.loads(frame.encoded[at:]), frame.cursor)


class Scope:
    """Which runs a face shows: all of the session, or one with all that it has started.

    Runs that a shown run starts (``parent_run_id``) are shown, too: their steps nest under its own.
    """

    def __init__(self, run_id: str | None = None) -> None:
        self.run_id = run_id
        """None: the whole session."""
        self._run_ids = {run_id}

    def also(self, run_id: str) -> None:
        """Show that run, too, where not the whole session is shown."""
        self._run_ids.add(run_id)

    def takes(self, frame: Frame) -> bool:
        """Whether a frame is shown; of one that is not, nothing is parsed.

        Asked for each frame in their order: it learns from them which runs were started.
        """
        if self.run_id is None or frame.run_id in self._run_ids:
            return True
        if frame.type == RUN_START and _HAS_PARENT in frame.encoded:
            return self.takes_run(event_of(frame).data)
        return False

    def takes_run(self, run: dict[str, Any]) -> bool:
        """The same of the document of a run."""
        shown = (
            self.run_id is None
            or run["run_id"] in self._run_ids
            or run.get("parent_run_id") in self._run_ids - {None}
        )
        if shown:
            self._run_ids.add(run["run_id"])
        return shown

    def shows(self, run_id: object) -> bool:
        """Whether what belongs to that run is shown."""
        return self.run_id is None or run_id in self._run_ids
