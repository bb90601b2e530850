"""The elements of a step or message: checked, stored before it is sent, announced with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepwire._elements.element_base import Element
from stepwire._values.attributes import list_of

if TYPE_CHECKING:
    from stepwire._scope.context import Scope
    from stepwire_core.wire.events import NewEvent


def checked_elements(value: object, name: str, noun: str) -> list[Element]:
    """As :func:`list_of`."""
    known = f"the elements of a {noun} are cl.Image, cl.File and so on"
    return list_of(Element, known, value, name, noun)


def own_elements(elements: Sequence[Element], step_id: str, noun: str) -> list[Element]:
    """``elements``, with a copy of each that was sent with another step, or beside them.

    Raises:
        InvalidArgument: something else was put into the list.
    """
    return [
        element
        if element.for_id in (None, step_id) and not element._is_elsewhere
        else element._again()
        for element in checked_elements(elements, "elements", noun)
    ]


def unstored(elements: Sequence[Element]) -> list[Element]:
    """The elements whose bytes are yet to be stored."""
    return [element for element in elements if element._is_new]


def store_elements(elements: Sequence[Element], scope: Scope, step_id: str) -> None:
    """Put the bytes of elements in place; blocking."""
    for element in elements:
        element._store(scope, step_id)


def announcements(elements: Sequence[object]) -> list[NewEvent]:
    """The events that show the elements whose bytes are in place, the first time alone."""
    return [event for element in _only_elements(elements) for event in element._announcement()]


def ids_shown_with(elements: Sequence[object], step_id: str) -> list[str]:
    """The ids of those elements that the step shows."""
    return [element.id for element in _only_elements(elements) if element._is_with(step_id)]


def _only_elements(elements: Sequence[object]) -> list[Element]:
    # A list takes whatever is put into it; said where elements are stored, passed over here.
    return [element for element in elements if isinstance(element, Element)]
