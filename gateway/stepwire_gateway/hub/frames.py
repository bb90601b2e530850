"""SSE frames: what the hub hands out, encoded once however many clients read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import SNAPSHOT

if TYPE_CHECKING:
    from stepwire_core.wire.events import Event
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
    from stepwire_gateway.prefix import Prefix

_ELEMENT: Final = b"element.add"


class Frame(NamedTuple):
    """One event on the wire: ``id``, ``event`` and one ``data`` line, ended by LF LF.

    LF and not CRLF: clients that split frames on LF LF alone see nothing of CRLF streams
    (WHATWG HTML, section 9.2.5, allows both).
    """

    cursor: Cursor
    type: str
    run_id: str
    encoded: bytes
    snapshot: WrittenSnapshot | None = None


def frames_of_message(message: bytes, prefix: Prefix) -> list[Frame]:
    """What ``append.lua`` published in one message, oldest first; bytes stay bytes."""
    epoch, *lines = message.split(b"\n")
    frames = []
    for line in lines:
        seq, type_, run_id, data = line.split(b" ", 3)
        if type_ == _ELEMENT:
            data = prefix.element(data)
        frames.append(
            Frame(
                Cursor(int(epoch), int(seq)),
                type_.decode(),
                run_id.decode(),
                b"id: %b-%b\nevent: %b\ndata: %b\n\n" % (epoch, seq, type_, data),
            )
        )
    return frames


def event_frame(event: Event, prefix: Prefix) -> Frame:
    data = event.data.encode()
    if event.type.encode() == _ELEMENT:
        data = prefix.element(data)
    return Frame(
        event.cursor,
        event.type,
        event.run_id,
        f"id: {event.cursor}\nevent: {event.type}\ndata: ".encode() + data + b"\n\n",
    )


def snapshot_frame(snapshot: WrittenSnapshot) -> Frame:
    return Frame(snapshot.cursor, SNAPSHOT, "", snapshot.frame, snapshot)
