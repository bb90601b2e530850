"""Which frames of a session a stream carries: all, those of a run, those of some types."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stepwire_core.errors import InvalidArgument
from stepwire_core.wire.kinds import EVENT_TYPES, RUN_END

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.hub.frames import Frame
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot


class Selection:
    """Picks the frames that one client gets from those of the hub; ids stay as they are.

    A ``snapshot`` always passes, since what follows builds on it, and so does the last ``run.end``
    of a run's stream: a client that comes back after it is told to stop.

    The frames that do not pass leave the client's cursor behind. So that a reconnect does not find
    it trimmed away, a frame with nothing but an ``id`` moves it, each time that ``mark_every``
    frames did not pass (WHATWG HTML, 9.2.6: without data no event is dispatched, but the last event
    id is set).
    """

    def __init__(
        self, *, mark_every: int, run_id: str | None = None, types: frozenset[str] | None = None
    ) -> None:
        self.over = False
        """Nothing more can pass."""
        self.is_everything = run_id is None and types is None
        """Frames pass as they are."""
        self._run_id = run_id
        self._types = types
        self._mark_every = mark_every
        self._skipped = 0
        self._cursor: Cursor | None = None

    async def passed(self, frames: Sequence[Frame]) -> list[bytes]:
        """Those frames that pass, as they go out."""
        if self.is_everything:
            return [frame.encoded for frame in frames]
        pieces = []
        for frame in frames:
            self._cursor = frame.cursor
            self._skipped += 1
            if frame.snapshot is not None:
                pieces.append(await self._part(frame.snapshot))
                self._skipped = 0
            elif self._passes(frame):
                pieces.append(frame.encoded)
                self._skipped = 0
            if self.over:
                break
        if self._skipped >= self._mark_every:
            pieces.append(self.mark())
        return pieces

    def mark(self) -> bytes:
        """Moves the client's cursor past the frames that did not pass."""
        if not self._skipped:
            return b""
        self._skipped = 0
        return f"id: {self._cursor}\n\n".encode()

    def opening(self) -> bytes:
        """Nothing."""
        return b""

    def ended(self) -> bytes:
        """Nothing: the client is told by the answer to its next request."""
        return b""

    async def _part(self, snapshot: WrittenSnapshot) -> bytes:
        if self._run_id is None:
            return snapshot.frame
        self.over = self._run_id in snapshot.ended_runs
        # It looks at the whole state, and copies what may be large.
        return await asyncio.to_thread(snapshot.of_run, self._run_id)

    def _passes(self, frame: Frame) -> bool:
        if self._run_id is not None:
            if frame.run_id != self._run_id:
                return False
            if frame.type == RUN_END and b'"will_retry":false' in frame.encoded:
                self.over = True
                return True
        return self._types is None or frame.type in self._types


def parse_types(text: str | None) -> frozenset[str] | None:
    """The event types that a client has listed, or None for all.

    Raises:
        InvalidArgument: the list has an unknown event type.
    """
    if text is None:
        return None
    types = frozenset(text.split(","))
    if unknown := sorted(types.difference(EVENT_TYPES)):
        raise InvalidArgument(
            f"types: {unknown[0]!r} is not a known event; the known ones are, separated by commas: "
            f"{', '.join(EVENT_TYPES)}"
        )
    return types
