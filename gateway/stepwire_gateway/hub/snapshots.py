"""Snapshots as clients get them: the stored documents joined, written once for all who ask.

A session may have 20,000 steps and 128 MiB. So nothing of it becomes an object: a document is
looked at only as far as it takes to see that it is JSON and whose it is, and the event loop gets
its turn in between. What this version does not know in a document goes out as it was stored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeVar, get_args
from weakref import WeakValueDictionary

from pydantic_core import SchemaValidator, ValidationError, core_schema

from stepwire_core.errors import ProtocolViolation
from stepwire_core.log.event_log import EventLog, LogTail
from stepwire_core.log.stored_state import StoredDocument, StoredState, StreamingText
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import PROTOCOL_VERSION, EndStatus
from stepwire_core.wire.kinds import ELEMENT, KINDS, RUN, SNAPSHOT, STEP, Kind
from stepwire_core.wire.unreadable import UNREADABLE
from stepwire_gateway.prefix import Prefix

T = TypeVar("T")

TURN_S: Final = 0.002
"""So long the event loop may be kept at a time."""

PART_BYTES: Final = 4 * 1024 * 1024
"""What is written to a connection at a time; and what is copied on the event loop at most, in about
a millisecond. Most snapshots are smaller."""

_ENDS: Final = frozenset(get_args(EndStatus))
_END: Final = b"\n\n"

_MARK: Final = new_id()
"""Stands in a document where text is put in; it is known in this process alone."""

_any = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
_HEAD: Final = SchemaValidator(
    core_schema.typed_dict_schema(
        dict.fromkeys(
            ("status", "ended_at", "will_retry", *(kind.owner_field for kind in KINDS)), _any
        )
    )
)
"""Checks that a document is a JSON object, and returns these fields of it: a third of the time
that it takes to parse it."""


@dataclass(slots=True)
class Documents:
    """The documents of one kind in a written snapshot, in their order.

    Lists side by side: an object for each would keep the garbage collector, and with it the loop,
    busy for tens of milliseconds.
    """

    ids: list[str] = field(default_factory=list)
    owners: list[object] = field(default_factory=list)
    """The runs that they belong to, or the steps: see :attr:`Kind.owner_field`."""
    starts: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class WrittenSnapshot:
    """Everything that a session shows, at one cursor, as an event of a stream."""

    session_id: str
    cursor: Cursor
    frame: bytes
    """``id``, ``event`` and one ``data`` line, ended by LF LF."""
    open_runs: frozenset[str]
    ended_runs: frozenset[str]
    """The runs that will not be tried again."""
    documents: Mapping[Kind, Documents]

    @property
    def json_bytes(self) -> int:
        """The length of its JSON."""
        return len(self.frame) - len(_begin(self.cursor)) - len(_END)

    def parts(self) -> Iterator[bytes]:
        """Its JSON alone, in parts that can be sent one by one."""
        start = len(_begin(self.cursor))
        stop = start + self.json_bytes
        for at in range(start, stop, PART_BYTES):
            yield self.frame[at : min(at + PART_BYTES, stop)]

    def of_run(self, run_id: str) -> bytes:
        """The frame with what belongs to one run alone. It takes long where that is much."""
        steps: set[object] = set()
        layout = _Layout(self.session_id, self.cursor)
        for kind, of_kind in self.documents.items():
            layout.begin(kind)
            for at, owner in enumerate(of_kind.owners):
                belongs = owner == run_id if kind.owner_field == "run_id" else owner in steps
                if belongs:
                    id_ = of_kind.ids[at]
                    layout.add(id_, owner, self.frame[of_kind.starts[at] : of_kind.stops[at]])
                    if kind is STEP:
                        steps.add(id_)
        return b"".join(layout.ended())


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


class Snapshots:
    """Reads sessions for all clients of this process.

    All who ask for the same at once share one read and one result. Who asks while a read is under
    way shares the next one: it has everything that was stored before anybody of them asked.
    """

    def __init__(self, log: EventLog, prefix: Prefix | None = None) -> None:
        self._log = log
        self._prefix = prefix or Prefix(None)
        self._next: dict[_Asked, asyncio.Task[LogTail | WrittenSnapshot]] = {}
        self._under_way: dict[_Asked, asyncio.Task[LogTail | WrittenSnapshot]] = {}
        self._writing: dict[tuple[str, Cursor], asyncio.Task[WrittenSnapshot]] = {}
        self._written: WeakValueDictionary[str, WrittenSnapshot] = WeakValueDictionary()
        self.built = 0
        """How many were written, for however many readers."""

    async def read(self, session_id: str, after: Cursor | None) -> LogTail | WrittenSnapshot:
        """As :meth:`EventLog.read`, with the snapshot as it goes out.

        Raises:
            SessionNotFound: the session is not there.
            StoreUnavailable: Redis does not answer.
        """
        asked = _Asked(session_id, after)
        task = self._next.get(asked)
        if task is None:
            before = self._under_way.get(asked)
            task = self._next[asked] = _started(self._read(asked, before))
        return await asyncio.shield(task)

    async def whole(self, session_id: str) -> WrittenSnapshot:
        """The state of a whole session.

        Raises: as :meth:`read`.
        """
        read = await self.read(session_id, None)
        if isinstance(read, LogTail):
            raise ProtocolViolation("the read script returned events to a reader without a cursor")
        return read

    def close(self) -> None:
        """Nobody asks any more."""
        for task in (*self._next.values(), *self._under_way.values(), *self._writing.values()):
            task.cancel()

    async def _read(
        self, asked: _Asked, before: asyncio.Task[Any] | None
    ) -> LogTail | WrittenSnapshot:
        if before is not None:
            await asyncio.wait([before])
        # A later caller may know of something that this read does not find.
        task = self._under_way[asked] = self._next.pop(asked)
        try:
            return await self._found(*asked)
        finally:
            if self._under_way.get(asked) is task:
                del self._under_way[asked]

    async def _found(self, session_id: str, after: Cursor | None) -> LogTail | WrittenSnapshot:
        known = self._written.get(session_id) if after is None else None
        if known is not None and [known.cursor] == await self._log.tops([session_id]):
            # Somebody is still being sent it, and it is still the newest.
            return known
        read = await self._log.read_stored(session_id, after)
        if isinstance(read, LogTail):
            return read
        # Callers that asked with different cursors get the same state.
        at = (session_id, read.cursor)
        task = self._writing.get(at)
        if task is None:
            known = self._written.get(session_id)
            if known is not None and known.cursor == read.cursor:
                return known
            task = self._writing[at] = _started(self._write(read))
            task.add_done_callback(lambda _: self._writing.pop(at, None))
        return await asyncio.shield(task)

    async def _write(self, stored: StoredState) -> WrittenSnapshot:
        written = await write(stored, self._prefix)
        self.built += 1
        self._written[stored.session_id] = written
        return written


class _Asked(NamedTuple):
    session_id: str
    after: Cursor | None


def _started(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.create_task(work)
    # The callers that waited for it may all be gone when it fails.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def write(stored: StoredState, prefix: Prefix) -> WrittenSnapshot:
    """The snapshot of a state, which is used up."""
    streaming: dict[str, list[StreamingText]] = {}
    for text in stored.streaming():
        streaming.setdefault(text.step_id, []).append(text)
    found = {kind: _Found() for kind in KINDS}
    runs = _Runs()
    async for document in _giving_way(stored.documents()):
        kind, id_ = document.kind, document.id
        head = _head(document, stored.session_id)
        if head is None:
            continue
        content = _one_line(document.json)
        if kind is STEP and id_ in streaming:
            content = _continued(content, streaming[id_])
        elif kind is RUN:
            runs.add(id_, head)
        elif kind is ELEMENT:
            content = prefix.element(content)
        found[kind].add(document.order, id_, head.get(kind.owner_field), content)
    layout = _Layout(stored.session_id, stored.cursor)
    for kind, items in found.items():
        layout.begin(kind)
        async for at in _giving_way(sorted(range(len(items.ids)), key=items.orders.__getitem__)):
            layout.add(items.ids[at], items.owners[at], items.contents[at])
    frame = await joined_aside(layout.ended())
    return WrittenSnapshot(
        stored.session_id,
        stored.cursor,
        frame,
        frozenset(runs.open),
        frozenset(runs.ended),
        layout.documents,
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


class _Layout:
    """The frame of a snapshot, piece by piece, and where its documents are in it."""

    def __init__(self, session_id: str, cursor: Cursor) -> None:
        begin = f'{{"session_id":"{session_id}","cursor":"{cursor}"'
        self._pieces = [_begin(cursor), begin.encode()]
        self._at = sum(map(len, self._pieces))
        self._before_list = b","
        self.documents: dict[Kind, Documents] = {}

    def begin(self, kind: Kind) -> None:
        """The documents of this kind follow."""
        self._put(b'%b"%b":[' % (self._before_list, kind.list_name.encode()))
        self._before_list = b"],"
        self._of_kind = self.documents[kind] = Documents()

    def add(self, id_: str, owner: object, content: bytes) -> None:
        of_kind = self._of_kind
        if of_kind.ids:
            self._put(b",")
        of_kind.ids.append(id_)
        of_kind.owners.append(owner)
        of_kind.starts.append(self._at)
        self._put(content)
        of_kind.stops.append(self._at)

    def ended(self) -> list[bytes]:
        """All of it."""
        self._put(b'],"v":%d}' % PROTOCOL_VERSION + _END)
        return self._pieces

    def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._at += len(piece)


def _begin(cursor: Cursor) -> bytes:
    return f"id: {cursor}\nevent: {SNAPSHOT}\ndata: ".encode()


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
