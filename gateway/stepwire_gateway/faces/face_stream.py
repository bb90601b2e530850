"""The stream of a mapping: what one reading brings, told to one client in its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepwire_gateway.api.event_stream import EventStream
from stepwire_gateway.faces.events import event_of
from stepwire_gateway.faces.retelling import retold

if TYPE_CHECKING:
    from collections.abc import Mapping as Headers
    from collections.abc import Sequence

    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.faces.events import FaceEvent, Scope
    from stepwire_gateway.faces.mapping import Mapping
    from stepwire_gateway.hub.frames import Frame
    from stepwire_gateway.hub.reading import Reading
    from stepwire_gateway.services import Services


class FaceStream(EventStream):
    """The response of a face; it closes its reading in any case.

    Open the reading with ``services.hub.open(session_id, cursor)``: with a cursor the events after
    it come, without one (or where the log does not reach back to it) a snapshot is retold first.
    A mapping that is ``over`` ends the stream.
    """

    def __init__(
        self,
        reading: Reading,
        services: Services,
        caller: Caller,
        mapping: Mapping,
        scope: Scope,
        *,
        headers: Headers[str, str] | None = None,
        told: Told | None = None,
    ) -> None:
        super().__init__(reading, services, caller, told or Told(mapping, scope))
        self.headers.update(headers or {})


class Told:
    """A mapping, as the streams take what picks frames."""

    is_everything = False

    def __init__(self, mapping: Mapping, scope: Scope) -> None:
        self._mapping = mapping
        self._scope = scope

    @property
    def over(self) -> bool:
        return self._mapping.over

    def opening(self) -> bytes:
        return b""

    async def passed(self, frames: Sequence[Frame]) -> list[bytes]:
        pieces: list[bytes] = []
        for frame in frames:
            if frame.snapshot is not None:
                async for event in retold(frame.snapshot, self._scope):
                    self._tell(event, pieces)
                    if self.over:
                        return pieces
                if told := self._mapping.retold():
                    pieces.append(told)
            elif self._scope.takes(frame):
                self._tell(event_of(frame), pieces)
            if self.over:
                break
        return pieces

    def mark(self) -> bytes | None:
        return b"" if self.over else self._mapping.left()

    def ended(self) -> bytes | None:
        return self.mark()

    def _tell(self, event: FaceEvent, pieces: list[bytes]) -> None:
        if told := self._mapping.tell(event):
            pieces.append(told)
