"""Which texts of a producer may go on in the tail of their session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepwire_core.log.event_log import PIECE_BYTES, TAIL_PIECES, Appended, Piece

if TYPE_CHECKING:
    from stepwire_core.log.event_log import Batch, Place, Unfinished


class TailPlaces:
    """The places that the log has told, each with the moment up to which it may be used.

    Other producers write to the session, too. So a place may be wrong, and the server says so.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], tuple[Place, float]] = {}
        """By step and field; all in the same tail, which has 64 at most."""
        self._top = 0

    def piece(self, batch: Batch, now: float) -> Piece | None:
        """The short form of a batch, if it is one more piece of a text with a known place."""
        if not self._places or len(batch.events) != 1 or batch.closing:
            return None
        [event] = batch.events
        if event.op != "append_text" or len(event.payload.encode()) > PIECE_BYTES:
            return None
        place, until = self._places.get((event.id, event.parent), (None, 0.0))
        if place is None or now > until or self._top - place.tail + 2 >= TAIL_PIECES:
            return None
        return Piece(batch, place)

    def note(self, batch: Batch, result: object, sent_at: float) -> None:
        """Learn from the answer to a batch that went out as it is."""
        if not isinstance(result, Appended):
            return
        place, self._top = result.place, result.top.seq
        if place is None or not all(other.is_beside(place) for other, _ in self._places.values()):
            self._places.clear()
        if place is not None:
            last = batch.events[-1]
            self._places[last.id, last.parent] = place, sent_at + place.lasts_ms / 1000

    def note_piece(self, result: Appended | Unfinished) -> None:
        """Learn from the answer to a short form."""
        if isinstance(result, Appended):
            self._top = result.top.seq
        else:
            self._places.clear()
