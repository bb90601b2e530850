"""What belongs to a step and to all below it, found by the index of the state."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Final

from stepwire_core.log.event_log import document_of
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stepwire_core.redis.store import BlockingStore

_AT_ONCE: Final = 200
"""Fields of the state that one call asks for: it is not to hold up Redis."""


class Belongings:
    """The steps and elements below a step, as ``append.lua`` has noted them (see there, Index).

    What a session of an older version has below its steps is not found before one of them is
    removed.
    """

    def __init__(self, store: BlockingStore, session_id: str) -> None:
        self._store = store
        self._state = SessionKeys.of(session_id).state

    def elements_above(self, size: int, step_id: str) -> list[str]:
        """The elements of more than so many bytes that go with a step; blocking."""
        elements, steps, seen = list[str](), [step_id], {step_id}
        while steps:
            fields = list(self._below(steps))
            elements += [field for field in fields if field.startswith("e:")]
            steps = [field[2:] for field in fields if field.startswith("s:")]
            # A parent that comes from a user may point in a circle.
            steps = [step for step in steps if step not in seen]
            seen.update(steps)
        return [
            field[2:]
            for field, value in self._values(elements)
            if (json.loads(document_of(value))["size"] or 0) > size
        ]

    def _below(self, steps: Iterable[str]) -> Iterator[str]:
        further = []
        for field, value in self._values(f"k:{step}" for step in steps):
            full, _, below = value.decode().split(" ", 2)
            further += [f"{field} {number}" for number in range(1, int(full) + 1)]
            yield from below.split()
        for _, value in self._values(further):
            yield from value.decode().split(" ", 2)[2].split()

    def _values(self, fields: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        waiting = iter(fields)
        while some := list(islice(waiting, _AT_ONCE)):
            [values] = self._store.read(command("HMGET", self._state, *some))
            yield from ((field, value) for field, value in zip(some, values, strict=True) if value)
