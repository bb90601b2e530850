"""Writes snapshots from stored documents, which are joined and not parsed.

A session may have 20,000 steps and 128 MiB. So nothing of it becomes an object: a document is
looked at only as far as it takes to see that it is JSON and whose it is, and the event loop gets
its turn in between. What this version does not know in a document goes out as it was stored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from pydantic_core import SchemaValidator, ValidationError, core_schema

from stepwire_core.values.ids import new_id
from stepwire_core.wire.kinds import ELEMENT, KINDS, RUN, STEP
from stepwire_core.wire.unreadable import UNREADABLE
from stepwire_core.wire.words import EndStatus
from stepwire_gateway.hub.usage_sums import UsageSums
from stepwire_gateway.hub.written_snapshot import PART_BYTES, Layout, WrittenSnapshot

if TYPE_CHECKING:
    from stepwire_core.log.stored_state import StoredDocument, StoredState, StreamingText
    from stepwire_gateway.prefix import Prefix

T = TypeVar("T")

TURN_S: Final = 0.002
"""So long the event loop may be kept at a time."""

_ENDS: Final = frozenset(get_args(EndStatus))

_MARK: Final = new_id()
"""Stands in a document where text is put in; it is known in this process alone."""

_any = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
_HEAD: Final = SchemaValidator(
    core_schema.typed_dict_schema(
        dict.fromkeys(
            ("status", "ended_at", "will_retry", "usage", *(kind.owner_field for kind in KINDS)),
            _any,
        )
    )
)
"""Checks that a document is a JSON object, and returns these fields of it: a third of the time
that it takes to parse it."""


@dataclass(slots=True)
class _Found:
    """The documents of one kind as they were found, in no order; lists side by side, as above."""

    orders: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    owners: list[object] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    def add(self, order: int, id_: str, owner: object, content: bytes) -> None:
        self.orders.append(order)
        self.ids.append(id_)
        self.owners.append(owner)
        self.contents.append(content)


async def write(stored: StoredState, prefix: Prefix) -> WrittenSnapshot:
    """The snapshot of a state, which is used up."""
    streaming: dict[str, list[StreamingText]] = {}
    for text in stored.streaming():
        streaming.setdefault(text.step_id, []).append(text)
    found = {kind: _Found() for kind in KINDS}
    runs, used = _Runs(), UsageSums()
    async for document in _giving_way(stored.documents()):
        kind, id_ = document.kind, document.id
        head = _head(document, stored.session_id)
        if head is None:
            continue
        content = _one_line(document.json)
        used.add(kind, id_, head)
        if kind is STEP and id_ in streaming:
            content = _continued(content, streaming[id_])
        elif kind is RUN:
            runs.add(id_, head)
        elif kind is ELEMENT:
            content = prefix.element(content)
        found[kind].add(document.order, id_, head.get(kind.owner_field), content)
    layout = Layout(stored.session_id, stored.cursor)
    for kind, items in found.items():
        layout.begin(kind)
        if not items.ids:
            continue
        async for at in _giving_way(sorted(range(len(items.ids)), key=items.orders.__getitem__)):
            layout.add(items.orders[at], items.ids[at], items.owners[at], items.contents[at])
    frame = await joined_aside(layout.ended(used.total))
    return WrittenSnapshot(
        stored.session_id,
        stored.cursor,
        frame,
        frozenset(runs.open),
        frozenset(runs.ended),
        layout.documents,
        used.of_runs,
    )


async def joined_aside(pieces: Sequence[bytes]) -> bytes:
    """All of them in one; much of it is copied beside the event loop (``bytes.join`` lets go of the
    interpreter's lock)."""
    if len(pieces) == 1:
        return pieces[0]
    if sum(map(len, pieces)) <= PART_BYTES:
        return b"".join(pieces)
    return await asyncio.to_thread(b"".join, pieces)


async def _giving_way(items: Iterable[T]) -> AsyncIterator[T]:
    """``items``, with the event loop getting its turn in between."""
    due = perf_counter() + TURN_S
    for item in items:
        yield item
        if perf_counter() > due:
            await asyncio.sleep(0)
            due = perf_counter() + TURN_S


class _Runs:
    """Which runs may go on."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.ended: set[str] = set()

    def add(self, run_id: str, head: Mapping[str, Any]) -> None:
        # A newer version may have other words for how one ends, and for how one goes on.
        has_ended = head.get("status") in _ENDS or head.get("ended_at") is not None
        if not has_ended:
            self.open.add(run_id)
        elif not head.get("will_retry"):
            self.ended.add(run_id)


def _head(document: StoredDocument, session_id: str) -> dict[str, Any] | None:
    try:
        head: dict[str, Any] = _HEAD.validate_json(document.json)
    except ValidationError as error:
        UNREADABLE.note(document.kind.name, document.id, error, session_id=session_id)
        return None
    return head


def _one_line(content: bytes) -> bytes:
    """JSON as the ``data`` of an event: ours has no line breaks, another writer's may."""
    if b"\n" not in content and b"\r" not in content:
        return content
    return _compact(json.loads(content))


def _continued(content: bytes, texts: Sequence[StreamingText]) -> bytes:
    """A step with the text that streams into it, which is not parsed: it is the most of it."""
    step = json.loads(content)
    for at, text in enumerate(texts):
        step[text.field] = f"{text.before(step.get(text.field))}{_MARK}{at};"
    written = _compact(step)
    for at, text in enumerate(texts):
        written = written.replace(b"%b%d;" % (_MARK.encode(), at), text.escaped, 1)
    return written


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
