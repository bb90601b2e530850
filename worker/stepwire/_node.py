"""What steps and messages have in common: a node in the tree of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from stepwire._contents import content_store
from stepwire._context import Frame, Scope, current_frame
from stepwire._element import Element
from stepwire._text import as_text, bounded, cut, labels
from stepwire._threads import in_thread
from stepwire_core.clock import now
from stepwire_core.documents import EndStatus, ErrorInfo, StepDocument, StepStatus, TextField
from stepwire_core.errors import InvalidArgument
from stepwire_core.events import remove_event, step_event
from stepwire_core.ids import check_id, new_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stepwire_core.events import NewEvent


class Node:
    """A node: made by hand, bound to the running session when it is first sent."""

    _what: ClassVar[str]

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
        self.name = _text(name, f"the name of a {self._what}")
        self.type = _text(type, f"the type of a {self._what}")
        self.id = new_id() if id is None else check_id(id, self._what)
        self.parent_id = None if parent_id is None else check_id(parent_id, "parent")
        self.metadata = dict(metadata or {})
        self.tags = list(tags or ())
        self.elements = checked_elements(elements or (), self._what)
        self.language = language
        self.status: StepStatus = "running"
        self.error: ErrorInfo | None = None
        self.started_at: str | None = None
        self.ended_at: str | None = None
        self._scope: Scope | None = None
        self._begun: StepDocument
        self._texts: dict[TextField, list[str]] = {"input": [], "output": []}
        self._length: dict[TextField, int] = {"input": 0, "output": 0}
        self._cut: set[TextField] = set()

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
        scope = self._add(token, field, replace=replace)
        if scope is not None:
            await scope.producer.room()

    def _add(self, token: str, field: TextField, *, replace: bool) -> Scope | None:
        if not token:
            return None
        if not isinstance(token, str):
            raise InvalidArgument(
                f"stream_token takes text, not {type(token).__name__}: pass the text in it"
            )
        scope = self._started()
        limit = scope.producer.max_text_chars
        if replace:
            self._put(field, "")
        if field in self._cut:
            return scope
        before = self._length[field]
        self._length[field] += len(token)
        if self._length[field] > limit:
            self._cut.add(field)
            self._texts[field] = [self._get(field)[:limit]]
            token = token[: max(0, limit - before)] + _cut_off(limit)
        self._texts[field].append(token)
        scope.producer.delta(self.id, token, field=field, replace=replace)
        return scope

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

    # -- life -----------------------------------------------------------------------------------

    def _default_parent(self, frame: Frame) -> str | None:
        return frame.parent_id

    def _started(self, frame: Frame | None = None) -> Scope:
        """Send it if it has not been sent, by default from where the code is that runs now; the
        session it belongs to."""
        if self._scope is None:
            frame = frame or current_frame(f"{self._what} {self.name!r}")
            if self.parent_id is None:
                self.parent_id = self._default_parent(frame)
            started_at = now()
            scope = frame.scope
            document = self._document(scope, started_at, started_at)
            start = step_event("step.start", document)
            with scope.producer.lock:
                scope.producer.publish(start, *self._announcements())
                self._scope = scope
                self._begun = document
                self.started_at = started_at
                scope.open[self.id] = self
        return self._scope

    def _end(self, status: EndStatus, error: ErrorInfo | None = None) -> None:
        """Send its end, once."""
        scope = self._started()
        with scope.producer.lock:
            if self.ended_at is not None:
                return
            self.status = status
            self.error = error
            self.ended_at = now()
            scope.open.pop(self.id, None)
            try:
                end = step_event("step.end", self._current(self.ended_at))
                events = [*self._announcements(), end]
            except Exception:
                # User code has put something into it that cannot be shown: it ends without that.
                scope.producer.publish(step_event("step.end", self._bare(scope, self.ended_at)))
                raise
            scope.producer.publish(*events)

    def _bare(self, scope: Scope, ts: str) -> StepDocument:
        """As it began, with the text that is shown by now."""
        limit = scope.producer.max_text_chars
        update = {
            "status": self.status,
            "error": self.error,
            "input": self._shown("input", limit),
            "output": self._shown("output", limit),
            "ended_at": ts,
            "ts": ts,
        }
        return self._begun.model_copy(update=update)

    def _update(self) -> None:
        if self._scope is None:
            self._started()
            return
        with self._scope.producer.lock:
            self._scope.producer.publish(
                *self._announcements(), step_event("step.update", self._current(now()))
            )

    def _remove(self) -> None:
        if self._scope is None:
            return
        with self._scope.producer.lock:
            self._scope.open.pop(self.id, None)
            self._scope.producer.publish(remove_event(self.id))

    async def _remove_with_objects(self) -> None:
        """Remove it, and what Redis does not drop by itself: bytes in object storage."""
        scope = self._scope
        if scope is None or not (store := content_store(scope.producer)).has_objects:
            self._remove()
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
        # One that was sent with another step is sent with this one, too.
        self.elements = [
            element if element.for_id in (None, self.id) else element._again()
            for element in checked_elements(self.elements, self._what)
        ]
        return [element for element in self.elements if element._state == "new"]

    def _store(self, elements: Sequence[Element]) -> None:
        scope = self._scope or current_frame(f"{self._what} {self.name!r}").scope
        for element in elements:
            element._store(scope, self.id)

    def _announcements(self) -> list[NewEvent]:
        return [event for element in self.elements for event in element._announcement()]

    def _current(self, ts: str) -> StepDocument:
        scope = self._started()
        return self._document(scope, self.started_at or ts, ts)

    def _document(self, scope: Scope, started_at: str, ts: str) -> StepDocument:
        return StepDocument(
            id=self.id,
            session_id=scope.session_id,
            run_id=scope.run_id or None,
            attempt=scope.attempt,
            parent_id=self.parent_id,
            name=cut(self.name),
            type=cut(self.type),
            status=self.status,
            input=self._shown("input", scope.producer.max_text_chars),
            output=self._shown("output", scope.producer.max_text_chars),
            language=self.language and cut(self.language),
            tags=labels(self.tags),
            metadata=bounded(self.metadata, scope.producer.max_metadata_chars),
            elements=[element.id for element in self.elements if element._is_with(self.id)],
            started_at=started_at,
            ended_at=self.ended_at,
            error=self.error,
            ts=ts,
        )


def checked_elements(elements: Sequence[Element], what: str) -> list[Element]:
    """``elements``, when they are some."""
    for element in elements:
        if not isinstance(element, Element):
            raise InvalidArgument(
                f"the elements of a {what} are cl.Image, cl.File and so on, "
                f"not {type(element).__name__}"
            )
    return list(elements)


def _cut_off(limit: int) -> str:
    """What stands where a text was cut off."""
    return f"\n… [cut off after {limit} characters]"


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} must be a string, not {type(value).__name__}")
    return value
