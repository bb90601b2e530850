"""Events as the log has them: in the entries of its stream, and in the messages that tell of
them."""

from __future__ import annotations

from collections.abc import Sequence

from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.events import Event
from stepwire_core.wire.kinds import TEXT_DELTA


def events_of_message(message: bytes) -> list[Event]:
    """The entries that ``append.lua`` published in one message, oldest first."""
    epoch_text, *lines = message.decode().split("\n")
    epoch = int(epoch_text)
    events = []
    for line in lines:
        seq, type_, run_id, data = line.split(" ", 3)
        events.append(Event(Cursor(epoch, int(seq)), type_, run_id, data))
    return events


def events_of_entry(entry: tuple[bytes, Sequence[bytes]]) -> list[Event]:
    """The events in an entry of the log's stream, oldest first (see ``append.lua``)."""
    last = Cursor.parse(entry[0].decode())
    _, type_, _, run_id, _, data = (value.decode() for value in entry[1])
    if type_:
        return [Event(last, type_, run_id, data)]
    events: list[Event] = []
    places: dict[str, list[str]] = {}
    seq = int(run_id)
    for line in data.split("\n")[:-1]:
        if line[0] == "=":
            places[line[1]] = line[2:].split(" ")
            continue
        field, step_id, of_run = places[line[0]]
        payload = f'{{"id":"{step_id}","field":"{field}","text":"{line[1:]}"}}'
        events.append(Event(Cursor(last.epoch, seq + len(events)), TEXT_DELTA, of_run, payload))
    return events
