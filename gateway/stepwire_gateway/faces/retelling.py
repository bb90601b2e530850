"""A snapshot told as events, in the order in which things have begun."""

from __future__ import annotations

import asyncio
import json
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.kinds import ACTION, ASK, ELEMENT, FEEDBACK, KINDS, RUN, STEP, Kind
from stepwire_gateway.faces.events import FaceEvent
from stepwire_gateway.hub.snapshot_writer import TURN_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stepwire_core.values.cursor import Cursor
    from stepwire_gateway.faces.events import Scope
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot

_PUTS: Final = {ELEMENT: "element.add", FEEDBACK: "feedback", ACTION: "action.add"}


async def retold(snapshot: WrittenSnapshot, scope: Scope) -> AsyncIterator[FaceEvent]:
    """The events that lead to a snapshot, of what is in the scope; the event loop gets its turn.

    Documents come in the order of their first event, each as it is now: a step as ``step.start``,
    an ask as ``ask``, a run as ``run.start`` (also after several attempts). What has ended is told
    to have ended as soon as nothing follows that belongs to it: a step after all below it that have
    begun next, a run when the next run begins that was not yet under way, or at the end.
    """
    telling = _Telling(snapshot.cursor)
    turn_began = perf_counter()
    for kind, content in _in_order(snapshot, scope):
        for event in telling.of(kind, json.loads(content)):
            yield event
        if perf_counter() - turn_began > TURN_S:
            await asyncio.sleep(0)
            turn_began = perf_counter()
    for event in telling.rest():
        yield event


def _in_order(snapshot: WrittenSnapshot, scope: Scope) -> Iterator[tuple[Kind, bytes]]:
    """The documents of the scope, of all kinds in their one order; others are not parsed."""
    found: list[tuple[int, int, Kind, int, int]] = []
    steps: set[object] = set()
    for place, kind in enumerate(KINDS):
        of_kind = snapshot.documents[kind]
        for at, owner in enumerate(of_kind.owners):
            start, stop = of_kind.starts[at], of_kind.stops[at]
            if kind is RUN:
                shown = _shows_run(snapshot.frame, start, stop, of_kind.ids[at], scope)
            elif kind.owner_field == "run_id":
                shown = scope.shows(owner)
            else:
                shown = owner in steps
            if not shown:
                continue
            if kind is STEP:
                steps.add(of_kind.ids[at])
            found.append((of_kind.orders[at], place, kind, start, stop))
    found.sort(key=lambda item: item[:2])
    for _, _, kind, start, stop in found:
        yield kind, snapshot.frame[start:stop]


def _shows_run(frame: bytes, start: int, stop: int, run_id: str, scope: Scope) -> bool:
    if scope.shows(run_id):
        return True
    # Most runs have no parent, and need not be parsed.
    if frame.find(b'"parent_run_id":"', start, stop) < 0:
        return False
    return scope.takes_run(json.loads(frame[start:stop]))


class _Telling:
    """Which of the things told so far have ended and are still to be told so."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._steps: list[dict[str, Any]] = []
        """A step, one below it, one below that one: ended or not."""
        self._runs: list[dict[str, Any]] = []
        """Runs that have ended."""

    def of(self, kind: Kind, document: dict[str, Any]) -> Iterator[FaceEvent]:
        if kind is RUN:
            yield from self._run(document)
        elif kind is STEP:
            yield from self._leave(document["parent_id"])
            self._steps.append(document)
            yield self._event("step.start", document)
        elif kind is ASK:
            yield self._event("ask", document)
            if document["status"] != "open":
                yield self._event("ask.end", document)
        else:
            yield self._event(_PUTS[kind], document)

    def rest(self) -> Iterator[FaceEvent]:
        yield from self._leave(None)
        for run in sorted(self._runs, key=lambda run: run["ended_at"]):
            yield self._event("run.end", run)

    def _run(self, document: dict[str, Any]) -> Iterator[FaceEvent]:
        over = [run for run in self._runs if run["ended_at"] <= document["started_at"]]
        if over:
            yield from self._leave(None)
        for run in sorted(over, key=lambda run: run["ended_at"]):
            self._runs.remove(run)
            yield self._event("run.end", run)
        yield self._event("run.start", document)
        if document["ended_at"] is not None:
            self._runs.append(document)

    def _leave(self, parent_id: str | None) -> Iterator[FaceEvent]:
        """Tell the ends of those steps that the next one, below ``parent_id``, is not below."""
        while self._steps and self._steps[-1]["id"] != parent_id:
            step = self._steps.pop()
            if step["ended_at"] is not None:
                yield self._event("step.end", step)

    def _event(self, type_: str, document: dict[str, Any]) -> FaceEvent:
        return FaceEvent(type_, document, self._cursor, is_retold=True)
