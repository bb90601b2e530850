"""Events: as a producer writes them, and as the log returns them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

from stepwire_core.cursor import Cursor
from stepwire_core.documents import (
    AskDocument,
    ElementDocument,
    FeedbackDocument,
    RunDocument,
    StepDocument,
    TextField,
)
from stepwire_core.keys import ANSWERS

Op = Literal["S", "N", "D", "R", "X", "G", "T", "U", "A", "B", "Q", "E", "V"]
"""How the log folds an event into the state; the letters are those of ``append.lua``."""

NO_PARENT: Final = "-"

EVENT_TYPES: Final = (
    "run.start",
    "step.start",
    "step.delta",
    "step.update",
    "step.end",
    "step.remove",
    "element.add",
    "element.remove",
    "ask",
    "ask.end",
    "feedback",
    "run.end",
    "snapshot",
)
"""Everything that a stream may carry, as docs/protocol.md lists it."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event on its way into the log.

    ``payload`` is JSON, except for a delta: there it is text escaped as inside a JSON string.
    Escaped pieces concatenate to an escaped whole, so the log can both store the event and extend
    the text without parsing anything.
    """

    op: Op
    type: str
    id: str
    parent: str
    payload: str


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the log has stored; ``data`` is one line of JSON."""

    cursor: Cursor
    type: str
    run_id: str
    data: str


ALWAYS_TAKEN: Final = frozenset(
    {"run.start", "step.end", "step.remove", "element.remove", "ask.end"}
)
"""What a full session takes all the same: runs show that they were there, and things end or go."""

RUN_END: Final = "run.end"


def step_event(
    type_: Literal["step.start", "step.update", "step.end"], step: StepDocument
) -> NewEvent:
    return NewEvent("S", type_, step.id, step.parent_id or NO_PARENT, step.to_json())


def new_step_event(step: StepDocument) -> NewEvent:
    """The start of a step whose id a client has chosen: it must not replace another."""
    return NewEvent("N", "step.start", step.id, step.parent_id or NO_PARENT, step.to_json())


def delta_event(
    step_id: str, text: str, *, field: TextField = "output", replace: bool = False
) -> NewEvent:
    return NewEvent("R" if replace else "D", "step.delta", step_id, field, escape(text))


def remove_event(step_id: str) -> NewEvent:
    return NewEvent("X", "step.remove", step_id, NO_PARENT, f'{{"id":"{step_id}"}}')


def element_event(element: ElementDocument) -> NewEvent:
    """Its bytes must be in place already: who reads this asks for them at once."""
    parent = element.step_id or NO_PARENT
    return NewEvent("A", "element.add", f"e:{element.id}", parent, element.to_json())


def element_remove_event(element_id: str) -> NewEvent:
    payload = f'{{"id":"{element_id}"}}'
    return NewEvent("B", "element.remove", f"e:{element_id}", NO_PARENT, payload)


def feedback_event(feedback: FeedbackDocument) -> NewEvent:
    step_id = feedback.step_id
    op: Op = "B" if feedback.value is None else "A"
    return NewEvent(op, "feedback", f"f:{step_id}", step_id, feedback.to_json())


def ask_event(ask: AskDocument) -> NewEvent:
    return NewEvent("Q", "ask", f"a:{ask.id}", ask.step_id, ask.to_json())


def ask_end_event(ask: AskDocument) -> NewEvent:
    """Counts only while the ask is open: it ends once."""
    return NewEvent("E", "ask.end", f"a:{ask.id}", ask.step_id, ask.to_json())


def run_start_event(run: RunDocument) -> NewEvent:
    return NewEvent("G", "run.start", run.run_id, NO_PARENT, run.to_json())


def run_end_event(run: RunDocument) -> NewEvent:
    """The end of an attempt; without ``will_retry`` the log takes no more of the run."""
    return NewEvent("G" if run.will_retry else "T", RUN_END, run.run_id, NO_PARENT, run.to_json())


def user_value_event(name: str, value: str) -> NewEvent:
    """Keep a value of the user session, as JSON; it reaches no client. Empty: forget it."""
    return NewEvent("U", "", name, NO_PARENT, value)


def result_event(run_id: str, result: str) -> NewEvent:
    """Keep what a run has come to, as JSON, for whoever awaits it; it reaches no client."""
    return NewEvent("V", "", run_id, ANSWERS, result)


def escape(text: str) -> str:
    """``text`` as it stands between the quotes of a JSON string, in characters that UTF-8 can
    carry.

    Half of a surrogate pair, as a tokenizer may cut it, is written as ``\\udXXX``: the other half
    follows in a later piece, and both together are one character to any JSON parser.
    """
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    try:
        escaped.encode()
    except UnicodeEncodeError:
        return json.dumps(text)[1:-1]
    return escaped
