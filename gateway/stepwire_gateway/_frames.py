"""SSE frames: what the hub hands out, encoded once however many clients read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepwire_core.cursor import Cursor

if TYPE_CHECKING:
    from stepwire_core.documents import Snapshot
    from stepwire_core.events import Event

SNAPSHOT: Final = "snapshot"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event on the wire: ``id``, ``event`` and one ``data`` line, ended by LF LF.

    LF and not CRLF: clients that split frames on LF LF alone see nothing of CRLF streams
    (WHATWG HTML, section 9.2.5, allows both).
    """

    cursor: Cursor
    type: str
    run_id: str
    encoded: bytes
    snapshot: Snapshot | None = None


def event_frame(event: Event) -> Frame:
    return Frame(
        event.cursor,
        event.type,
        event.run_id,
        f"id: {event.cursor}\nevent: {event.type}\ndata: {event.data}\n\n".encode(),
    )


def snapshot_frame(snapshot: Snapshot) -> Frame:
    text = f"id: {snapshot.cursor}\nevent: {SNAPSHOT}\ndata: {snapshot.to_json()}\n\n"
    return Frame(Cursor.parse(snapshot.cursor), SNAPSHOT, "", text.encode(), snapshot)
