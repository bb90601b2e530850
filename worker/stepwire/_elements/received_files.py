"""Files that people have sent, on this machine's disk for as long as a handler needs them."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from stepwire._elements.element_base import Element
from stepwire._elements.element_types import Audio, File, Image, Pdf, Video

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stepwire._scope.context import Scope
    from stepwire_core.wire.documents import ElementDocument

_CLASSES: dict[str, type[Element]] = {
    class_.type: class_ for class_ in (Audio, File, Image, Pdf, Video)
}


def fetch(scope: Scope, documents: Sequence[ElementDocument]) -> list[Element]:
    """The elements, each with a ``path`` that can be opened until the run ends. Blocking.

    Raises:
        ElementNotFound: one is not there any more.
        StoreUnavailable: the place that has it does not answer.
    """
    return [_fetch(scope, document) for document in documents]


def _fetch(scope: Scope, document: ElementDocument) -> Element:
    path = scope.files.path(document.id + _suffix(document.name))
    with path.open("wb") as file:
        scope.producer.contents.save(document.session_id, document.id, file)
    return _CLASSES.get(document.type, File)._received(document, scope, path)


def _suffix(name: str) -> str:
    """The end of a file's name, which many libraries go by; a person has chosen it."""
    suffix = PurePath(name).suffix
    return suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,16}", suffix) else ""
