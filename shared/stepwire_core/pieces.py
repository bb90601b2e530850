"""A large state, read in pieces: one call for all of it would hold up Redis for all clients.

The pieces are of different instants. All changes since the first of them are in the log, and
an event carries the whole document that it puts; so the pieces and these events together are the
state at the instant of the last event. Streaming text is read in the call that reads that event.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from stepwire_core.cursor import Cursor
from stepwire_core.entries import events_of_entry
from stepwire_core.scripts import READ

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from stepwire_core.events import Event
    from stepwire_core.keys import SessionKeys

TRIES: Final = 4
"""How often it is begun anew, when the log does not reach back to the first piece or a step was
removed meanwhile, before all is read in one call after all."""

_FURTHER_READS: Final = 50
_PIECE_BYTES: Final = 128 * 1024
_PIECE_FIELDS: Final = 500

_PUT: Final = {
    "step.start": ("s:", "id", "parent_id"),
    "step.update": ("s:", "id", "parent_id"),
    "step.end": ("s:", "id", "parent_id"),
    "run.start": ("r:", "run_id", ""),
    "run.end": ("r:", "run_id", ""),
    "element.add": ("e:", "id", "step_id"),
    "ask": ("a:", "id", "step_id"),
    "ask.end": ("a:", "id", "step_id"),
    "feedback": ("f:", "step_id", "step_id"),
}
"""Where the document of an event goes in the state: the field's prefix, the parts of its name."""


async def read_log(
    redis: Redis,
    keys: SessionKeys,
    after: Cursor | None,
    limits: tuple[int, int],
    channel_suffix: str,
) -> list[Any]:
    """What ``read.lua`` answers after a cursor, within limits of events and of bytes: ``log``,
    ``state`` or ``unknown``."""
    args = (*limits, channel_suffix)
    reply = await READ(redis, keys, *(after or ("", "")), *args, "pieces")
    for _ in range(TRIES):
        if reply[0] != b"large":
            return reply
        _, epoch, top, fields, size = reply
        state = await _scanned(redis, keys, int(fields), int(size))
        rest = await _what_followed(redis, keys, Cursor(int(epoch), int(top)), args)
        if rest is not None and _fold(state, rest.events):
            pairs = [part for pair in state.items() for part in pair]
            return [b"state", epoch, rest.top, pairs, rest.streams]
        reply = await READ(redis, keys, "", "", *args, "pieces")
    return await READ(redis, keys, "", "", *args, "whole")


async def _scanned(redis: Redis, keys: SessionKeys, fields: int, size: int) -> dict[bytes, bytes]:
    """All fields of the state but its index; each that was there all the time is among them."""
    at_once = max(1, min(_PIECE_FIELDS, _PIECE_BYTES * fields // max(size, 1)))
    state: dict[bytes, bytes] = {}
    cursor = 0
    while True:
        # redis-py types its commands for both of its clients at once.
        reply = redis.hscan(keys.state, cursor, count=at_once)
        cursor, some = await cast("Awaitable[tuple[int, dict[bytes, bytes]]]", reply)
        state.update(pair for pair in some.items() if not pair[0].startswith(b"k:"))
        if cursor == 0:
            return state


@dataclass(frozen=True, slots=True)
class _Rest:
    """The events after a cursor up to the log's top, and the texts that stream at that instant."""

    events: list[Event]
    top: bytes
    streams: list[bytes]


async def _what_followed(
    redis: Redis, keys: SessionKeys, after: Cursor, args: tuple[int, int, str]
) -> _Rest | None:
    """The events since then; None when the log does not go on from there, or has no end."""
    events: list[Event] = []
    seq = after.seq
    for _ in range(_FURTHER_READS):
        reply = await READ(redis, keys, after.epoch, seq, *args, "streams")
        if reply[0] != b"log":
            return None
        _, _, top, entries, *streams = reply
        found = [event for entry in entries for event in events_of_entry(entry)]
        events += [event for event in found if event.cursor.seq > seq]
        if events:
            seq = events[-1].cursor.seq
        if streams and seq == int(top):
            return _Rest(events, top, streams[0])
    return None


def _fold(state: dict[bytes, bytes], events: Iterable[Event]) -> bool:
    """Put what followed into the state; False if that cannot be told from its events."""
    for event in events:
        if event.type == "step.remove":
            # Of what was below it some may be in a piece whose parent is in none.
            return False
        if event.type == "element.remove":
            state.pop(f"e:{json.loads(event.data)['id']}".encode(), None)
        elif (parts := _PUT.get(event.type)) is not None:
            kind, name, parent = parts
            _put(state, event, kind, name, parent)
    return True


def _put(state: dict[bytes, bytes], event: Event, kind: str, name: str, parent_name: str) -> None:
    document = json.loads(event.data)
    field = f"{kind}{document[name]}".encode()
    if event.type == "feedback" and document["value"] is None:
        state.pop(field, None)
        return
    old = state.get(field)
    # What replaces an old value keeps its place in the order.
    order = str(event.cursor.seq).encode() if old is None else old.split(b" ", 1)[0]
    parent = document.get(parent_name) or "-"
    state[field] = b"%b %b %b" % (order, parent.encode(), event.data.encode())
