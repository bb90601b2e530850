"""The tree of steps as namespaces: the steps from the root down, each with its name and its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stepwire_gateway.faces.langgraph.transcript import ROLES, TOOL

if TYPE_CHECKING:
    from collections.abc import Iterator


LEVELS: Final = 32
"""A step that is nested deeper stands in the namespace of the step at this level: with all of its
levels, each event of a deep tree would be as long as the tree is deep."""


class Paths:
    """Where the steps of a session stand. Messages are no level: what is below one stands where the
    message does."""

    def __init__(self) -> None:
        self._paths: dict[str, tuple[str, ...]] = {}
        self._above: dict[str, str] = {}
        self._below: dict[str, set[str]] = {}

    def of(self, step_id: str) -> tuple[str, ...]:
        return self._paths.get(step_id, ())

    def put(self, step: dict[str, Any]) -> tuple[str, ...]:
        """The namespace of a step, with itself as its last segment, unless it is a message."""
        id_, type_, above = step["id"], step["type"], step["parent_id"]
        path = () if above is None else self.of(above)
        if type_ not in ROLES:
            # Their client takes what is below "tools:" for the tool's own.
            name = "tools" if type_ == TOOL else step["name"].replace(":", "_")
            path = (*path[:LEVELS], f"{name}:{id_}")
        self._paths[id_] = path
        before = self._above.pop(id_, None)
        if before is not None:
            self._below.get(before, set()).discard(id_)
        if above is not None:
            self._above[id_] = above
            self._below.setdefault(above, set()).add(id_)
        return path

    def remove(self, step_id: str) -> Iterator[str]:
        """Forget a step; the ids of all below it."""
        self._paths.pop(step_id, None)
        if (above := self._above.pop(step_id, None)) is not None:
            self._below.get(above, set()).discard(step_id)
        # Not by calling itself: steps may be nested deeper than calls.
        gone = self._below.pop(step_id, set())
        while gone:
            below = gone.pop()
            yield below
            self._paths.pop(below, None)
            self._above.pop(below, None)
            gone |= self._below.pop(below, set())
