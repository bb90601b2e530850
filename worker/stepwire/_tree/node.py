"""A node in the tree of a session: how steps and messages are sent, ended, updated, removed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stepwire._elements.attachments import own_elements, store_elements, unstored
from stepwire._scope.context import Frame, Scope, current_frame
from stepwire._scope.sync import EMITTED, Emitting, on_loop
from stepwire._transport.threads import in_thread
from stepwire._tree.node_content import Content
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.clock import now
from stepwire_core.wire.events import remove_event, written_step_event
from stepwire_core.wire.words import EndStatus, TextField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire._elements.element_base import Element
    from stepwire._transport.producer import Put
    from stepwire_core.wire.documents import ErrorInfo
    from stepwire_core.wire.events import NewEvent, StepChange


class Node(Content):
    """A node: made by hand, bound to the running session when it is first sent."""

    def _stream(self, token: str, field: TextField, *, replace: bool) -> Emitting:
        """Append a piece of text, at once; what is left to await is room in the buffer."""
        scope = self._scope
        if scope is None or replace or not token or token.__class__ is not str:
            is_full = self._add(token, field, replace=replace)
        else:
            # What `_add` does, without its calls: this is done for every token.
            producer = scope.producer
            shown = self._texts[field].append(token, producer.max_text_chars)
            is_full = bool(shown) and producer.delta(self._checked_id, shown, field, False)
        if not is_full:
            return EMITTED
        if on_loop():
            return Emitting(self._room())
        self._room_sync()
        return EMITTED

    def _add(self, token: str, field: TextField, *, replace: bool) -> bool:
        """Append a piece of text; whether the buffer is full now."""
        if not token:
            return False
        if not isinstance(token, str):
            raise InvalidArgument(
                f"stream_token takes text, not {type(token).__name__}: pass the text in it"
            )
        producer = (self._scope or self._started()).producer
        text = self._texts[field]
        if replace:
            text.set("")
        shown = text.append(token, producer.max_text_chars)
        return bool(shown) and producer.delta(self.id, shown, field, replace)

    # -- room -----------------------------------------------------------------------------------

    @property
    def _must_wait(self) -> bool:
        return self._scope is not None and self._scope.producer.must_wait

    async def _room(self) -> None:
        """Wait for room for the next event; those emitted so far are in."""
        if self._scope is not None:
            await self._scope.producer.room()

    def _room_sync(self) -> None:
        """The same, for code without an event loop."""
        if self._scope is not None:
            self._scope.producer.room_sync()

    # -- life -----------------------------------------------------------------------------------

    def _default_parent(self, frame: Frame) -> str | None:
        return frame.parent_id

    # What begins, ends or removes something does so in one operation of the producer, so that no
    # end of the run comes in between. Documents are made before: that may call what users wrote.

    def _started(self, frame: Frame | None = None) -> Scope:
        """Send it if it has not been sent, by default from where the code is that runs now; the
        session it belongs to."""
        if self._scope is not None:
            return self._scope
        frame = frame or current_frame(f"{self._what} {self.name!r}")
        if self.parent_id is None:
            self.parent_id = self._default_parent(frame)
        started_at = now()
        scope = frame.scope
        start = self._change("step.start", self._document(scope, started_at, started_at))

        def begin(put: Put) -> None:
            if self._scope is not None:
                return
            put(start, *self._announcements(), *self._sums(scope))
            self._scope = scope
            self.started_at = self._began_at = started_at
            scope.open[self.id] = self._end

        scope.producer.atomically(begin)
        return self._scope or scope

    def _end(
        self,
        status: EndStatus,
        error: ErrorInfo | None = None,
        before: Sequence[NewEvent] = (),
    ) -> None:
        """Send its end, once, with these events right before it."""
        if self._over_at is not None:
            # Later additions are announced by the next update; here they would be lost.
            return
        scope = self._scope or self._started()
        ended_at, fault = now(), None
        try:
            document = self._last_document(scope, ended_at, status, error)
            announcements = self._announcements()
        except Exception as broken:  # noqa: BLE001 - raised again, when it has ended
            document = self._bare_document(scope, ended_at, status, error)
            announcements, fault = [], broken
        step_end = self._change("step.end", document)

        def end(put: Put) -> None:
            if self._over_at is not None:
                return
            self._checked_status = status
            self.error = error
            self.ended_at = self._over_at = ended_at
            scope.open.pop(self.id, None)
            put(*announcements, *before, step_end, *self._sums(scope))

        scope.producer.atomically(end)
        if fault is not None:
            raise fault

    def _update(self) -> None:
        if self._scope is None:
            self._started()
            return
        scope, done = self._scope, False
        while not done:
            over_at, ts = self._over_at, now()
            document = self._document(scope, self.started_at or ts, ts)
            update = partial(self._put_update, self._change("step.update", document), over_at)
            done = scope.producer.atomically(update) is not False

    def _change(self, type_: StepChange, document: str) -> NewEvent:
        return written_step_event(type_, self.id, self.parent_id, document)

    def _put_update(self, update: NewEvent, over_at: str | None, put: Put) -> bool:
        scope = self._scope
        if self._over_at != over_at:
            # It was ended meanwhile: this would show it as running for ever.
            return False
        put(*self._announcements(), update, *(() if scope is None else self._sums(scope)))
        return True

    def _sums(self, scope: Scope) -> Sequence[NewEvent]:  # noqa: ARG002 - of a step
        """What tells the run's new sums after its document; called inside an operation."""
        return ()

    def _remove(self) -> None:
        scope = self._scope
        if scope is None:
            return

        def remove(put: Put) -> None:
            scope.open.pop(self.id, None)
            put(remove_event(self.id))

        scope.producer.atomically(remove)

    async def _remove_with_objects(self) -> None:
        """Remove it, and what Redis does not drop by itself: bytes in object storage."""
        scope = self._scope
        if scope is None:
            return
        if not (store := scope.producer.contents).has_objects:
            self._remove()
            await self._room()
            return
        await scope.producer.flush()
        objects = await in_thread(store.objects_below, scope.session_id, self.id)
        self._remove()
        # After the event is stored: no client may be shown an element whose bytes are gone.
        await scope.producer.flush()
        await in_thread(store.remove_objects, scope.session_id, objects)

    # -- elements -------------------------------------------------------------------------------

    async def _store_elements(self) -> None:
        """Put the bytes of its elements in place; what is sent of it next shows them."""
        if waiting := self._unstored():
            await in_thread(self._store, waiting)

    def _store_elements_sync(self) -> None:
        """The same, for code without an event loop."""
        if waiting := self._unstored():
            self._store(waiting)

    def _unstored(self) -> list[Element]:
        if not self.elements:
            return []
        self.elements = own_elements(self.elements, self.id, self._what)
        self._attached |= {element.id: element for element in self.elements}
        return unstored(self.elements)

    async def _remove_detached(self) -> None:
        """Take those elements away that were attached to it, and no longer are."""
        if not self._attached:
            return
        kept = {element.id for element in self.elements}
        for element in [one for id_, one in self._attached.items() if id_ not in kept]:
            del self._attached[element.id]
            await element.remove()

    def _store(self, elements: Sequence[Element]) -> None:
        scope = self._scope or current_frame(f"{self._what} {self.name!r}").scope
        store_elements(elements, scope, self.id)
