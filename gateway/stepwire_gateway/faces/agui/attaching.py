"""How a client that comes in the middle catches up with what a snapshot shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepwire_core.wire.words import USER_MESSAGE
from stepwire_gateway.faces.agui import conversation, tree
from stepwire_gateway.faces.agui.retelling import is_over

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from stepwire_core.values.cursor import Cursor
    from stepwire_core.wire.documents import Document
    from stepwire_gateway.faces.agui.retelling import Retelling
    from stepwire_gateway.faces.agui.teller import Teller
    from stepwire_gateway.faces.events import FaceEvent

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Shows:
    """What of a snapshot a stream shows."""

    whole_session: bool
    """Else one run, with what it has started."""
    activity: Callable[[Document], bool]
    """Whether an element is shown by itself."""


@dataclass(frozen=True, slots=True)
class CameBack:
    """A client that goes on after the last event that it has had."""

    cursor: Cursor
    missed: Sequence[FaceEvent] | None
    """What has come since, of the whole session; None: the log does not tell it, or the client has
    had a part of the event only."""


def left_open(teller: Teller, retelling: Retelling, came_back: CameBack) -> list[str] | None:
    """What a client that comes back waits for the end of: what is running and did when it left, and
    what has ended meanwhile. None: it cannot be told."""
    if came_back.missed is None or retelling.cursor is None:
        return None
    first: dict[str, FaceEvent] = {}
    for event in came_back.missed:
        if event.cursor > retelling.cursor:
            break
        if event.type == "step.remove":
            # Nothing tells any more what it was.
            return None
        if event.type in ("step.start", "step.end") and event.data["id"] in retelling.steps:
            first.setdefault(event.data["id"], event)
    found = []
    for id_, step in retelling.steps.items():
        teller.show(step)
        known = first.get(id_)
        has_ended = known is not None and known.type == "step.end"
        if has_ended or (known is None and step["status"] == "running"):
            found.append(id_)
    return found


def stay(teller: Teller, retelling: Retelling) -> None:
    """The client has all that the snapshot shows: note what that is, and say nothing."""
    for id_, step in retelling.steps.items():
        teller.show(step)
        teller.note(step)
        if step["status"] == "running":
            teller.open_already(id_)


def catch_up(
    teller: Teller, retelling: Retelling, shows: Shows, *, was_open: Collection[str]
) -> None:
    """Bring the client to what the snapshot shows, with what is running open.

    What it has may be a part of that, and then the rest is told as it would have been. Else, and
    where the whole session is shown, it gets all messages at once.
    """
    hidden = retelling.repeated() if shows.whole_session else set()
    steps = {
        id_: step
        for id_, step in retelling.steps.items()
        if step["run_id"] not in hidden or step["type"] == USER_MESSAGE
    }
    running = {id_ for id_, step in steps.items() if step["status"] == "running"}
    was_running = teller.is_running
    teller.renew(steps, was_open=was_open)
    teller.begin(with_state=False)
    has = _Has(teller.client.messages)
    messages = _conversation(teller, retelling, steps, shows)
    by_snapshot = shows.whole_session or was_running or has.differs(messages, teller, running)
    if by_snapshot:
        # Older clients would have two of a call that is in it and begins again.
        anew = set() if teller.dialect.reopens else running - set(was_open)
        told = [m for m in messages if m["id"] not in anew or "toolCalls" not in m]
        told_all = has.merged(told, keep_all=not shows.whole_session)
        teller.say("MESSAGES_SNAPSHOT", messages=told_all, **teller.dialect.complete)
        has = _Has(told)
    teller.state(_tree(retelling, steps, shows))
    for place, id_ in retelling.order:
        if place == "elements":
            if not by_snapshot and shows.activity(retelling.elements[id_]):
                teller.activity(retelling.elements[id_])
        elif id_ in steps:
            _tell(teller, steps[id_], has, was_open=id_ in was_open)


def _tell(teller: Teller, step: Document, has: _Has, *, was_open: bool) -> None:
    id_, form = step["id"], teller.steps[step["id"]].form
    is_running = step["status"] == "running"
    teller.note(step)
    if form == "person":
        if not (has.message(id_) or teller.is_known(step)):
            teller.person(step)
    elif is_running and was_open:
        teller.open_already(id_)
    elif form == "text":
        teller.text(step, has.text(id_))
    elif form == "tool":
        teller.call(step, has.arguments(id_), has_result=has.result(id_) is not None)
    elif is_running:
        teller.open(step)
    if is_running and form in ("step", "subagent"):
        teller.streamed(step)


class _Has:
    """The messages that a client has."""

    def __init__(self, messages: Messages) -> None:
        self._messages = {message["id"]: message for message in messages}
        self._results = {m["toolCallId"]: m for m in messages if m["role"] == "tool"}

    def message(self, id_: str) -> bool:
        return id_ in self._messages

    def text(self, id_: str) -> str | None:
        """The text of a message; None: the client does not have it."""
        message = self._messages.get(id_)
        return None if message is None else message.get("content") or ""

    def arguments(self, id_: str) -> str | None:
        message = self._messages.get(id_)
        calls = [] if message is None else message.get("toolCalls") or []
        return next((call["function"]["arguments"] for call in calls if call["id"] == id_), None)

    def result(self, id_: str) -> object:
        result = self._results.get(id_)
        return None if result is None else result["content"]

    def differs(self, messages: Messages, teller: Teller, running: Collection[str]) -> bool:
        """Whether the client has something of these that is not the beginning of what they are, or
        that it would have twice if it went on."""
        for message in messages:
            id_ = message["id"]
            match message["role"]:
                case "tool":
                    has = self.result(message["toolCallId"])
                    if has is not None and has != message["content"]:
                        return True
                case "assistant" if "toolCalls" in message:
                    has = self.arguments(id_)
                    whole = message["toolCalls"][0]["function"]["arguments"]
                    if has is None:
                        continue
                    goes_on = id_ in running or has != whole
                    if not whole.startswith(has) or (goes_on and not teller.dialect.reopens):
                        return True
                case "assistant":
                    has = self.text(id_)
                    if has is not None and not message["content"].startswith(has):
                        return True
        return False

    def merged(self, messages: Messages, *, keep_all: bool) -> Messages:
        """These, in place of those that the client has of them, with its others: all, or those that
        only it can know."""
        ours = {message["id"]: message for message in messages}
        answered = {m["toolCallId"] for m in messages if m["role"] == "tool"}
        found = []
        for id_, message in self._messages.items():
            if id_ in ours:
                found.append(ours.pop(id_))
            elif message["role"] in ("system", "developer") or (
                keep_all and message.get("toolCallId") not in answered
            ):
                found.append(message)
        return found + list(ours.values())


def _conversation(
    teller: Teller, retelling: Retelling, steps: dict[str, Document], shows: Shows
) -> Messages:
    found: Messages = []
    for place, id_ in retelling.order:
        if place == "elements":
            element = retelling.elements[id_]
            if shows.activity(element):
                owner = teller.owner_below(element["step_id"])
                found.append(conversation.activity_message(element, owner))
        elif (step := steps.get(id_)) is not None:
            shown = teller.steps[id_]
            files = retelling.files_of(id_) if shown.form == "person" else []
            found += conversation.messages_of(
                step,
                shown.form,
                files=files,
                has_parts=teller.dialect.has_parts,
                owned=shown.owned,
            )
    return found


def _tree(retelling: Retelling, steps: dict[str, Document], shows: Shows) -> dict[str, Any]:
    """The tree of what is shown: of a whole session what is under way, or was last."""
    nodes = {id_: tree.node(step) for id_, step in steps.items()}
    if not shows.whole_session:
        return {"runs": retelling.runs, "steps": nodes, "asks": retelling.asks}
    runs = {id_: run for id_, run in retelling.runs.items() if not is_over(run)}
    last = retelling.last_run()
    if not runs and last is not None:
        runs = {last["run_id"]: last}
    return {
        "runs": runs,
        "steps": {id_: node for id_, node in nodes.items() if node["run_id"] in runs},
        "asks": {id_: ask for id_, ask in retelling.asks.items() if ask["run_id"] in runs},
    }
