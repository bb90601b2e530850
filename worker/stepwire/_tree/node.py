"""What steps and messages have in common: a node in the tree of a session."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from pydantic import ValidationError

from stepwire._scope.context import Frame, Place, Scope, current_frame
from stepwire._transport.blobs import content_store
from stepwire._transport.threads import in_thread
from stepwire._tree.attributes import (
    Checked,
    id_of_parent,
    mapping,
    own_id,
    refusal,
    text,
    text_or_none,
    unsendable,
    words,
)
from stepwire._tree.element_base import Element
from stepwire._tree.rendering import as_text, bounded, cut, labels
from stepwire_core.errors import InvalidArgument
from stepwire_core.values.clock import now
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import EndStatus, ErrorInfo, StepDocument, TextField
from stepwire_core.wire.events import remove_event, step_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stepwire._transport.producer import Put
    from stepwire_core.wire.events import NewEvent


def _elements(value: object, name: str, noun: str) -> list[Element]:
    """None are none. A list stays the one that it is: what is put into it later counts."""
    given = [] if value is None else value
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise refusal(name, noun, "must be a list of elements", value)
    for element in given:
        if not isinstance(element, Element):
            raise InvalidArgument(
                f"the elements of a {noun} are cl.Image, cl.File and so on, "
                f"not {type(element).__name__}"
            )
    return given if isinstance(given, list) else list(given)


class Node(Place):
    """A node: made by hand, bound to the running session when it is first sent.

    What is assigned to its attributes is checked there, with InvalidArgument for what cannot be
    sent; what is put into its metadata, tags and elements later is shown as far as it can be.
    """

    _what: ClassVar[str]

    id: Checked[str, str | UUID] = Checked(own_id, fixed_once_sent=True)
    parent_id: Checked[str | None, str | UUID | None] = Checked(id_of_parent, NoneType)
    name: Checked[str, str] = Checked(text, str)
    type: Checked[str, str] = Checked(text, str)
    metadata: Checked[dict[str, Any], Mapping[str, Any] | None] = Checked(mapping, dict)
    tags: Checked[list[str], Sequence[str] | None] = Checked(words)
    language: Checked[str | None, str | None] = Checked(text_or_none, str, NoneType)
    elements: Checked[list[Element], Sequence[Element] | None] = Checked(_elements)

    def __init__(
        self,
        *,
        name: str,
        type: str,
        id: str | UUID | None,
        parent_id: str | UUID | None,
        metadata: Mapping[str, Any] | None,
        tags: Sequence[str] | None,
        language: str | None,
        elements: Sequence[Element] | None,
    ) -> None:
        self.name = name
        self.type = type
        if id is None:
            self._checked_id = new_id()
        else:
            self.id = id
        self.parent_id = parent_id
        self._checked_metadata: dict[str, Any] = {}
        self._checked_tags: list[str] = []
        self._checked_elements: list[Element] = []
        # Copies: the caller may go on to use what was given.
        if metadata:
            self.metadata = dict(metadata) if isinstance(metadata, dict) else metadata
        if tags:
            self.tags = tags[:] if isinstance(tags, list) else tags
        if elements:
            self.elements = elements[:] if isinstance(elements, list) else elements
        self.language = language
        self.status: str = "running"
        self.error: ErrorInfo | None = None
        self.started_at: str | None = None
        self.ended_at: str | None = None
        # The same, out of reach: a handler may assign anything to what it can see.
        self._began_at: str | None = None
        self._over_at: str | None = None
        self._scope: Scope | None = None
        self._texts: dict[TextField, list[str]] = {"input": [], "output": []}
        self._length: dict[TextField, int] = {"input": 0, "output": 0}
        self._cut: set[TextField] = set()

    @property
    def _is_sent(self) -> bool:
        return self._scope is not None

    @property
    def session_id(self) -> str | None:
        """The session that it was sent to, or None."""
        return None if self._scope is None else self._scope.session_id

    # -- text -----------------------------------------------------------------------------------

    def _get(self, field: TextField) -> str:
        parts = self._texts[field]
        if len(parts) > 1:
            parts[:] = ["".join(parts)]
        return parts[0] if parts else ""

    def _set(self, field: TextField, value: object) -> str | None:
        text, language = as_text(value)
        self._put(field, text)
        return language

    async def _stream(self, token: str, field: TextField, *, replace: bool) -> None:
        if self._add(token, field, replace=replace):
            await self._room()

    def _add(self, token: str, field: TextField, *, replace: bool) -> bool:
        """Append a piece of text; whether the buffer is full now."""
        if not token:
            return False
        if not isinstance(token, str):
            raise InvalidArgument(
                f"stream_token takes text, not {type(token).__name__}: pass the text in it"
            )
        producer = (self._scope or self._started()).producer
        limit = producer.max_text_chars
        if replace:
            self._put(field, "")
        if field in self._cut:
            return False
        before = self._length[field]
        self._length[field] = length = before + len(token)
        if length > limit:
            self._cut.add(field)
            self._texts[field] = [self._get(field)[:limit]]
            token = token[: max(0, limit - before)] + _cut_off(limit)
        self._texts[field].append(token)
        return producer.delta(self.id, token, field, replace)

    def _put(self, field: TextField, text: str) -> None:
        self._texts[field] = [text]
        self._length[field] = len(text)
        self._cut.discard(field)

    def _shown(self, field: TextField, limit: int) -> str:
        """The text as clients get it: bounded, with a mark where it was cut off."""
        text = self._get(field)
        if field in self._cut or len(text) <= limit:
            return text
        return text[:limit] + _cut_off(limit)

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
        start = step_event("step.start", self._document(scope, started_at, started_at))

        def begin(put: Put) -> None:
            if self._scope is not None:
                return
            put(start, *self._announcements())
            self._scope = scope
            self.started_at = self._began_at = started_at
            scope.open[self.id] = self._end

        scope.producer.atomically(begin)
        return self._scope or scope

    def _end(self, status: EndStatus, error: ErrorInfo | None = None) -> None:
        """Send its end, once."""
        scope = self._scope or self._started()
        ended_at, fault = now(), None
        try:
            document = self._document(scope, self.started_at or ended_at, ended_at)
            announcements = self._announcements()
        except Exception as broken:  # noqa: BLE001 - raised again, when it has ended
            document, announcements, fault = self._bare(scope, ended_at), [], broken
        document.status, document.ended_at = status, ended_at
        if error is not None:
            document.error = error
        step_end = step_event("step.end", document)

        def end(put: Put) -> None:
            if self._over_at is not None:
                return
            self.status = status
            self.error = error
            self.ended_at = self._over_at = ended_at
            scope.open.pop(self.id, None)
            put(*announcements, step_end)

        if self._over_at is None:
            scope.producer.atomically(end)
        if fault is not None:
            raise fault

    def _bare(self, scope: Scope, ts: str) -> StepDocument:
        """What can be shown of it whatever a handler has put into it."""
        return StepDocument(
            **self._sure(scope), status="running", started_at=self._began_at or ts, ts=ts
        )

    def _sure(self, scope: Scope) -> dict[str, Any]:
        """The fields that no handler can have set to something else."""
        limit = scope.producer.max_text_chars
        return {
            "id": self.id,
            "session_id": scope.session_id,
            "run_id": scope.run_id or None,
            "attempt": scope.attempt,
            "parent_id": self.parent_id,
            "name": cut(self.name),
            "type": cut(self.type),
            "input": self._shown("input", limit),
            "output": self._shown("output", limit),
        }

    def _update(self) -> None:
        if self._scope is None:
            self._started()
            return
        scope, done = self._scope, False
        while not done:
            over_at, ts = self._over_at, now()
            document = self._document(scope, self.started_at or ts, ts)
            update = partial(self._put_update, step_event("step.update", document), over_at)
            done = scope.producer.atomically(update) is not False

    def _put_update(self, update: NewEvent, over_at: str | None, put: Put) -> bool:
        if self._over_at != over_at:
            # It was ended meanwhile: this would show it as running for ever.
            return False
        put(*self._announcements(), update)
        return True

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
        if not (store := content_store(scope.producer)).has_objects:
            self._remove()
            await self._room()
            return
        await scope.producer.flush()
        objects = await in_thread(store.objects_below, scope.session_id, self.id)
        self._remove()
        # After the event is stored: nobody is to be shown what is not there.
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
        # One that was sent with another step is sent with this one, too.
        self.elements = [
            element if element.for_id in (None, self.id) else element._again()
            for element in checked_elements(self.elements, self._what)
        ]
        return [element for element in self.elements if element._is_new]

    def _store(self, elements: Sequence[Element]) -> None:
        scope = self._scope or current_frame(f"{self._what} {self.name!r}").scope
        for element in elements:
            element._store(scope, self.id)

    def _shown_elements(self) -> list[Element]:
        if not self.elements:
            return []
        # A list takes whatever is put into it; said where elements are stored, passed over here.
        return [element for element in self.elements if isinstance(element, Element)]

    def _announcements(self) -> list[NewEvent]:
        return [event for element in self._shown_elements() for event in element._announcement()]

    def _document(self, scope: Scope, started_at: str, ts: str, **own: Any) -> StepDocument:
        try:
            return StepDocument(
                **self._sure(scope),
                status=self.status,
                language=self.language and cut(self.language),
                tags=labels(self.tags),
                metadata=bounded(self.metadata, scope.producer.max_metadata_chars),
                elements=[item.id for item in self._shown_elements() if item._is_with(self.id)],
                started_at=started_at,
                ended_at=self.ended_at,
                error=self.error,
                ts=ts,
                **own,
            )
        except ValidationError as error:
            # An attribute that only we set.
            raise unsendable(self._what, self.name, error) from error


def checked_elements(elements: object, what: str) -> list[Element]:
    """A list of ``elements``, when they are some; None are none."""
    return list(_elements(elements, "elements", what))


def _cut_off(limit: int) -> str:
    """What stands where a text was cut off."""
    return f"\n… [cut off after {limit} characters]"
