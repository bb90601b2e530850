"""Events: as a producer writes them, and as the log returns them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from stepwire_core.redis.keys import ANSWER
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import ACTION, ELEMENT, EVENTS, RUN_END, TEXT_DELTA, Kind

if TYPE_CHECKING:
    from pydantic import BaseModel

    from stepwire_core.wire.documents import (
        AskDocument,
        ElementDocument,
        FeedbackDocument,
        RunDocument,
        StepActionDocument,
        StepDocument,
    )
    from stepwire_core.wire.words import TextField

Op = Literal[
    "start_step",
    "new_step",
    "update_step",
    "end_step",
    "remove_step",
    "append_text",
    "replace_text",
    "put_run",
    "end_run",
    "put",
    "remove",
    "open_ask",
    "end_ask",
    "keep_result",
    "keep_value",
    "describe",
    "keep_step",
]
"""How the log folds an event into the state: the names in ``lua/append/operations.lua``."""

NO_PARENT: Final = "-"

_ONCE: Final = "once"

LISTED: Final = frozenset({"put_run", "end_run", "describe"})
"""Events after which a session stands at the top of the list of sessions."""

StepChange = Literal["step.start", "step.update", "step.end"]

_STEP_OPS: Final[Mapping[StepChange, Op]] = {
    "step.start": "start_step",
    "step.update": "update_step",
    "step.end": "end_step",
}


class NewEvent(NamedTuple):
    """An event on its way into the log; in the order of a row of ``append.lua``.

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


ALWAYS_TAKEN: Final = frozenset(event.name for event in EVENTS.values() if event.always_taken)
"""The event types that a full session still takes."""


def step_event(type_: StepChange, step: StepDocument) -> NewEvent:
    return written_step_event(type_, step.id, step.parent_id, step.to_json())


def written_step_event(
    type_: StepChange, step_id: str, parent_id: str | None, document: str
) -> NewEvent:
    """The same for a document that is JSON already."""
    return NewEvent(_STEP_OPS[type_], type_, step_id, parent_id or NO_PARENT, document)


def new_step_event(step: StepDocument) -> NewEvent:
    """The start of a step whose id a client has chosen: it must not replace another."""
    return NewEvent("new_step", "step.start", step.id, step.parent_id or NO_PARENT, step.to_json())


def delta_event(
    step_id: str, text: str, *, field: TextField = "output", replace: bool = False
) -> NewEvent:
    op: Op = "replace_text" if replace else "append_text"
    return NewEvent(op, TEXT_DELTA, step_id, field, escape(text))


def remove_event(step_id: str) -> NewEvent:
    return NewEvent("remove_step", "step.remove", step_id, NO_PARENT, f'{{"id":"{step_id}"}}')


def put_event(
    type_: str, document: BaseModel, op: Literal["put", "open_ask", "end_ask"] = "put"
) -> NewEvent:
    """Put a document that belongs to a step, or take it away if it says so itself.

    It does not count if its step has been removed.
    """
    kind = EVENTS[type_].kind
    if kind is None or kind.parent_field is None:
        raise ValueError(f"{type_} is not about something that belongs to a step")
    is_removed = kind.removing_field and getattr(document, kind.removing_field) is None
    return NewEvent(
        "remove" if is_removed else op,
        type_,
        f"{kind.prefix}{getattr(document, kind.id_field)}",
        getattr(document, kind.parent_field) or NO_PARENT,
        document.model_dump_json(),
    )


def element_event(element: ElementDocument) -> NewEvent:
    """Its bytes must be in place already: who reads this asks for them at once."""
    return put_event("element.add", element)


def element_remove_event(element_id: str) -> NewEvent:
    return _removal(ELEMENT, element_id)


def action_event(action: StepActionDocument) -> NewEvent:
    return put_event("action.add", action)


def action_remove_event(action_id: str) -> NewEvent:
    return _removal(ACTION, action_id)


def _removal(kind: Kind, id_: str) -> NewEvent:
    field = f"{kind.prefix}{id_}"
    return NewEvent("remove", f"{kind.name}.remove", field, NO_PARENT, f'{{"id":"{id_}"}}')


def feedback_event(feedback: FeedbackDocument) -> NewEvent:
    return put_event("feedback", feedback)


def ask_event(ask: AskDocument) -> NewEvent:
    return put_event("ask", ask, "open_ask")


def ask_end_event(ask: AskDocument) -> NewEvent:
    """Counts only while the ask is open: it ends once."""
    return put_event("ask.end", ask, "end_ask")


def run_start_event(run: RunDocument) -> NewEvent:
    return NewEvent("put_run", "run.start", run.run_id, run.status, run.to_json())


def run_update_event(run: RunDocument) -> NewEvent:
    """Something of a run that goes on has changed."""
    return NewEvent("put_run", "run.update", run.run_id, run.status, run.to_json())


def run_end_event(run: RunDocument) -> NewEvent:
    """The end of an attempt; without ``will_retry`` the log takes no more of the run."""
    op: Op = "put_run" if run.will_retry else "end_run"
    return NewEvent(op, RUN_END, run.run_id, run.status, run.to_json())


def user_value_event(name: str, value: str) -> NewEvent:
    """Keep a value of the user session, as JSON; it reaches no client. Empty: forget it."""
    return NewEvent("keep_value", "", name, NO_PARENT, value)


def title_event(title: str, *, once: bool = False) -> NewEvent:
    """Give the session a title (see :func:`as_title`); ``once``: unless it has one. Lists of
    sessions show it; it reaches no stream of the session."""
    return NewEvent("describe", "", "title", _ONCE if once else NO_PARENT, title)


def subject_event(subject: str) -> NewEvent:
    """Note whose session it is, unless that is known."""
    return NewEvent("describe", "", "subject", _ONCE, subject)


def step_result_event(name: str, result: str) -> NewEvent:
    """Keep the result of a durable step of the producer's run, as JSON, for a later attempt of that
    run; it reaches no client."""
    return NewEvent("keep_step", "", name, NO_PARENT, result)


def result_event(run_id: str, result: str) -> NewEvent:
    """Keep the result of a run, as JSON, for the caller that awaits it; no client sees it."""
    return NewEvent("keep_result", "", run_id, ANSWER, result)


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
