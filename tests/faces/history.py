"""Runs as handlers may make them, drawn by Hypothesis: events that the log takes, in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies

from documents import a_run, a_step, an_element
from stepwire_core.wire.events import (
    NewEvent,
    delta_event,
    element_event,
    remove_event,
    run_end_event,
    run_start_event,
    step_event,
)
from topologies import FULL

EXAMPLES = int(os.environ.get("STEPWIRE_TEST_EXAMPLES") or ("500" if FULL else "8"))

RUN = "run"
TYPES = ("assistant_message", "tool", "chain")
PIECES = ("token ", '"quoted"\n', "ä€😀", "x" * 40)

_which = strategies.integers(0, 5)
_texts = strategies.sampled_from(PIECES)

ops = strategies.lists(
    strategies.one_of(
        strategies.tuples(
            strategies.just("open"), strategies.sampled_from(TYPES), _which, strategies.booleans()
        ),
        strategies.tuples(strategies.just("text"), _which, _texts),
        strategies.tuples(strategies.just("halves"), _which),
        strategies.tuples(strategies.just("end"), _which, strategies.sampled_from(("", " more"))),
        strategies.tuples(strategies.just("update"), _which),
        strategies.tuples(strategies.just("rewrite"), _which, strategies.booleans()),
        strategies.tuples(strategies.just("element"), _which),
        strategies.tuples(strategies.just("remove"), _which),
    ),
    max_size=25,
)


def over_histories(test: Callable[..., None]) -> Callable[..., None]:
    """A test of drawn histories: it gets the operations of one as ``drawn``."""
    bounded = settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    return bounded(given(drawn=ops)(test))


@dataclass
class History:
    """The events of one run, and what its session shows at the end."""

    session_id: str
    events: list[NewEvent] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    rewritten: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    parents: dict[str, str | None] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    """Steps into which text has streamed after their end, and which no document has told since."""
    elements: int = 0

    @classmethod
    def of(cls, session_id: str, drawn: list[tuple[Any, ...]]) -> History:
        history = cls(session_id)
        history.events.append(run_start_event(a_run(RUN)))
        # Most of what can go wrong needs a message with text.
        begun = [("open", TYPES[0], 0, False), ("text", 0, PIECES[0])]
        for op, *values in begun + drawn:
            getattr(history, f"_{op}")(*values)
        for step_id in history.outputs:
            if step_id not in history.removed | history.ended:
                history._put("step.end", step_id)
        end = a_run(RUN, "ok")
        history.events.append(run_end_event(end.model_copy(update={"ended_at": end.ts})))
        return history

    def _put(self, type_: Any, step_id: str) -> None:
        if type_ == "step.end":
            self.ended.add(step_id)
        self.late.discard(step_id)
        has_ended = step_id in self.ended
        step = a_step(
            self.session_id,
            step_id,
            run_id=RUN,
            attempt=1,
            type=self.types[step_id],
            parent_id=self.parents[step_id],
            output=self.outputs[step_id],
            status="ok" if has_ended else "running",
        )
        ended_at = step.ts if has_ended else None
        self.events.append(step_event(type_, step.model_copy(update={"ended_at": ended_at})))

    def _there(self, which: int) -> str | None:
        there = [step_id for step_id in self.outputs if step_id not in self.removed]
        return there[which % len(there)] if there else None

    def _open(self, type_: str, which: int, has_text: bool) -> None:
        step_id = f"s{len(self.outputs)}"
        self.parents[step_id] = self._there(which) if which else None
        self.types[step_id] = type_
        self.outputs[step_id] = "begun " if has_text else ""
        self._put("step.start", step_id)

    def _text(self, which: int, text: str) -> None:
        if (step_id := self._there(which)) is not None:
            self.outputs[step_id] += text
            self.events.append(delta_event(step_id, text))
            if step_id in self.ended:
                self.late.add(step_id)

    def _halves(self, which: int) -> None:
        """A character in two pieces, as tokenizers cut it."""
        if (step_id := self._there(which)) is not None and step_id not in self.ended:
            self.outputs[step_id] += "😀"
            self.events += [delta_event(step_id, "\ud83d"), delta_event(step_id, "\ude00")]

    def _end(self, which: int, more: str) -> None:
        if (step_id := self._there(which)) is not None and step_id not in self.ended:
            self.outputs[step_id] += more
            self._put("step.end", step_id)

    def _update(self, which: int) -> None:
        if (step_id := self._there(which)) is not None:
            self._put("step.update", step_id)

    def _rewrite(self, which: int, by_delta: bool) -> None:
        if (step_id := self._there(which)) is not None:
            self.rewritten.add(step_id)
            self.outputs[step_id] = text = f"rewritten {len(self.events)}"
            if by_delta:
                self.events.append(delta_event(step_id, text, replace=True))
                if step_id in self.ended:
                    self.late.add(step_id)
            else:
                self._put("step.update", step_id)

    def _element(self, which: int) -> None:
        if (step_id := self._there(which)) is not None:
            self.elements += 1
            url = f"/e{self.elements}"
            element = an_element(self.session_id, f"e{self.elements}", step_id=step_id, run_id=RUN)
            self.events.append(element_event(element.model_copy(update={"url": url})))

    def _remove(self, which: int) -> None:
        if (step_id := self._there(which)) is not None:
            doomed = {step_id}
            for below, parent in self.parents.items():
                if parent in doomed:
                    doomed.add(below)
            self.removed |= doomed
            self.events.append(remove_event(step_id))
