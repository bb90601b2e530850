"""The form of a session's settings: an element whose ``props`` are its inputs and their values.

Both who sends a form and who takes a person's values go by the same rules, which are here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.errors import InvalidSettings
from stepwire_core.values.clock import now
from stepwire_core.values.ids import derived_id
from stepwire_core.wire.events import NewEvent, element_event, user_value_event
from stepwire_core.wire.words import CHAT_SETTINGS

if TYPE_CHECKING:
    from stepwire_core.wire.documents import ElementDocument

SETTINGS: Final = "settings"
"""The type of the element."""

Input = Mapping[str, Any]
"""An input of a form, as clients get it: ``id``, ``type``, ``label``, ``initial``, and what else
its type has."""


def own_element(
    session_id: str, type_: str, name: str, props: dict[str, Any], *, run_id: str | None = None
) -> ElementDocument:
    """An element of which a session has one of that type, and which stands with no step."""
    # Here: an input of a form is made by code that has no session yet.
    from stepwire_core.wire.documents import ElementDocument

    id_ = own_element_id(session_id, type_)
    return ElementDocument(
        id=id_,
        session_id=session_id,
        run_id=run_id,
        step_id=None,
        type=type_,
        name=name,
        mime="application/json",
        display="side",
        size=None,
        sha256=None,
        url=f"/v1/sessions/{session_id}/elements/{id_}",
        props=props,
        ts=now(),
    )


def own_element_id(session_id: str, type_: str) -> str:
    """The id of that element, which is the same for every sender."""
    return derived_id(session_id, type_)


def settings_form(
    session_id: str,
    inputs: Sequence[Input],
    values: Mapping[str, Any],
    *,
    run_id: str | None = None,
) -> ElementDocument:
    """The form of a session. ``inputs`` may have tabs, each with ``inputs`` of its own."""
    props = {"inputs": list(inputs), "values": dict(values)}
    return own_element(session_id, SETTINGS, CHAT_SETTINGS, props, run_id=run_id)


def inputs_of(form: Mapping[str, Any]) -> dict[str, Input]:
    """The inputs of a form by their ids, whatever tab they stand in."""
    return {str(item.get("id")): item for item in _flat(form.get("inputs"))}


def values_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each input of a form."""
    values = form.get("values")
    known = values if isinstance(values, dict) else {}
    return {id_: known.get(id_, item.get("initial")) for id_, item in inputs_of(form).items()}


def with_values(form: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a form after a person has given some.

    Raises:
        InvalidSettings: one does not fit; the error has all of them.
    """
    inputs, before = inputs_of(form), values_of(form)
    flaws = {id_: _flaw_of(inputs, before, id_, value) for id_, value in given.items()}
    if wrong := {id_: flaw for id_, flaw in flaws.items() if flaw is not None}:
        raise InvalidSettings(wrong)
    return before | dict(given)


def changed_events(form: ElementDocument, values: Mapping[str, Any]) -> list[NewEvent]:
    """What gives a form other values: handlers read them, and clients get the form."""
    props = form.props | {"values": dict(values)}
    return [
        user_value_event(CHAT_SETTINGS, json.dumps(values, ensure_ascii=False)),
        element_event(form.model_copy(update={"props": props, "ts": now()})),
    ]


def flaw(item: Input, value: object) -> str | None:
    """Why an input cannot have this value, or None."""
    check = _CHECKS.get(str(item.get("type")))
    if check is None:
        return f"this version does not know inputs of type {item.get('type')!r}: use a newer one"
    return check(item, value)


def _flaw_of(
    inputs: Mapping[str, Input], before: Mapping[str, Any], id_: str, value: object
) -> str | None:
    item = inputs.get(id_)
    if item is None:
        return f"the form has no such input; it has {', '.join(inputs) or 'none'}"
    if item.get("disabled") and value != before[id_]:
        return "it is disabled"
    return flaw(item, value)


def _flat(inputs: object) -> Iterator[Input]:
    for item in inputs if isinstance(inputs, list) else ():
        if isinstance(item, dict):
            # A tab has no type, and inputs instead.
            yield from _flat(item["inputs"]) if "inputs" in item else (item,)


# -- the types of inputs --------------------------------------------------------------------------


def _switch(_item: Input, value: object) -> str | None:
    return None if isinstance(value, bool) else f"takes true or false, not {_shown(value)}"


def _slider(item: Input, value: object) -> str | None:
    least, most = item.get("min", 0), item.get("max", 10)
    if _is_number(value) and least <= value <= most:
        return None
    return f"takes a number from {least:g} to {most:g}, not {_shown(value)}"


def _number(_item: Input, value: object) -> str | None:
    if value is None or _is_number(value):
        return None
    return f"takes a number or null, not {_shown(value)}"


def _text(_item: Input, value: object) -> str | None:
    return None if isinstance(value, str | None) else f"takes text or null, not {_shown(value)}"


def _choice(item: Input, value: object) -> str | None:
    if value is None or value in (known := _options(item)):
        return None
    return f"takes one of {_listed(known)}, or null, not {_shown(value)}"


def _choices(item: Input, value: object) -> str | None:
    known = _options(item)
    if isinstance(value, list) and all(each in known for each in value):
        return None if len(set(value)) == len(value) else "takes each of its values once"
    return f"takes a list out of {_listed(known)}, not {_shown(value)}"


def _tags(_item: Input, value: object) -> str | None:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return None
    return f"takes a list of texts, not {_shown(value)}"


def _date(item: Input, value: object) -> str | None:
    if value is None:
        return None
    if item.get("mode") == "range":
        if not isinstance(value, list) or len(value) != 2:
            return f"takes a list of two dates (2026-11-29), or null, not {_shown(value)}"
        start, end = value
        found = next((why for day in value if (why := _day(item, day)) is not None), None)
        return found or (None if start <= end else "ends before it begins")
    return _day(item, value)


def _day(item: Input, value: object) -> str | None:
    if as_date(value) is None:
        return f"takes a date (2026-11-29), not {_shown(value)}"
    # Dates of this form stand in the order of their texts.
    if (least := item.get("min_date")) is not None and str(value) < least:
        return f"takes no date before {least}"
    if (most := item.get("max_date")) is not None and str(value) > most:
        return f"takes no date after {most}"
    return None


_CHECKS: Final[Mapping[str, Callable[[Input, Any], str | None]]] = {
    "switch": _switch,
    "checkbox": _switch,
    "slider": _slider,
    "select": _choice,
    "radio": _choice,
    "textinput": _text,
    "numberinput": _number,
    "tags": _tags,
    "multiselect": _choices,
    "datepicker": _date,
}


def as_date(value: object) -> date | None:
    """A date as ``2026-11-29``, the one form that clients send; None for anything else."""
    if not isinstance(value, str) or len(value) != len("2026-11-29"):
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        return None
    return found if found.isoformat() == value else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _options(item: Input) -> list[str]:
    items = item.get("items")
    return (
        [each["value"] for each in items if isinstance(each, dict) and "value" in each]
        if (isinstance(items, list))
        else []
    )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(repr(word) for word in words)


def _shown(value: object) -> str:
    return repr(value)[:100]
