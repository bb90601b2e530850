"""Events of one producer that go to the log in one call: gathered, merged, weighed."""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.events import ALWAYS_TAKEN, NO_PARENT, NewEvent, delta_event

if TYPE_CHECKING:
    from stepwire._transport.source import Source
    from stepwire_core.errors import StepwireError
    from stepwire_core.log.event_log import Appended, Batch, Piece, Unfinished
    from stepwire_core.wire.words import TextField

MAX_BATCH_EVENTS: Final = 200
"""A script call holds up the server for all clients: about 7 µs an event."""

MAX_BATCH_BYTES: Final = 256 * 1024
"""A call that holds this much takes no further event."""

MAX_DELTA_BYTES: Final = 16 * 1024
"""Adjacent deltas of one step merge up to here."""

EVENT_BYTES: Final = 400
"""The size of an event in memory beside its text."""

PIECE_BYTES: Final = 64
"""The size of a piece of text in Python beside its characters: a token is a dozen of those."""


@dataclass(slots=True)
class Delta:
    """Adjacent deltas of one step, merged while they wait."""

    step_id: str
    field: TextField
    replace: bool
    parts: list[str]
    size: int
    """Bytes of its text as UTF-8."""

    def event(self) -> NewEvent:
        return delta_event(
            self.step_id, "".join(self.parts), field=self.field, replace=self.replace
        )


@dataclass(slots=True)
class ProgressUpdate:
    """An update of a step that tells how far it is; while it waits, what comes of that replaces it.

    The rest of the step is written once: a loop may tell of each of its rounds.
    """

    step_id: str
    parent: str
    head: str
    """The JSON of the step, up to where ``progress`` stands."""
    progress: str
    """That value, as JSON."""
    ts: str

    @classmethod
    def of(
        cls, step_id: str, parent_id: str | None, document: str, progress: str, ts: str
    ) -> ProgressUpdate:
        """``document`` is the JSON of the step without its progress."""
        head, mark, _ = document.rpartition(_TIME)
        if not mark:
            raise ValueError("the document of a step has no time")
        return cls(step_id, parent_id or NO_PARENT, head, progress, ts)

    @property
    def size(self) -> int:
        return len(self.head) + len(self.progress)

    def event(self) -> NewEvent:
        whole = f'{self.head}"progress":{self.progress},"ts":"{self.ts}"}}'
        return NewEvent("update_step", "step.update", self.step_id, self.parent, whole)


_TIME: Final = '"ts":'


@dataclass(slots=True, eq=False)
class AppendCall:
    """Events of one source that go to the log in one script call."""

    source: Source
    since: float
    """When its first event came, on the buffer's clock."""
    items: list[NewEvent | Delta | ProgressUpdate] = field(default_factory=list)
    progress: dict[str, ProgressUpdate] = field(default_factory=dict)
    """Those among the items after which nothing else of their step has come."""
    size: int = 0
    """Bytes of text, about."""
    weight: int = 0
    """Bytes of memory, about."""
    count: int = 0
    """Events that it settles."""
    batch: Batch | None = None
    piece: Piece | None = None
    """The form in which the batch has gone out, if not as it is."""
    forgets: bool = False
    """It has no events: it lets the log forget its source."""

    @property
    def has_room(self) -> bool:
        """Whether it takes another event."""
        return len(self.items) < MAX_BATCH_EVENTS and self.size < MAX_BATCH_BYTES

    def add(self, item: NewEvent | Delta | ProgressUpdate, size: int, weight: int) -> int:
        """Take an item of so many bytes of text; the bytes of memory that it adds."""
        if self.progress:
            self.progress.pop(item.id if isinstance(item, NewEvent) else item.step_id, None)
        if isinstance(item, ProgressUpdate):
            self.progress[item.step_id] = item
        added = weight + EVENT_BYTES
        self.items.append(item)
        self.size += size + EVENT_BYTES
        self.weight += added
        self.count += 1
        return added

    def merge(self, step_id: str, text: str, field: TextField) -> int | None:
        """Append a piece of text to the event at the end, if it is one that the piece continues;
        the bytes of memory that this adds, or None if it is not."""
        last = self.items[-1]
        if not isinstance(last, Delta) or last.step_id != step_id or last.field != field:
            return None
        # As `piece_size`, without a call: this is done for every token.
        size, weight = len(text), len(text) + PIECE_BYTES
        if not text.isascii():
            size, weight = piece_size(text)
        if last.size + size > MAX_DELTA_BYTES:
            return None
        last.parts.append(text)
        last.size += size
        self.size += size
        self.weight += weight
        return weight

    def replace_progress(self, step_id: str, progress: str, ts: str) -> int | None:
        """Tell how far a step is in the update that waits; the bytes of memory that this adds, or
        None if no update of the step waits."""
        waiting = self.progress.get(step_id)
        if waiting is None:
            return None
        added = len(progress) - len(waiting.progress)
        waiting.progress, waiting.ts = progress, ts
        self.size += added
        self.weight += added
        return added

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not (self.items or self.forgets)

    def prepared(self) -> Batch:
        """The batch, built once: a repeated call carries the same sequence."""
        if self.batch is None and self.forgets:
            self.batch = self.source.last_batch()
        elif self.batch is None:
            self.batch = self.source.next_batch(
                [item if isinstance(item, NewEvent) else item.event() for item in self.items]
            )
        return self.batch

    def form(self, now: float, *, is_alone: bool) -> Batch | Piece:
        """What goes out. ``is_alone`` says that nothing else of its session is in the round trip:
        a piece may have to be sent again, and what came later must not be stored before it."""
        batch = self.prepared()
        self.piece = self.source.places.piece(batch, now) if is_alone else None
        return self.piece or batch

    def result(self, reply: Any, sent_at: float) -> Appended | Unfinished | StepwireError:
        """What the reply means."""
        places = self.source.places
        if self.piece is not None:
            of_piece = self.piece.result(reply)
            places.note_piece(of_piece)
            return of_piece
        batch = self.prepared()
        result = batch.result(reply)
        places.note(batch, result, sent_at)
        return result

    def keep_what_fits(self) -> None:
        """Let go of all that a full session does not take, and of the end of the run: that was
        written as if all before it were stored."""
        self.batch = self.piece = None
        self.progress = {}
        self.items = [item for item in self.items if ends_something(item)]


def ends_something(item: NewEvent | Delta | ProgressUpdate) -> bool:
    """Whether a full session takes it, and a run that is ending.

    Not meant is the end of the run itself, which a full session takes as well.
    """
    if not isinstance(item, NewEvent):
        return False
    return item.type in ALWAYS_TAKEN or (item.op == "keep_value" and not item.payload)


def event_size(event: NewEvent) -> tuple[int, int]:
    """The bytes of its text, about, and of that text in memory."""
    return len(event.payload), getsizeof(event.payload)


def piece_size(text: str) -> tuple[int, int]:
    """The bytes of a piece of text as UTF-8, and in memory."""
    if text.isascii():
        return len(text), len(text) + PIECE_BYTES
    return len(text.encode(errors="surrogatepass")), getsizeof(text) + 8
