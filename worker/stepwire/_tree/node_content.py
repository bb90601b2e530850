"""The content of a step or message: checked attributes, texts, elements, and the document."""

from __future__ import annotations

import math
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from stepwire._elements.attachments import announcements, checked_elements, ids_shown_with
from stepwire._scope.context import Place, own_frame
from stepwire._tree.growing_text import GrowingText
from stepwire._values.attributes import (
    Checked,
    id_of_parent,
    mapping,
    own_id,
    step_status,
    text,
    text_or_none,
    unsendable,
    words,
)
from stepwire._values.rendering import as_text, bounded, cut, labels
from stepwire_core.values.ids import new_id
from stepwire_core.wire.words import TextField

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stepwire._elements.element_base import Element
    from stepwire._scope.context import Scope
    from stepwire_core.wire.documents import ErrorInfo
    from stepwire_core.wire.events import NewEvent
    from stepwire_core.wire.words import EndStatus


class Content(Place):
    """The content of a node.

    What is assigned to its attributes is checked there, with InvalidArgument for what cannot be
    sent; what is put into its metadata, tags and elements later is shown as far as it can be.
    """

    _what: ClassVar[str]

    id: Checked[str, str | UUID] = Checked(own_id, fixed_once_sent=True)
    parent_id: Checked[str | None, str | UUID | None] = Checked(
        id_of_parent, NoneType, default=None
    )
    name: Checked[str, str] = Checked(text, str)
    type: Checked[str, str] = Checked(text, str)
    metadata: Checked[dict[str, Any], Mapping[str, Any] | None] = Checked(mapping, dict)
    tags: Checked[list[str], Sequence[str] | None] = Checked(words)
    status: Checked[str, str] = Checked(step_status, default="running")
    language: Checked[str | None, str | None] = Checked(text_or_none, str, NoneType, default=None)
    elements: Checked[list[Element], Sequence[Element] | None] = Checked(checked_elements)

    _checked_status: str

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
        if type.__class__ is name.__class__ is str:
            self._checked_type, self._checked_name = type, name
        else:
            self.type, self.name = type, name
        if id is None:
            self._checked_id = new_id()
        else:
            self.id = id
        if parent_id is not None:
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
        if language is not None:
            self.language = language
        self.error: ErrorInfo | None = None
        self.started_at: str | None = None
        self.ended_at: str | None = None
        # The same, out of reach: a handler may assign anything to what it can see.
        self._began_at: str | None = None
        self._over_at: str | None = None
        self._scope: Scope | None = None
        self._attached: dict[str, Element] = {}
        self._texts: dict[TextField, GrowingText] = {
            "input": GrowingText(),
            "output": GrowingText(),
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, id {self.id!r}>"

    def __str__(self) -> str:
        """What stands for it in another step, as where it is an argument."""
        return self.name

    @property
    def _is_sent(self) -> bool:
        return self._scope is not None

    @property
    def session_id(self) -> str | None:
        """The session that it was sent to, or None."""
        return None if self._scope is None else self._scope.session_id

    # -- text -----------------------------------------------------------------------------------

    def _get(self, field: TextField) -> str:
        return self._texts[field].get()

    def _set(self, field: TextField, value: object) -> str | None:
        text, language = as_text(value, self._text_limit())
        self._texts[field].set(text)
        return language

    def _text_limit(self) -> float:
        """Where the text of a structure need not be written any further."""
        scope = self._scope
        if scope is None:
            frame = own_frame()
            if frame is None:
                return math.inf
            scope = frame.scope
        return scope.producer.max_text_chars

    # -- what is sent of it ---------------------------------------------------------------------

    def _announcements(self) -> list[NewEvent]:
        return announcements(self.elements) if self.elements else []

    def _certain_fields(self, scope: Scope) -> dict[str, Any]:
        """The fields that no handler can have set to something else; all others say nothing.

        They stand in the order of :class:`StepDocument`, up to the last one, ``ts``.
        """
        producer = scope.producer
        limit = producer.max_text_chars
        texts = self._texts
        return {
            "id": self.id,
            "session_id": producer.session_id,
            "run_id": producer.run_id or None,
            "attempt": producer.attempt,
            "parent_id": self.parent_id,
            "name": cut(self.name),
            "type": cut(self.type),
            "status": "running",
            "input": texts["input"].shown(limit),
            "output": texts["output"].shown(limit),
            "language": None,
            "show_input": False,
            "disable_feedback": True,
            "default_open": False,
            "auto_collapse": False,
            "icon": None,
            "tags": [],
            "metadata": {},
            "elements": [],
            "started_at": None,
            "ended_at": None,
            "error": None,
        }

    def _facts(self) -> dict[str, Any]:
        """Its metadata as it is shown."""
        return self.metadata

    def _fields(self, scope: Scope, started_at: str) -> dict[str, Any]:
        """The fields of its document but ``ts``, in their order; ``from_attempt``, ``usage`` and
        ``progress`` only where they say something."""
        fields = self._certain_fields(scope)
        fields["status"] = self.status
        fields["started_at"] = started_at
        if self.language is not None:
            fields["language"] = cut(self.language)
        if self.tags:
            fields["tags"] = labels(self.tags)
        if facts := self._facts():
            fields["metadata"] = bounded(facts, scope.producer.max_metadata_chars)
        if self.elements:
            fields["elements"] = ids_shown_with(self.elements, self.id)
        if self.ended_at is not None:
            fields["ended_at"] = self.ended_at
        if self.error is not None:
            fields["error"] = self.error
        return fields

    def _document(self, scope: Scope, started_at: str, ts: str) -> str:
        """Its document as JSON.

        Raises:
            InvalidArgument: an attribute that only we set has a value that cannot be sent.
        """
        return self._written(self._fields(scope, started_at), ts)

    def _last_document(
        self, scope: Scope, ended_at: str, status: EndStatus, error: ErrorInfo | None
    ) -> str:
        """The document of its end. Raises: as :meth:`_document`."""
        fields = self._fields(scope, self.started_at or ended_at)
        return self._written(_ended(fields, ended_at, status, error), ended_at)

    def _bare_document(
        self, scope: Scope, ended_at: str, status: EndStatus, error: ErrorInfo | None
    ) -> str:
        """What can be shown of its end whatever a handler has put into it."""
        fields = self._certain_fields(scope)
        fields["started_at"] = self._began_at or ended_at
        return self._written(_ended(fields, ended_at, status, error), ended_at)

    def _written(self, fields: dict[str, Any], ts: str) -> str:
        fields["ts"] = ts
        ended_at = fields["ended_at"]
        # There are two for each step. What its checked attributes hold needs no model: that takes
        # ten times as long, and comes to the same text.
        if (
            fields["error"] is None
            and isinstance(fields["started_at"], str)
            and (ended_at is None or isinstance(ended_at, str))
        ):
            try:
                return _written_json()(fields).decode()
            except ValueError:
                # It has half of a surrogate pair in it.
                pass
        return self._validated(fields)

    def _validated(self, fields: dict[str, Any]) -> str:
        """The same by the model: for an error, a lone half of a surrogate pair, and what a handler
        has assigned where only we do."""
        from pydantic import ValidationError

        from stepwire_core.wire.documents import StepDocument

        try:
            return StepDocument.model_validate(fields).to_json()
        except ValidationError as error:
            raise unsendable(self._what, self.name, error) from error


def _ended(
    fields: dict[str, Any], ended_at: str, status: EndStatus, error: ErrorInfo | None
) -> dict[str, Any]:
    fields["status"], fields["ended_at"] = status, ended_at
    if error is not None:
        fields["error"] = error
    return fields


@cache
def _written_json() -> Callable[[object], bytes]:
    """Writes JSON as models do; `import stepwire` does not load it."""
    from pydantic_core import to_json

    return to_json
