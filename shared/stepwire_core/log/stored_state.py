"""The folded state of a session as the log keeps it: documents that are not parsed yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic_core import from_json

from stepwire_core.values.cursor import Cursor
from stepwire_core.values.text import whole
from stepwire_core.wire.events import escape
from stepwire_core.wire.kinds import KINDS, Kind
from stepwire_core.wire.unreadable import UNREADABLE

_KIND_OF_PREFIX: Final[Mapping[bytes, Kind]] = {kind.prefix.encode(): kind for kind in KINDS}


class StoredDocument(NamedTuple):
    """A field of the state: ``<kind>:<id>``, ``<order> <parent> <JSON>``."""

    order: int
    kind: Kind
    id: str
    json: bytes


class StreamingText(NamedTuple):
    """Text that is still streaming into a step, after what the step has or in place of it."""

    step_id: str
    field: str
    escaped: bytes
    """As it stands between the quotes of a JSON string."""
    replace: bool

    def before(self, value: object) -> str:
        """What stands before it, where the field of the step itself is ``value``."""
        return "" if self.replace or not isinstance(value, str) else value

    @property
    def text(self) -> str:
        text: str = json.loads(b'"' + self.escaped + b'"')
        return text


@dataclass(frozen=True, slots=True)
class StoredState:
    """The fields that a snapshot is made of, at one cursor."""

    session_id: str
    cursor: Cursor
    fields: list[bytes]
    """Name, value, name, value …"""
    streams: list[bytes]
    """``<field>:<step>``, text, …"""

    def documents(self) -> Iterator[StoredDocument]:
        """Its documents, in no order. Each is handed out once and not kept: there may be much."""
        while self.fields:
            value, name = self.fields.pop(), self.fields.pop()
            kind = _KIND_OF_PREFIX.get(name[:2])
            if kind is None:
                # Of a newer version.
                continue
            id_ = name[2:].decode(errors="replace")
            try:
                order, _, document = value.split(b" ", 2)
                yield StoredDocument(int(order), kind, id_, document)
            except ValueError as error:
                UNREADABLE.note(kind.name, id_, error, session_id=self.session_id)

    def streaming(self) -> list[StreamingText]:
        """What streams into its steps."""
        found = (
            self._streaming(member, text)
            for member, text in zip(self.streams[::2], self.streams[1::2], strict=True)
        )
        return [text for text in found if text is not None]

    def _streaming(self, member: bytes, text: bytes) -> StreamingText | None:
        place = member.decode(errors="replace")
        field, _, step_id = place.partition(":")
        # A server that evicts keys may have dropped its beginning, and a later piece made it
        # anew: then the mark is missing.
        reason: Exception | str = "its beginning is lost"
        if text[:1] in (b"+", b"="):
            try:
                return StreamingText(step_id, field, _readable(text[1:]), text[:1] == b"=")
            except ValueError as error:
                reason = error
        UNREADABLE.note("text", place, reason, session_id=self.session_id)
        return None


def _readable(escaped: bytes) -> bytes:
    """The text of a JSON string, as every parser takes it."""
    try:
        from_json(b'"' + escaped + b'"', cache_strings="none")
    except ValueError:
        # Half of a surrogate pair may be at the end: the other half is still on its way.
        return escape(whole(json.loads(b'"' + escaped + b'"'))).encode()
    return escaped
