"""What stands with the steps of a session: the documents of one kind, and those of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stepwire_core.wire.kinds import KINDS, RUN, STEP

if TYPE_CHECKING:
    from pydantic import BaseModel

    from stepwire_core.wire.kinds import Kind

ATTACHED_KINDS: Final = tuple(kind for kind in KINDS if kind not in (RUN, STEP))
"""The kinds whose documents belong to steps."""


class Attached:
    """The documents of one kind, in the order of a snapshot: that of the first of each id."""

    def __init__(self, kind: Kind) -> None:
        self.documents: dict[str, BaseModel] = {}
        self._kind = kind
        self._of_step: dict[str | None, dict[str, BaseModel]] = {}
        self._ordinals: dict[str, int] = {}
        self._ordinal = 0

    def of(self, step_id: str | None) -> dict[str, BaseModel]:
        """Those of a step, now and later; None: those that stand with no step yet."""
        return self._of_step.setdefault(step_id, {})

    def put(self, document: BaseModel) -> list[str | None]:
        """Take a document, or let go of the one of its id if it says so; the steps that it has come
        to or gone from."""
        id_ = self._value(document, self._kind.id_field)
        step_id = self._step_of(document)
        removing = self._kind.removing_field
        if id_ is None or (removing and self._value(document, removing) is None):
            return self.remove(id_)
        changed: list[str | None] = []
        before = self.documents.get(id_)
        if before is None:
            self._ordinal += 1
            self._ordinals[id_] = self._ordinal
        elif self._step_of(before) != step_id:
            changed = self._leave(before, id_)
        self.documents[id_] = document
        of_step = self.of(step_id)
        is_last = not of_step or self._ordinals[next(reversed(of_step))] <= self._ordinals[id_]
        of_step[id_] = document
        if not is_last:
            in_order = sorted(of_step.items(), key=lambda item: self._ordinals[item[0]])
            of_step.clear()
            of_step.update(in_order)
        return [*changed, step_id]

    def remove(self, id_: str | None) -> list[str | None]:
        """Let go of a document; the step that it has gone from."""
        before = self.documents.pop(id_ or "", None)
        if before is None or id_ is None:
            return []
        del self._ordinals[id_]
        return self._leave(before, id_)

    def remove_step(self, step_id: str) -> None:
        """Let go of all that belongs to a step."""
        for id_ in self._of_step.pop(step_id, {}):
            del self.documents[id_], self._ordinals[id_]

    def clear(self) -> None:
        self.documents.clear()
        self._of_step.clear()
        self._ordinals.clear()

    def _leave(self, document: BaseModel, id_: str) -> list[str | None]:
        step_id = self._step_of(document)
        del self.of(step_id)[id_]
        return [step_id]

    def _step_of(self, document: BaseModel) -> str | None:
        return self._value(document, self._kind.parent_field or "")

    @staticmethod
    def _value(document: BaseModel, field: str) -> str | None:
        value: str | None = getattr(document, field)
        return value
