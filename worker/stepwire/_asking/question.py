"""A question in the log, and the wait for its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from stepwire._asking.waiting import waited_for
from stepwire._scope.user_session import store_changes
from stepwire_core.errors import StepwireError
from stepwire_core.values.clock import now
from stepwire_core.wire.events import ask_end_event, ask_event
from stepwire_core.wire.unreadable import readable
from stepwire_core.wire.words import AskStatus

if TYPE_CHECKING:
    from stepwire._scope.context import Scope
    from stepwire._transport.producer import Put
    from stepwire_core.wire.documents import AskDocument
    from stepwire_core.wire.words import EndStatus


class Question:
    """An open ask. It ends once: with an answer, with its time, or with its run."""

    def __init__(self, scope: Scope, document: AskDocument) -> None:
        self._scope = scope
        self._document = document
        asked = ask_event(document)

        def ask(put: Put) -> None:
            put(asked)
            scope.open[document.id] = self._end

        scope.producer.atomically(ask)

    async def answered(self, timeout_s: float) -> AskDocument | None:
        """The ask with its answer; None if it ran out of time or its run is over.

        Raises:
            SessionNotFound, RunFenced, RunEnded, StoreUnavailable: it cannot be asked.
        """
        try:
            store_changes(self._scope)
            await self._scope.producer.flush()
            try:
                async with asyncio.timeout(timeout_s):
                    ask = await self._ended()
            except TimeoutError:
                self._close("timeout")
                await self._scope.producer.flush()
                # The answer may have come in the last moment: the log decides.
                ask = await self._look()
        finally:
            # Still open: an exception is under way, which an error from here would hide.
            with suppress(StepwireError):
                self._close("cancelled")
        return None if ask is None or ask.answer is None else ask

    def _end(self, status: EndStatus) -> None:
        """Its run is over, and no handler waits for an answer."""
        self._close("interrupted" if status == "interrupted" else "cancelled")

    def _close(self, status: AskStatus) -> None:
        ts = now()
        ended = self._document.model_copy(update={"status": status, "ended_at": ts, "ts": ts})
        end = ask_end_event(ended)

        def close(put: Put) -> None:
            if self._scope.open.pop(self._document.id, None) is not None:
                put(end)

        if self._document.id in self._scope.open:
            self._scope.producer.atomically(close)

    async def _ended(self) -> AskDocument | None:
        async def look() -> tuple[AskDocument | None] | None:
            ask = await self._look()
            return None if ask is not None and ask.status == "open" else (ask,)

        [ask] = await waited_for(self._scope, self._document.id, look)
        self._scope.open.pop(self._document.id, None)
        return ask

    async def _look(self) -> AskDocument | None:
        from stepwire_core.wire.documents import AskDocument

        state = await self._scope.producer.state([f"a:{self._document.id}"])
        if state[0] is None:
            return None
        ids = {"id_": self._document.id, "session_id": self._scope.session_id}
        return readable(AskDocument, state[0], "ask", **ids)
