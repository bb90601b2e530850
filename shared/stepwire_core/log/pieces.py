"""A large state, read in pieces: one call for all of it would hold up Redis for all clients.

The pieces are of different instants. All changes since the first of them are in the log, and
an event carries the whole document that it puts; so the pieces and these events together are the
state at the instant of the last event. Streaming text is read in the call that reads that event.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from stepwire_core.log.entries import events_of_entry
from stepwire_core.log.scripts import READ
from stepwire_core.redis.commands import command
from stepwire_core.redis.scripts import script_args
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.events import NO_PARENT
from stepwire_core.wire.kinds import EVENTS, STEP, Kind

if TYPE_CHECKING:
    from stepwire_core.redis.keys import SessionKeys
    from stepwire_core.redis.store import Store
    from stepwire_core.wire.documents import Document
    from stepwire_core.wire.events import Event

TRIES: Final = 4
"""How often it is begun anew, when the log does not reach back to the first piece or a step was
removed meanwhile, before all is read in one call after all."""

_FURTHER_READS: Final = 50
_PIECE_BYTES: Final = 128 * 1024
_PIECE_FIELDS: Final = 500

_Read = Callable[[Cursor | None, str], Awaitable[list[Any]]]
"""Calls ``read.lua`` with a cursor, and for what."""


async def read_log(
    store: Store,
    keys: SessionKeys,
    after: Cursor | None,
    limits: tuple[int, int],
    channel_suffix: str,
) -> list[Any]:
    """What ``read.lua`` answers after a cursor, within limits of events and of bytes: ``log``,
    ``state`` or ``unknown``."""

    async def read(after: Cursor | None, how: str) -> list[Any]:
        epoch, seq = after or ("", "")
        most_events, most_bytes = limits
        args = script_args(
            "log/read",
            after_epoch=epoch,
            after_seq=seq,
            most_events=most_events,
            most_bytes=most_bytes,
            suffix=channel_suffix,
            how=how,
        )
        [reply] = await store.read(READ.on(keys.script_keys, args))
        return cast("list[Any]", reply)

    reply = await read(after, "pieces")
    for _ in range(TRIES):
        if reply[0] != b"large":
            return reply
        _, epoch, top, fields, size = reply
        state = await _scanned(store, keys, int(fields), int(size))
        rest = await _what_followed(read, Cursor(int(epoch), int(top)))
        if rest is not None and fold(state, rest.events):
            pairs = [part for pair in state.items() for part in pair]
            return [b"state", epoch, rest.top, pairs, rest.streams]
        reply = await read(None, "pieces")
    return await read(None, "whole")


def fields_at_once(fields: int, size: int) -> int:
    """How many fields one ``HSCAN`` may look at, of so many that are so many bytes together."""
    return max(1, min(_PIECE_FIELDS, _PIECE_BYTES * fields // max(size, 1)))


async def _scanned(store: Store, keys: SessionKeys, fields: int, size: int) -> dict[bytes, bytes]:
    """All fields of the state but its index; each that was there all the time is among them."""
    at_once = fields_at_once(fields, size)
    state: dict[bytes, bytes] = {}
    cursor = 0
    while True:
        [(cursor, some)] = await store.read(command("HSCAN", keys.state, cursor, "COUNT", at_once))
        state.update(pair for pair in some.items() if not pair[0].startswith(b"k:"))
        if cursor == 0:
            return state


@dataclass(frozen=True, slots=True)
class _Rest:
    """The events after a cursor up to the log's top, and the texts that stream at that instant."""

    events: list[Event]
    top: bytes
    streams: list[bytes]


async def _what_followed(read: _Read, after: Cursor) -> _Rest | None:
    """The events since then; None when the log does not go on from there, or has no end."""
    events: list[Event] = []
    last = after
    for _ in range(_FURTHER_READS):
        reply = await read(last, "streams")
        if reply[0] != b"log":
            return None
        _, _, top, entries, *streams = reply
        found = [event for entry in entries for event in events_of_entry(entry)]
        events += [event for event in found if event.cursor > last]
        if events:
            last = events[-1].cursor
        if streams and last.seq == int(top):
            return _Rest(events, top, streams[0])
    return None


def fold(state: dict[bytes, bytes], events: Iterable[Event]) -> bool:
    """Put what followed into the state; False if that cannot be told from its events."""
    for event in events:
        type_ = EVENTS.get(event.type)
        kind = None if type_ is None else type_.kind
        if type_ is None or kind is None or type_.effect == "text":
            # Streaming texts were read when the last event was.
            continue
        document = json.loads(event.data)
        if type_.effect == "put":
            _put(state, event, kind, document)
        elif kind is STEP:
            # Of what was below it some may be in a piece whose parent is in none.
            return False
        else:
            state.pop(f"{kind.prefix}{document['id']}".encode(), None)
    return True


def _put(state: dict[bytes, bytes], event: Event, kind: Kind, document: Document) -> None:
    field = f"{kind.prefix}{document[kind.id_field]}".encode()
    if kind.removing_field and document[kind.removing_field] is None:
        state.pop(field, None)
        return
    old = state.get(field)
    # What replaces an old value keeps its place in the order.
    order = str(event.cursor.seq).encode() if old is None else old.split(b" ", 1)[0]
    parent = (document.get(kind.parent_field) if kind.parent_field else None) or NO_PARENT
    state[field] = b"%b %b %b" % (order, parent.encode(), event.data.encode())
