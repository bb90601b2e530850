"""The vocabulary: the kinds of documents that a session has, and the events that tell of them.

These two tables are the one place that says so. The readers of the state, the snapshots, the
terminal, the page, the OpenAPI document and ``vocabulary.json`` are made from them; what must be
written by hand (the models, a view in the terminal and on the page, the protocol's table) is
compared with them by tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

Effect = Literal["put", "text", "remove", "replace"]
"""What an event does to what a client has: it puts a whole document, continues a text of one,
removes one (a step with all that is below it), or replaces everything."""


@cache
def _model(name: str) -> type[BaseModel]:
    # When it is asked for: code that emits knows the kinds, and `import stepwire` loads no models.
    from stepwire_core.wire import documents

    model: type[BaseModel] = getattr(documents, name)
    return model


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of document, as the state, a snapshot and every event of it have it."""

    name: str
    prefix: str
    """Stands before the id in the name of its field of the state: a letter and a colon."""
    model_name: str
    """The name of its model in :mod:`stepwire_core.wire.documents`."""
    list_name: str
    """Where a snapshot has the documents of this kind."""
    id_field: str
    """The field of the document that names it; a later document of that name replaces it."""
    parent_field: str | None
    """The field that names the step that it belongs to, and with which it is removed; None: it
    stays for as long as the session."""
    removing_field: str | None = None
    """A document with null in this field removes the earlier document of its id."""

    def __reduce__(self) -> str:
        # Kinds are compared by identity: a copy, also one from a pickle, is the constant itself.
        return self.name.upper()

    @property
    def model(self) -> type[BaseModel]:
        return _model(self.model_name)

    @property
    def owner_field(self) -> str:
        """The field that tells which run it belongs to; without a run in it, that of its step."""
        return "run_id" if "run_id" in self.model.model_fields else self.parent_field or ""


RUN: Final = Kind("run", "r:", "RunDocument", "runs", "run_id", None)
STEP: Final = Kind("step", "s:", "StepDocument", "steps", "id", "parent_id")
ELEMENT: Final = Kind("element", "e:", "ElementDocument", "elements", "id", "step_id")
ASK: Final = Kind("ask", "a:", "AskDocument", "asks", "id", "step_id")
FEEDBACK: Final = Kind(
    "feedback", "f:", "FeedbackDocument", "feedback", "step_id", "step_id", removing_field="value"
)
ACTION: Final = Kind("action", "b:", "StepActionDocument", "actions", "id", "step_id")

KINDS: Final = (RUN, STEP, ELEMENT, ASK, FEEDBACK, ACTION)
"""All kinds, in the order in which a snapshot has them."""


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of event: the document it is about, and what it does to it."""

    name: str
    kind: Kind | None
    """None: it is about the whole session."""
    effect: Effect
    about: str
    """What it tells a client, in one line."""
    always_taken: bool = False
    """Whether a full session still takes it: the start of a run, and every end and removal."""

    @property
    def data(self) -> type[BaseModel]:
        """The model of its data."""
        match self.effect:
            case "put" if self.kind is not None:
                return self.kind.model
            case "text":
                return _model("TextDelta")
            case "remove":
                return _model("Removal")
            case _:
                return _model("Snapshot")


SNAPSHOT: Final = "snapshot"
TEXT_DELTA: Final = "step.delta"
STEP_END: Final = "step.end"
RUN_END: Final = "run.end"

EVENTS: Final[Mapping[str, EventType]] = {
    event.name: event
    for event in (
        EventType("run.start", RUN, "put", "A run, or another attempt of it, begins.", True),
        EventType("run.update", RUN, "put", "The steps of a run have used more."),
        EventType("step.start", STEP, "put", "A step begins."),
        EventType(TEXT_DELTA, STEP, "text", "A piece of text streams into a step."),
        EventType("step.update", STEP, "put", "Something of a step has changed."),
        EventType(STEP_END, STEP, "put", "A step has its final status.", True),
        EventType("step.remove", STEP, "remove", "A step is gone with all below it.", True),
        EventType("element.add", ELEMENT, "put", "An element is there, or has got its step."),
        EventType("element.remove", ELEMENT, "remove", "An element is gone.", True),
        EventType("ask", ASK, "put", "A handler waits for the person."),
        EventType("ask.end", ASK, "put", "An ask has its final status.", True),
        EventType("feedback", FEEDBACK, "put", "A step is rated; with null, not any more."),
        EventType("action.add", ACTION, "put", "A step has a button, or another in its place."),
        EventType("action.remove", ACTION, "remove", "A button is gone.", True),
        EventType(RUN_END, RUN, "put", "An attempt of a run has ended."),
        EventType(SNAPSHOT, None, "replace", "Everything, at one cursor; it is never stored."),
    )
}
"""Everything that a stream may carry, in the order of docs/protocol.md."""

EVENT_TYPES: Final = tuple(EVENTS)
