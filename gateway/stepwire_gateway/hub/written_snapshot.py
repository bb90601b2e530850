"""A snapshot as clients get it: one frame, and where the documents are in it."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stepwire_core.wire.documents import UsageSum
from stepwire_core.wire.kinds import RUN, SNAPSHOT, STEP, Kind
from stepwire_core.wire.words import PROTOCOL_VERSION

if TYPE_CHECKING:
    from stepwire_core.values.cursor import Cursor

PART_BYTES: Final = 4 * 1024 * 1024
"""What is written to a connection at a time; and what is copied on the event loop at most, in about
a millisecond. Most snapshots are smaller."""

_END: Final = b"\n\n"


@dataclass(slots=True)
class Documents:
    """The documents of one kind in a written snapshot, in their order.

    Lists side by side: an object for each would keep the garbage collector, and with it the loop,
    busy for tens of milliseconds.
    """

    orders: list[int] = field(default_factory=list)
    """They rise, and are comparable between kinds."""
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
    used: Mapping[str, UsageSum]
    """What runs have used, by their ids."""

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
        layout = Layout(self.session_id, self.cursor)
        for kind, of_kind in self.documents.items():
            layout.begin(kind)
            for at, owner in enumerate(of_kind.owners):
                belongs = owner == run_id if kind.owner_field == "run_id" else owner in steps
                if belongs:
                    id_ = of_kind.ids[at]
                    content = self.frame[of_kind.starts[at] : of_kind.stops[at]]
                    layout.add(of_kind.orders[at], id_, owner, content)
                    if kind is STEP:
                        steps.add(id_)
        return b"".join(layout.ended(self.used.get(run_id, UsageSum())))


class Layout:
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

    def add(self, order: int, id_: str, owner: object, content: bytes) -> None:
        of_kind = self._of_kind
        if of_kind.ids:
            self._put(b",")
        of_kind.orders.append(order)
        of_kind.ids.append(id_)
        of_kind.owners.append(owner)
        of_kind.starts.append(self._at)
        self._put(content)
        of_kind.stops.append(self._at)

    def ended(self, used: UsageSum) -> list[bytes]:
        """All of it, with what it has used."""
        runs, steps = self.documents[RUN].orders, self.documents[STEP].orders
        before = ",".join(str(bisect(steps, order)) for order in runs)
        usage = used.model_dump_json()
        end = f'],"steps_before_runs":[{before}],"usage":{usage},"v":{PROTOCOL_VERSION}}}'
        self._put(end.encode() + _END)
        return self._pieces

    def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._at += len(piece)


def _begin(cursor: Cursor) -> bytes:
    return f"id: {cursor}\nevent: {SNAPSHOT}\ndata: ".encode()
