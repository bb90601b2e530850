"""The inputs of a form of settings: ``from stepwire.input_widget import Select, Slider``.

Each has an ``id``, under which its value is kept, and a ``label``, which people read. ``initial``
is its first value, ``tooltip`` and ``description`` explain it, and one that is ``disabled`` is
shown, and cannot be changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, ClassVar, Final, Literal, TypeAlias

from stepwire_core.errors import InvalidArgument
from stepwire_core.values.lists import items_of
from stepwire_core.values.text import is_whole
from stepwire_core.wire.choices.settings_form import as_date, flaw

__all__ = [
    "Checkbox",
    "DatePicker",
    "InputWidget",
    "MultiSelect",
    "NumberInput",
    "RadioGroup",
    "Select",
    "Slider",
    "Switch",
    "Tab",
    "Tags",
    "TextInput",
]

Day: TypeAlias = str | date
"""A date, or the text of one: ``2026-11-29``."""


@dataclass
class InputWidget:
    """What all inputs have; make one of the classes below.

    Raises:
        InvalidArgument: a parameter has a value that makes no sense, or ``initial`` one that the
            input itself would not take.
    """

    type: ClassVar[str] = ""

    id: str
    label: str
    initial: Any = None
    tooltip: str | None = None
    description: str | None = None
    disabled: bool | None = False

    def __post_init__(self) -> None:
        for name in ("id", "label"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or not is_whole(value):
                raise self._refusal(f"the {name} is a text, not {value!r}")
        for name in ("tooltip", "description"):
            _require_text(self, name)
        self.disabled = bool(self.disabled)
        self._check()
        why = flaw(self.to_dict(), self.to_dict()["initial"])
        if why is not None:
            raise self._refusal(f"initial {why}")

    def _check(self) -> None:
        """Look at what only this kind of input has."""

    def _refusal(self, what: str) -> InvalidArgument:
        return InvalidArgument(f"{type(self).__name__} {self.id!r}: {what}")

    def to_dict(self) -> dict[str, Any]:
        """What clients get of it."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"type": type(self).type} | {k: v for k, v in own.items() if k not in _NOT_SENT}


_NOT_SENT: Final = frozenset({"initial_index", "initial_value"})


@dataclass
class Switch(InputWidget):
    """On or off; ``initial`` is a bool."""

    type: ClassVar[str] = "switch"
    initial: bool = False


@dataclass
class Checkbox(InputWidget):
    """Chosen or not; ``initial`` is a bool."""

    type: ClassVar[str] = "checkbox"
    initial: bool = False


@dataclass
class Slider(InputWidget):
    """A number from ``min`` to ``max``, in steps of ``step``.

    A page that shows it keeps to the steps; the gateway checks only that the value lies between.
    """

    type: ClassVar[str] = "slider"
    initial: float = 0
    min: float = 0
    max: float = 10
    step: float = 1

    def _check(self) -> None:
        for name in ("min", "max", "step"):
            if flaw({"type": "numberinput"}, getattr(self, name)) or getattr(self, name) is None:
                raise self._refusal(f"{name} is a number, not {getattr(self, name)!r}")
        if self.min > self.max or self.step <= 0:
            raise self._refusal("min is at most max, and step is above zero")


@dataclass
class NumberInput(InputWidget):
    """A number, or None."""

    type: ClassVar[str] = "numberinput"
    initial: float | None = None
    placeholder: str | None = None

    def _check(self) -> None:
        _require_text(self, "placeholder")


@dataclass
class TextInput(InputWidget):
    """A text, or None; with ``multiline`` of several lines."""

    type: ClassVar[str] = "textinput"
    initial: str | None = None
    placeholder: str | None = None
    multiline: bool = False

    def _check(self) -> None:
        _require_text(self, "placeholder")


@dataclass
class Tags(InputWidget):
    """A list of texts that people write themselves; ``values`` are suggestions."""

    type: ClassVar[str] = "tags"
    initial: Sequence[str] = field(default_factory=list)
    values: Sequence[str] = field(default_factory=list)

    def _check(self) -> None:
        self.initial = _texts(self, "initial")
        self.values = _texts(self, "values")


@dataclass
class _Choosing(InputWidget):
    """An input with options: ``values``, or ``items``, which are labels with their values."""

    def _set_items(self, values: object, items: object) -> dict[str, str]:
        if bool(values) == bool(items):
            raise self._refusal("give either values or items, and at least one of them")
        if values:
            return {value: value for value in _texts(self, "values")}
        if not isinstance(items, Mapping) or not all(
            isinstance(part, str) for pair in items.items() for part in pair
        ):
            raise self._refusal("items is a dict of labels, each with its value, which are texts")
        return dict(items)

    def to_dict(self) -> dict[str, Any]:
        """What clients get of it."""
        found = super().to_dict()
        del found["values"]
        items: dict[str, str] = found["items"]
        options = [{"label": label, "value": value} for label, value in items.items()]
        return found | {"items": options}


@dataclass
class Select(_Choosing):
    """One of some options, or None.

    They are ``values``, or ``items``: labels with their values. The first value is ``initial`` or
    ``initial_value``, or, of ``values``, the one at ``initial_index``.
    """

    type: ClassVar[str] = "select"
    initial: str | None = None
    initial_index: int | None = None
    initial_value: str | None = None
    values: Sequence[str] = field(default_factory=list)
    items: Mapping[str, str] = field(default_factory=dict)

    def _check(self) -> None:
        listed = bool(self.values)
        self.items = self._set_items(self.values, self.items)
        if self.initial_value is not None:
            self.initial = self.initial_value
        if self.initial_index is not None:
            if not listed:
                raise self._refusal("initial_index counts values; give initial_value with items")
            try:
                self.initial = list(self.items)[self.initial_index]
            except (IndexError, TypeError):
                raise self._refusal(
                    f"initial_index is the place of one of values, not {self.initial_index!r}"
                ) from None


@dataclass
class RadioGroup(Select):
    """One of some options, all of which are shown; the parameters are those of :class:`Select`."""

    type: ClassVar[str] = "radio"


@dataclass
class MultiSelect(_Choosing):
    """Some of some options; ``values`` or ``items`` as of :class:`Select`."""

    type: ClassVar[str] = "multiselect"
    initial: Sequence[str] = field(default_factory=list)
    values: Sequence[str] = field(default_factory=list)
    items: Mapping[str, str] = field(default_factory=dict)

    def _check(self) -> None:
        self.initial = _texts(self, "initial")
        self.items = self._set_items(self.values, self.items)


@dataclass
class DatePicker(InputWidget):
    """A date, or None; with ``mode="range"`` two of them.

    A value is a text, ``2026-11-29``, or a list of two. ``min_date`` and ``max_date`` bound it,
    ``format`` is a hint for the page, and ``placeholder`` stands where no date is chosen.
    """

    type: ClassVar[str] = "datepicker"
    mode: Literal["single", "range"] = "single"
    initial: Day | Sequence[Day] | None = None
    min_date: Day | None = None
    max_date: Day | None = None
    format: str | None = None
    placeholder: str | None = None

    def _check(self) -> None:
        if self.mode not in ("single", "range"):
            raise self._refusal(f"mode is 'single' or 'range', not {self.mode!r}")
        for name in ("format", "placeholder"):
            _require_text(self, name)
        for name in ("min_date", "max_date"):
            day = self._day(getattr(self, name))
            if day is not None and as_date(day) is None:
                raise self._refusal(f"{name} is a date (2026-11-29), not {day!r}")
            setattr(self, name, day)
        if self.min_date and self.max_date and str(self.min_date) > str(self.max_date):
            raise self._refusal("min_date is not after max_date")
        given = self.initial
        if isinstance(given, Sequence) and not isinstance(given, str):
            self.initial = [self._day(day) for day in given]
        else:
            self.initial = self._day(given)

    @staticmethod
    def _day(value: Any) -> Any:
        return value.isoformat() if isinstance(value, date) else value


@dataclass
class Tab:
    """Inputs that stand together, under a ``label``."""

    id: str
    label: str
    inputs: Sequence[InputWidget] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("id", "label"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or not is_whole(value):
                raise InvalidArgument(f"the {name} of a Tab is a text, not {value!r}")
        self.inputs = items_of(
            InputWidget,
            self.inputs,
            expected=f"Tab {self.id!r}: inputs is a list of inputs",
            item=f"Tab {self.id!r}: an input is one of stepwire.input_widget",
        )

    def to_dict(self) -> dict[str, Any]:
        """What clients get of it."""
        inputs = [each.to_dict() for each in self.inputs]
        return {"id": self.id, "label": self.label, "inputs": inputs}


def _require_text(of: InputWidget, name: str) -> None:
    value = getattr(of, name)
    if value is not None and not isinstance(value, str):
        raise InvalidArgument(
            f"{type(of).__name__} {of.id!r}: {name} is a text, not {type(value).__name__}"
        )


def _texts(of: InputWidget, name: str) -> list[str]:
    value = getattr(of, name)
    if (
        value is None
        or isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(each, str) for each in value)
    ):
        raise InvalidArgument(f"{type(of).__name__} {of.id!r}: {name} is a list of texts")
    return list(value)
