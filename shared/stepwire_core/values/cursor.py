"""The cursor: a place in a session's log."""

from __future__ import annotations

import re
from typing import NamedTuple

from stepwire_core.errors import InvalidCursor

# Both parts are 64-bit numbers in Redis; 19 digits always fit.
_CURSOR = re.compile(r"([0-9]{1,19})-([0-9]{1,19})\Z", re.ASCII)


class Cursor(NamedTuple):
    """The last event that a reader has: ``<epoch>-<seq>``.

    ``seq`` is dense within an epoch: the next event has ``seq + 1``. Cursors of different epochs
    are not comparable.
    """

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what ``str()`` wrote.

        Raises:
            InvalidCursor: it has another form.
        """
        match = _CURSOR.match(text)
        if match is None:
            raise InvalidCursor(text)
        return cls(int(match[1]), int(match[2]))
