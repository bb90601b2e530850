"""A session as its events tell it: the fold of the stream into a tree."""

from __future__ import annotations

import json
from bisect import bisect
from collections import Counter, defaultdict
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import BaseModel, ValidationError

from stepwire.client._attached import ATTACHED_KINDS, Attached
from stepwire.client._events import following
from stepwire.client._tree_parts import Node, Row, RunNode, StepNode, laid_out
from stepwire_core.wire.choices.settings_form import SETTINGS
from stepwire_core.wire.documents import (
    AskDocument,
    ElementDocument,
    RunDocument,
    StepDocument,
    UsageSum,
)
from stepwire_core.wire.kinds import (
    ASK,
    ELEMENT,
    EVENTS,
    KINDS,
    RUN,
    SNAPSHOT,
    STEP,
    Kind,
)
from stepwire_core.wire.words import CHAT_PROFILE, USER_MESSAGE, TextField

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stepwire.client._events import Event


class SessionTree:
    """The steps and runs of a session, as far as events have told of them.

    It begins empty; the first event of a stream is a snapshot. A run stands with the message that
    started it; without one it stands at the top, before its steps. An uploaded file is there once
    it is sent with something.
    """

    def __init__(self) -> None:
        self.session_id: str | None = None
        """None before the first snapshot."""
        self.cursor: str = ""
        """The id of the last event: a stream can go on after it. Empty before the first."""
        self.steps: dict[str, StepNode] = {}
        self.runs: dict[str, RunNode] = {}
        self.unread: Counter[str] = Counter()
        """How many events this version could not read, by their type."""
        self.attached: dict[Kind, Attached] = {kind: Attached(kind) for kind in ATTACHED_KINDS}
        """What stands with steps, by its kind."""
        self._ordinal = 0
        self._rows: Sequence[Row] | None = None

    @property
    def settings(self) -> ElementDocument | None:
        """The form of the session's settings: its ``props`` are ``inputs`` and ``values``."""
        return self._beside(SETTINGS)

    @property
    def sidebar(self) -> Sequence[ElementDocument]:
        """The elements that stand beside the conversation; none: it is closed."""
        shown = self._beside("sidebar")
        ids = [] if shown is None else shown.props.get("elements")
        known = self.attached[ELEMENT].documents
        listed = ids if isinstance(ids, list) else []
        return [
            element for id_ in listed if isinstance(element := known.get(str(id_)), ElementDocument)
        ]

    @property
    def chat_profile(self) -> str | None:
        """The name of the profile that the session has."""
        found = self._beside(CHAT_PROFILE)
        return None if found is None else found.name

    def _beside(self, type_: str) -> ElementDocument | None:
        """The one element of that type that stands with no step."""
        for element in self.attached[ELEMENT].of(None).values():
            if isinstance(element, ElementDocument) and element.type == type_:
                return element
        return None

    def apply(self, event: Event) -> Sequence[Node]:
        """Fold one event in; the nodes that it put, changed or removed.

        An event that was there before changes nothing. Types that are not known only move the
        cursor, and so do documents that cannot be read: they are counted in :attr:`unread`.

        Raises:
            InvalidCursor: the event has no id of a gateway.
        """
        if following(self.cursor, event) == "again":
            return ()
        self.cursor = event.id
        try:
            return self._fold(event.type, event.json)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            self.unread[event.type] += 1
            return ()

    def snapshot(self) -> dict[str, Any]:
        """All documents as parsed JSON, in the lists and the order of a snapshot, and how runs and
        steps interleave."""
        lists: dict[str, Iterable[BaseModel]] = {
            RUN.list_name: (run.document for run in self.runs.values()),
            STEP.list_name: (step.whole() for step in self.steps.values()),
        }
        for kind, attached in self.attached.items():
            lists[kind.list_name] = attached.documents.values()
        found: dict[str, Any] = {
            kind.list_name: [document.model_dump(mode="json") for document in lists[kind.list_name]]
            for kind in KINDS
        }
        began = [step.ordinal for step in self.steps.values()]
        found["steps_before_runs"] = [bisect(began, run.ordinal) for run in self.runs.values()]
        return found

    @property
    def usage(self) -> UsageSum:
        """What the session has used, as a snapshot's ``usage``: its runs, and the steps outside of
        runs."""
        return UsageSum.of_session(
            (run.document for run in self.runs.values()),
            (step.document for step in self.steps.values()),
        )

    @property
    def open_runs(self) -> set[str]:
        """The runs that have not ended, and those that messages wait for."""
        waiting = {
            step.document.run_id
            for step in self.steps.values()
            if step.document.type == USER_MESSAGE and step.document.run_id not in self.runs
        }
        running = {run_id for run_id, run in self.runs.items() if run.is_open}
        return running | {run_id for run_id in waiting if run_id is not None}

    @property
    def idle(self) -> bool:
        """Whether there were runs and all are over."""
        # The latest run is the likeliest to be open, and spares the look at every step.
        if not self.runs or any(run.is_open for run in reversed(self.runs.values())):
            return False
        return not self.open_runs

    @property
    def failed(self) -> bool:
        """Whether a run ended in anything but ok."""
        return any(not run.is_open and run.document.status != "ok" for run in self.runs.values())

    @property
    def asks(self) -> list[AskDocument]:
        """All that handlers have asked, in the order of asking."""
        asks = cast("dict[str, AskDocument]", self.attached[ASK].documents)
        return [ask for ask in asks.values() if ask.step_id in self.steps]

    @property
    def open_asks(self) -> list[AskDocument]:
        """What handlers wait for."""
        return [ask for ask in self.asks if ask.status == "open"]

    def run_of(self, message: StepNode) -> RunNode | None:
        """The run that a message has started; None until it begins."""
        if message.document.type != USER_MESSAGE or message.document.run_id is None:
            return None
        run = self.runs.get(message.document.run_id)
        return run if run and run.document.message_id == message.document.id else None

    def awaits_run(self, message: StepNode) -> bool:
        """Whether no worker has taken a message up yet."""
        document = message.document
        return (
            document.type == USER_MESSAGE
            and document.run_id is not None
            and document.run_id not in self.runs
        )

    def parent_of(self, step: StepNode) -> StepNode | None:
        """The step that it is shown below; None at the top, where its parent is not there."""
        parent = self.steps.get(step.document.parent_id or "")
        seen, at = set(), parent
        # Data from outside may close a circle; its members are shown at the top.
        while at is not None and at.document.id not in seen:
            if at is step:
                return None
            seen.add(at.document.id)
            at = self.steps.get(at.document.parent_id or "")
        return parent

    def rows(self) -> Sequence[Row]:
        """The tree from top to bottom."""
        if self._rows is None:
            self._rows = laid_out(self._children())
        return self._rows

    def _children(self) -> dict[str | None, list[Node]]:
        children: dict[str | None, list[Node]] = defaultdict(list)
        nodes: list[Node] = [*self.steps.values(), *self.runs.values()]
        failures: list[RunNode] = []
        for node in sorted(nodes, key=lambda node: node.ordinal):
            if isinstance(node, StepNode):
                parent = self.parent_of(node)
                children[parent.document.id if parent else None].append(node)
            elif node.document.message_id not in self.steps:
                children[None].append(node)
            elif node.document.error is not None:
                failures.append(node)
        # The head of a message tells how its run stands; why it failed is said last.
        for run in failures:
            children[run.document.message_id].append(run)
        return children

    # -- folding --------------------------------------------------------------------------------

    def _fold(self, type_: str, data: str) -> Sequence[Node]:
        event = EVENTS.get(type_)
        if event is None:
            return ()
        if event.effect == "text":
            return self._delta(**json.loads(data))
        self._rows = None
        if event.kind is None:
            return self._replace_all(json.loads(data))
        if event.effect == "put":
            return self._put(event.kind, event.kind.model.model_validate_json(data))
        id_ = json.loads(data)["id"]
        return self._remove(id_) if event.kind is STEP else self._detach(event.kind, id_)

    def _put(self, kind: Kind, document: BaseModel) -> Sequence[Node]:
        match document:
            case StepDocument():
                return [self._put_step(document)]
            case RunDocument():
                return [self._put_run(document)]
            case _:
                return self._attach(kind, document)

    def _replace_all(self, snapshot: dict[str, Any]) -> Sequence[Node]:
        if not snapshot.keys() >= {"session_id", "cursor"}:
            raise ValueError("it is not a snapshot")
        read = {kind: self._readable(kind, snapshot.get(kind.list_name, ())) for kind in KINDS}
        self.session_id = str(snapshot["session_id"])
        self.steps.clear()
        self.runs.clear()
        for attached in self.attached.values():
            attached.clear()
        nodes_in_order = _interleaved(read[RUN], read[STEP], snapshot.get("steps_before_runs"))
        attached_documents = (
            (kind, document) for kind in ATTACHED_KINDS for document in read[kind]
        )
        for kind, document in chain(nodes_in_order, attached_documents):
            if document is not None:
                self._put(kind, document)
        nodes: list[Node] = [*self.steps.values(), *self.runs.values()]
        return sorted(nodes, key=lambda node: node.ordinal)

    def _readable(self, kind: Kind, documents: Iterable[Any]) -> list[BaseModel | None]:
        """All of them, with None for each that cannot be read."""
        found: list[BaseModel | None] = []
        for document in documents:
            try:
                found.append(kind.model.model_validate(document))
            except ValidationError:
                self.unread[SNAPSHOT] += 1
                found.append(None)
        return found

    def _put_step(self, document: StepDocument) -> StepNode:
        known = self.steps.get(document.id)
        if known is None:
            below = {kind: attached.of(document.id) for kind, attached in self.attached.items()}
            known = self.steps[document.id] = StepNode(document, self._next_ordinal(), below)
        else:
            known.put(document)
        return known

    def _put_run(self, document: RunDocument) -> RunNode:
        known = self.runs.get(document.run_id)
        if known is None:
            known = self.runs[document.run_id] = RunNode(document, self._next_ordinal())
        else:
            known.document = document
        return known

    def _delta(
        self, *, id: str, field: str, text: str, replace: bool = False, **_: object
    ) -> Sequence[Node]:
        step = self.steps.get(id)
        if step is None or field not in get_args(TextField):
            return ()
        step.append(cast("TextField", field), text, replace=replace)
        return (step,)

    def _attach(self, kind: Kind, document: BaseModel) -> Sequence[Node]:
        return self._known(self.attached[kind].put(document))

    def _detach(self, kind: Kind, id_: str) -> Sequence[Node]:
        return self._known(self.attached[kind].remove(id_))

    def _known(self, step_ids: Iterable[str | None]) -> Sequence[Node]:
        return tuple(self.steps[step_id] for step_id in step_ids if step_id in self.steps)

    def _remove(self, step_id: str) -> Sequence[Node]:
        below: dict[str | None, list[str]] = defaultdict(list)
        for step in self.steps.values():
            below[step.document.parent_id].append(step.document.id)
        doomed, removed = [step_id], list[Node]()
        for doomed_id in doomed:
            # As the log does it: also below a step that is not there itself.
            doomed += below.pop(doomed_id, ())
            if node := self.steps.pop(doomed_id, None):
                removed.append(node)
            for attached in self.attached.values():
                attached.remove_step(doomed_id)
        return removed

    def _next_ordinal(self) -> int:
        self._ordinal += 1
        return self._ordinal


def _interleaved(
    runs: Sequence[BaseModel | None], steps: Sequence[BaseModel | None], steps_before_runs: object
) -> Iterator[tuple[Kind, BaseModel | None]]:
    """The runs and steps of a snapshot in their one order; all runs come first if an older gateway
    has not told it."""
    counts = steps_before_runs if isinstance(steps_before_runs, list) else []
    at = 0
    for run, count in zip(runs, chain(counts, repeat(0)), strict=False):
        until = max(at, count) if isinstance(count, int) else at
        yield from ((STEP, step) for step in steps[at:until])
        yield RUN, run
        at = until
    yield from ((STEP, step) for step in steps[at:])
