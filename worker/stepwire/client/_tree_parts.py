"""The parts of a tree: its steps and runs, and where each is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast, get_args

from stepwire_core.values.text import whole
from stepwire_core.wire.documents import (
    AskDocument,
    ElementDocument,
    FeedbackDocument,
    RunDocument,
    StepActionDocument,
    StepDocument,
)
from stepwire_core.wire.kinds import ACTION, ASK, ELEMENT, FEEDBACK, Kind
from stepwire_core.wire.words import ASSISTANT_MESSAGE, USER_MESSAGE, StepStatus, TextField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel


@dataclass(slots=True, eq=False)
class StepNode:
    """A step, the text that has streamed into it, and what else stands with it."""

    document: StepDocument
    """As the last event about it had it: use :meth:`text` for what streams."""
    ordinal: int
    """Rises in the order of arrival; siblings stand in it."""
    attached: Mapping[Kind, dict[str, BaseModel]]
    """What else stands with it, by its kind and id, in the order of a snapshot."""
    _texts: dict[TextField, list[str]] = field(default_factory=dict)

    @property
    def elements(self) -> dict[str, ElementDocument]:
        return cast("dict[str, ElementDocument]", self.attached[ELEMENT])

    @property
    def asks(self) -> dict[str, AskDocument]:
        return cast("dict[str, AskDocument]", self.attached[ASK])

    @property
    def feedback(self) -> FeedbackDocument | None:
        return cast("FeedbackDocument | None", self.attached[FEEDBACK].get(self.document.id))

    @property
    def actions(self) -> dict[str, StepActionDocument]:
        return cast("dict[str, StepActionDocument]", self.attached[ACTION])

    @property
    def is_message(self) -> bool:
        return self.document.type in (USER_MESSAGE, ASSISTANT_MESSAGE)

    def put(self, document: StepDocument) -> None:
        """Take the whole step in place of all that was known of it."""
        self.document = document
        self._texts.clear()

    def append(self, name: TextField, text: str, *, replace: bool) -> None:
        # Joined when the text is read: otherwise every token would copy a long text.
        if replace:
            self._texts[name] = [text]
        else:
            self._texts.setdefault(name, [getattr(self.document, name)]).append(text)

    def whole(self) -> StepDocument:
        """The document with the text that has streamed into it."""
        texts: dict[str, str] = {name: whole(self.text(name)) for name in self._texts}
        return self.document.model_copy(update=texts) if texts else self.document

    def text(self, name: TextField) -> str:
        """The ``output`` or ``input`` as it stands now."""
        parts = self._texts.get(name)
        if parts is None:
            return cast("str", getattr(self.document, name))
        if len(parts) > 1:
            parts[:] = ["".join(parts)]
        return parts[0]


@dataclass(slots=True, eq=False)
class RunNode:
    """A run, in its latest attempt."""

    document: RunDocument
    ordinal: int

    @property
    def is_open(self) -> bool:
        """Whether events of it are still to come, of this attempt or the next."""
        run = self.document
        if run.status in get_args(StepStatus):
            return run.status == "running" or run.will_retry
        # A newer version's word.
        return run.ended_at is None or run.will_retry


Node: TypeAlias = StepNode | RunNode


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A node where it is shown."""

    node: Node
    parent: Row | None
    is_last: bool
    """Whether it is the last of its siblings."""
    has_children: bool


def laid_out(children: Mapping[str | None, Sequence[Node]]) -> Sequence[Row]:
    """The rows from top to bottom, without recursion: nothing bounds the depth of a tree."""
    rows: list[Row] = []
    stack: list[tuple[Row | None, Node, bool]] = [
        (None, node, at == 0) for at, node in enumerate(reversed(children.get(None, [])))
    ]
    while stack:
        parent, node, is_last = stack.pop()
        below = children.get(node.document.id, []) if isinstance(node, StepNode) else []
        row = Row(node, parent, is_last, bool(below))
        rows.append(row)
        stack += [(row, child, at == 0) for at, child in enumerate(reversed(below))]
    return rows
