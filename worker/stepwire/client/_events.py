"""An event of a session, as a stream has it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import EVENTS, SNAPSHOT

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened in a session."""

    id: str
    """The cursor, ``<epoch>-<seq>``: a stream goes on after it, and the tree drops what it had."""
    type: str
    """One of the event table of docs/protocol.md, or a newer version's."""
    json: str
    """Its data as it came."""

    @property
    def data(self) -> dict[str, Any]:
        """Its data; empty if they are not an object. They are parsed for each call."""
        try:
            data = json.loads(self.json)
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}

    @property
    def document(self) -> BaseModel | None:
        """Its data, typed: a ``StepDocument``, a ``TextDelta``, a ``Snapshot``, …

        None if this version does not know the type, or cannot read the data.
        """
        known = EVENTS.get(self.type)
        if known is None:
            return None
        try:
            return known.data.model_validate_json(self.json)
        except ValidationError:
            return None


def following(before: str, event: Event) -> Literal["next", "again", "gap"]:
    """How an event of a session's stream stands to the last one: their ids are dense.

    ``before`` is that one's id; empty: there was none.

    Raises:
        InvalidCursor: an id has another form than ``<epoch>-<seq>``.
    """
    at = Cursor.parse(event.id)
    if not before or event.type == SNAPSHOT:
        return "next"
    last = Cursor.parse(before)
    if at.epoch != last.epoch:
        # A new epoch begins with a snapshot.
        return "gap"
    if at.seq <= last.seq:
        return "again"
    return "next" if at.seq == last.seq + 1 else "gap"
