"""The stream of a run to a client of AG-UI."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stepwire_core.errors import SessionNotFound
from stepwire_gateway.faces.face_stream import FaceStream, Told
from stepwire_gateway.faces.retelling import retold
from stepwire_gateway.hub.log_source import retry_until_available

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.auth.caller import Caller
    from stepwire_gateway.faces.agui.mapping import AgUiMapping
    from stepwire_gateway.faces.events import Scope
    from stepwire_gateway.hub.frames import Frame
    from stepwire_gateway.hub.reading import Reading
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
    from stepwire_gateway.services import Services


class AgUiStream(FaceStream):
    """A stream that begins with the run and not with its first event, and that tells a snapshot
    where no event can change what the client has.

    ``is_fresh``: the reading begins before all events of the run.
    """

    def __init__(
        self,
        reading: Reading,
        services: Services,
        caller: Caller,
        mapping: AgUiMapping,
        scope: Scope,
        *,
        is_fresh: bool,
    ) -> None:
        told = _ToldAnew(mapping, scope, reading, services, is_fresh=is_fresh)
        super().__init__(reading, services, caller, mapping, scope, told=told)


class _ToldAnew(Told):
    """A mapping that is retold a snapshot, also in mid-stream, whenever it is stale."""

    def __init__(
        self,
        mapping: AgUiMapping,
        scope: Scope,
        reading: Reading,
        services: Services,
        *,
        is_fresh: bool,
    ) -> None:
        super().__init__(mapping, scope)
        self._is_fresh = is_fresh
        self._of_agui = mapping
        self._session_id = reading.feed.session_id
        self._snapshots = services.hub.snapshots
        self._ahead: Cursor | None = None
        """The snapshot has told all events up to this one."""

    def opening(self) -> bytes:
        return self._of_agui.opened() if self._is_fresh else b""

    async def passed(self, frames: Sequence[Frame]) -> list[bytes]:
        pieces: list[bytes] = []
        for frame in frames:
            if self.over:
                break
            if frame.snapshot is not None:
                await self._tell_anew(frame.snapshot, pieces)
            elif self._is_new(frame.cursor):
                pieces += await super().passed([frame])
            if self._of_agui.is_stale and not self.over:
                await self._tell_newest(pieces)
        return pieces

    def _is_new(self, cursor: Cursor) -> bool:
        ahead = self._ahead
        return ahead is None or cursor.epoch != ahead.epoch or cursor > ahead

    async def _tell_newest(self, pieces: list[bytes]) -> None:
        try:
            snapshot = await retry_until_available(lambda: self._snapshots.whole(self._session_id))
        except SessionNotFound:
            # The reading ends, too.
            return
        await self._tell_anew(snapshot, pieces)

    async def _tell_anew(self, snapshot: WrittenSnapshot, pieces: list[bytes]) -> None:
        self._ahead = snapshot.cursor
        async for event in retold(snapshot, self._scope):
            self._tell(event, pieces)
        # It looks at all documents, and writes what may be large.
        pieces.append(await asyncio.to_thread(self._of_agui.retold))
