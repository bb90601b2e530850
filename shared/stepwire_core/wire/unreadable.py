"""Documents that a reader cannot understand: each costs itself alone, is said, and is counted.

A document may be a newer version's, or broken. The documents beside it must stay readable.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

logger = logging.getLogger("stepwire.reading")

_TOLD_MAX: Final = 1_000

M = TypeVar("M", bound="BaseModel")


class Unreadable:
    """The documents that this process could not read, counted by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """How often, by kind: a step, a run, a dead letter."""
        self._told: set[tuple[str, str, str]] = set()

    def note(self, kind: str, id_: str, reason: Exception | str, *, session_id: str = "") -> None:
        """Count a document; what is wrong with it is logged once, not for every reader."""
        self.counts[kind] += 1
        about = (session_id, kind, id_)
        if about in self._told:
            return
        if len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told.add(about)
        fields = {"kind": kind, "id": id_, "session_id": session_id, "reason": _said(reason)}
        logger.warning("a document cannot be read and is left out", extra=fields)


UNREADABLE: Final = Unreadable()
"""Of this process."""


def readable(
    model: type[M], content: bytes | str, kind: str, id_: str, *, session_id: str = ""
) -> M | None:
    """``content`` as a document; None, noted in :data:`UNREADABLE`, if it is not one."""
    # Here: `import stepwire` does not load pydantic. A caller with a model has loaded it.
    from pydantic import ValidationError

    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        UNREADABLE.note(kind, id_, error, session_id=session_id)
        return None


def _said(reason: Exception | str) -> str:
    """The fault, without the document: logs hold no payloads."""
    from pydantic import ValidationError

    if isinstance(reason, ValidationError):
        first = reason.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"][:5]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(reason)
