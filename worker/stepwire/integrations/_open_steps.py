"""The open steps of one library, and where the running code is among them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from stepwire._scope.context import innermost, own_frame
from stepwire.integrations._foreign import ForeignStep, Shown, begin

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from stepwire._scope.context import Frame
    from stepwire.integrations._guest import Guard

MAX_OPEN: Final = 10_000
"""Steps of one library that are open at once; past it the oldest is left to the end of its run."""

K = TypeVar("K", bound="Hashable")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One of the library's own units of work."""

    step: ForeignStep
    """What nests under it nests under this."""
    shown: Shown | None
    """None if it is not shown itself."""


class OpenSteps(Generic[K]):
    """The open steps of one library, by its own ids, from any thread.

    What begins nests under the unit that the library names as its parent; or, if that one is around
    the running code, under the innermost step there is in it, of whatever library or ours. Without
    a parent it nests as a step of ours would. Outside any session nothing is kept.

    One for all that shows a library: units that two instances of ours are told of are shown once.

    Args:
        guard: What keeps faults in asking the library.
        current: The id of the library's unit that is around the running code.
    """

    def __init__(self, guard: Guard, current: Callable[[], K | None]) -> None:
        self._guard = guard
        self._current = current
        self._entries: dict[K, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def begin(
        self, key: K, parent: K | None, *, source: str, type: str, **fields: Any
    ) -> Shown | None:
        """Show the unit ``key`` (see :func:`.begin`); None outside any session."""
        frame = own_frame()
        place = self._place(parent, frame)
        if place is None or key in self._entries:
            return None
        shown = begin(place, frame=frame, source=source, type=type, **fields)
        if self not in place.scope.libraries:
            place.scope.libraries.append(self)
        self._keep(key, _Entry(shown.step, shown))
        return shown

    def hide(self, key: K, parent: K | None) -> None:
        """``key`` is not shown: what nests under it nests under its parent."""
        above = self._entry(parent)
        if above is not None and key not in self._entries:
            self._keep(key, _Entry(above.step, None))

    def get(self, key: K) -> Shown | None:
        """What shows ``key``."""
        entry = self._entry(key)
        return None if entry is None else entry.shown

    def pop(self, key: K) -> Shown | None:
        """What shows ``key``, which is over."""
        entry = self._entries.pop(key, None)
        return None if entry is None else entry.shown

    def inside(self, frame: Frame) -> ForeignStep | None:
        """The innermost step that began in ``frame`` and is around the running code."""
        step = self._around()
        return step if step is not None and step.began_in(frame) else None

    def _place(self, parent: K | None, frame: Frame | None) -> Frame | None:
        named = self._entry(parent)
        if named is not None and (frame is None or self._around() is not named.step):
            return named.step.place
        return None if frame is None else innermost(frame)

    def _around(self) -> ForeignStep | None:
        with self._guard:
            entry = self._entry(self._current())
            return None if entry is None else entry.step
        return None

    def _entry(self, key: K | None) -> _Entry | None:
        return None if key is None else self._entries.get(key)

    def _keep(self, key: K, entry: _Entry) -> None:
        # No lock: a finaliser may end a unit in the middle of this. Each line is one step.
        self._entries[key] = entry
        if len(self._entries) > MAX_OPEN:
            with suppress(RuntimeError):  # another thread came first
                self._entries.pop(next(iter(self._entries)), None)
