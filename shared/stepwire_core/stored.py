"""The folded state of a session as the log keeps it: documents that nobody has parsed yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from stepwire_core.cursor import Cursor
from stepwire_core.text import whole
from stepwire_core.unreadable import UNREADABLE

KINDS: Final[Mapping[bytes, str]] = {
    b"r:": "run",
    b"s:": "step",
    b"e:": "element",
    b"a:": "ask",
    b"f:": "feedback",
}
"""What the beginning of a field of the state says, in the order in which a snapshot has them."""


class StoredDocument(NamedTuple):
    """A field of the state: ``<kind>:<id>``, ``<order> <parent> <JSON>``."""

    order: int
    kind: str
    id: str
    json: bytes


class StreamingText(NamedTuple):
    """Text that is still streaming into a step, after what the step has or in place of it."""

    step_id: str
    field: str
    text: str
    replace: bool

    def continued(self, before: object) -> str:
        """The field as it is with this, where the step itself has ``before``."""
        return self.text if self.replace or not isinstance(before, str) else before + self.text


@dataclass(frozen=True, slots=True)
class StoredState:
    """What a snapshot is made of, at one cursor."""

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
            kind = KINDS.get(name[:2])
            if kind is None:
                # Of a newer version.
                continue
            id_ = name[2:].decode(errors="replace")
            try:
                order, _, document = value.split(b" ", 2)
                yield StoredDocument(int(order), kind, id_, document)
            except ValueError as error:
                UNREADABLE.note(kind, id_, error, session_id=self.session_id)

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
        # A server that evicts keys has perhaps dropped its beginning, and a later piece made it
        # anew: then the mark is missing.
        reason: Exception | str = "its beginning is lost"
        if text[:1] in (b"+", b"="):
            try:
                # Half of a surrogate pair may be at the end: the other half is still on its way.
                streamed = whole(json.loads(b'"' + text[1:] + b'"'))
                return StreamingText(step_id, field, streamed, text[:1] == b"=")
            except ValueError as error:
                reason = error
        UNREADABLE.note("text", place, reason, session_id=self.session_id)
        return None
