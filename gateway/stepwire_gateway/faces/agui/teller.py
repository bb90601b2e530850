"""The state of one client of AG-UI: what it has been told, and how it is told more."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from stepwire_core.wire.words import REPLACES
from stepwire_gateway.faces.agui import conversation, tree
from stepwire_gateway.faces.mapping import data_frame
from stepwire_gateway.faces.told_texts import Texts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stepwire_core.values.cursor import Cursor
    from stepwire_core.wire.documents import Document
    from stepwire_gateway.faces.agui.conversation import Form
    from stepwire_gateway.faces.agui.dialect import Dialect
    from stepwire_gateway.faces.agui.endings import Ending

DELTA: Final = "stepwire.step.delta"
"""The name of the ``CUSTOM`` event that has a piece of text of a step that is not a message."""


@dataclass(frozen=True, slots=True)
class AgUiClient:
    """The client that a stream goes to, as its request tells it."""

    thread_id: str
    run_id: str
    dialect: Dialect
    messages: list[Document] = field(default_factory=list)
    """The messages that the client has, as it has sent them."""
    state: dict[str, Any] = field(default_factory=dict)
    """The application's part of its state."""
    tools: frozenset[str] = frozenset()
    """The names of the tools that it can execute."""


@dataclass(slots=True)
class Shown:
    """A step as the client knows it."""

    form: Form
    name: str
    parent_id: str | None
    run_id: str | None
    owner: str | None = None
    """The subagent that it belongs to: what continues it must name the same."""
    is_open: bool = False
    """Whether the client waits for its end."""
    is_object: bool = False
    """Whether its input is told as JSON."""

    @property
    def owned(self) -> dict[str, str]:
        return {} if self.owner is None else {"subagentRunId": self.owner}


class Teller:
    """Says things in the order that the client's own checks demand: a run begins first, what ends
    has begun, and nothing is open when a run ends.

    It keeps ids, what is open, and how much of the texts was told; no documents.
    """

    def __init__(self, client: AgUiClient, *, is_running: bool) -> None:
        self.client = client
        self.dialect = client.dialect
        self.is_running = is_running
        """Whether the client has had a ``RUN_STARTED`` and no end of it."""
        self.is_stale = False
        """Whether it has something that no event can change: it needs a snapshot."""
        self.steps: dict[str, Shown] = {}
        self.texts = Texts()
        self._has_state = is_running
        self._in_tree: set[tuple[str, str]] = set()
        self._announced: set[str] = set()
        """Subagents of this run, ended or not: an id stands for one invocation."""
        self._known = {message["id"] for message in client.messages}
        self._out: list[dict[str, Any]] = []

    def frames(self, cursor: Cursor | None) -> bytes:
        """What was said since the last call. The last frame has the cursor as its id, and those
        before it a part of it: a client that has only these has not had the whole event."""
        out, self._out = self._out, []
        if cursor is None:
            return b"".join(map(_frame, out))
        ids = [f"{cursor}/{at}" for at in range(1, len(out))] + [str(cursor)]
        return b"".join(_frame(value, id_) for value, id_ in zip(out, ids, strict=False))

    def say(self, type_: str, **fields: Any) -> None:
        if not self.is_running:
            self.begin()
        self._out.append({"type": type_, **fields})

    # -- runs -----------------------------------------------------------------------------------

    def begin(self, *, with_state: bool = True) -> None:
        """Begin the run, unless it has begun; with an empty tree, if the client has none."""
        if self.is_running:
            return
        self.is_running = True
        self._announced.clear()
        version = {} if self.dialect.version is None else {"protocolVersion": self.dialect.version}
        self.say("RUN_STARTED", **self._ids, **version)
        if with_state and not self._has_state:
            self.state(tree.empty())

    @property
    def is_idle(self) -> bool:
        """Whether the client waits for the end of nothing."""
        return not any(shown.is_open for shown in self.steps.values())

    def end(self, ending: Ending) -> None:
        """Close all that is open, what is below before what is above, and end the run."""
        for id_ in [id_ for id_, shown in reversed(self.steps.items()) if shown.is_open]:
            self.close(id_, suspended=ending.suspended)
        ids = self._ids if ending.type == "RUN_FINISHED" else {}
        self.say(ending.type, **ids, **ending.fields)
        self.is_running = False

    def fail(self, message: str, code: str) -> None:
        """End the run for the client, whatever is open: it is to ask again."""
        self.say("RUN_ERROR", message=message, code=code)
        self.is_running = False

    @property
    def _ids(self) -> dict[str, str]:
        return {"threadId": self.client.thread_id, "runId": self.client.run_id}

    # -- steps ----------------------------------------------------------------------------------

    def show(self, step: Document) -> Shown:
        """The entry of a step; made if it is missing."""
        shown = self.steps.get(step["id"])
        if shown is None:
            form = conversation.form_of(step, has_subagents=self.dialect.has_subagents)
            shown = Shown(form, step["name"], step["parent_id"], step["run_id"])
            self.steps[step["id"]] = shown
            shown.owner = self.owner_below(step["parent_id"])
        return shown

    def change(self, step: Document) -> Shown:
        """The same, of a step that may have got another type, another name, or another parent."""
        shown = self.show(step)
        form = conversation.form_of(step, has_subagents=self.dialect.has_subagents)
        if form != shown.form:
            if shown.is_open:
                self.close(step["id"])
            shown.form, self.is_stale = form, True
            self.texts.forget(step["id"])
        is_message = shown.form in ("person", "text", "tool")
        if shown.parent_id != step["parent_id"]:
            shown.parent_id = step["parent_id"]
            self.is_stale |= is_message and shown.owner != self.owner_below(step["parent_id"])
        if shown.name != step["name"]:
            self.is_stale |= shown.form == "tool"
            if shown.form == "step" and shown.is_open:
                self.close(step["id"])
                shown.name = step["name"]
                self.open(step)
        return shown

    def owner_below(self, parent_id: str | None) -> str | None:
        """The nearest subagent above what stands below a step."""
        seen: set[str] = set()
        while parent_id is not None and parent_id not in seen:
            above = self.steps.get(parent_id)
            if above is None:
                return None
            if above.form == "subagent":
                return parent_id
            seen.add(parent_id)
            parent_id = above.parent_id
        return None

    def is_known(self, step: Document) -> bool:
        """Whether it is a message that the client has sent itself."""
        return step["id"] in self._known or step["metadata"].get(REPLACES) in self._known

    def open(self, step: Document) -> None:
        """Tell that a step has begun, with the texts that it has so far."""
        id_, shown = step["id"], self.steps[step["id"]]
        match shown.form:
            case "person":
                self.person(step)
            case "text":
                self.text(step, None)
            case "tool":
                self.call(step, None, has_result=False)
            case "step":
                shown.is_open = True
                self.say("STEP_STARTED", stepName=_unique(id_, shown.name), **shown.owned)
            case "subagent":
                self._start_subagent(id_, shown)

    def person(self, step: Document) -> None:
        """A person's message, which is whole from the start."""
        id_ = step["id"]
        self.say("TEXT_MESSAGE_START", messageId=id_, role="user", **self.steps[id_].owned)
        if step["output"]:
            self.say("TEXT_MESSAGE_CONTENT", messageId=id_, delta=step["output"])
        self.say("TEXT_MESSAGE_END", messageId=id_)

    def text(self, step: Document, has: str | None) -> None:
        """A message of which the client has this beginning, or nothing."""
        id_, shown = step["id"], self.steps[step["id"]]
        self.note(step)
        rest, is_running = step["output"][len(has or "") :], step["status"] == "running"
        if has is not None and not rest and not is_running:
            return
        self.say("TEXT_MESSAGE_START", messageId=id_, role="assistant", **shown.owned)
        if rest:
            self.say("TEXT_MESSAGE_CONTENT", messageId=id_, delta=rest)
        if is_running:
            shown.is_open = True
        else:
            self.say("TEXT_MESSAGE_END", messageId=id_)

    def call(self, step: Document, has: str | None, *, has_result: bool) -> None:
        """A call of a tool, of whose arguments the client has this beginning, or which it lacks."""
        id_, shown = step["id"], self.steps[step["id"]]
        self.note(step)
        is_running = step["status"] == "running"
        whole = conversation.arguments(step["input"], is_whole=not is_running)
        rest = whole[len(has or "") :]
        if has is None or rest or is_running:
            self.say("TOOL_CALL_START", toolCallId=id_, toolCallName=step["name"], **shown.owned)
            if rest:
                self.say("TOOL_CALL_ARGS", toolCallId=id_, delta=rest)
            shown.is_open = is_running
            if not is_running:
                self.say("TOOL_CALL_END", toolCallId=id_)
        if not is_running and not has_result:
            self._result(id_, conversation.result_of(step), shown)

    def note(self, step: Document) -> None:
        """The client has, or is just being told, all texts that a step has so far."""
        id_, shown = step["id"], self.steps[step["id"]]
        if shown.form == "text":
            self.texts.missing(id_, step["output"])
        elif shown.form == "tool":
            self.texts.missing(id_, step["input"])
            shown.is_object = conversation.is_object(step["input"])
            if step["status"] != "running":
                self.texts.missing(conversation.result_id(id_), conversation.result_of(step))

    def streamed(self, step: Document) -> None:
        """The texts so far of a step that is neither a message nor a call."""
        for name in ("input", "output"):
            if step[name]:
                value = {"id": step["id"], "field": name, "text": step[name], "replace": True}
                self.say("CUSTOM", name=DELTA, value=value)

    def _start_subagent(self, id_: str, shown: Shown) -> None:
        if id_ in self._announced:
            # What starts again is only in the tree.
            shown.is_open = False
            return
        above: dict[str, str] = {}
        if shown.owner in self._announced and shown.owner is not None:
            above["parentSubagentRunId"] = shown.owner
        parent = self.steps.get(shown.parent_id or "")
        if parent is not None and parent.form == "tool" and shown.parent_id is not None:
            above["parentToolCallId"] = shown.parent_id
        self._announced.add(id_)
        shown.is_open = True
        self.say("SUBAGENT_STARTED", subagentRunId=id_, name=shown.name, **above)

    def open_already(self, id_: str) -> None:
        """The client has been told before that it has begun."""
        shown = self.steps[id_]
        shown.is_open = True
        if shown.form == "subagent":
            self._announced.add(id_)

    def close(
        self, id_: str, step: Document | None = None, *, suspended: list[str] | None = None
    ) -> None:
        """Tell an end: that of the step, or, without its document, that of what the client is told
        of it."""
        shown = self.steps[id_]
        shown.is_open = False
        match shown.form:
            case "text":
                self.say("TEXT_MESSAGE_END", messageId=id_)
            case "tool":
                self.say("TOOL_CALL_END", toolCallId=id_)
                if step is not None:
                    self._result(id_, conversation.result_of(step), shown)
            case "step":
                self.say("STEP_FINISHED", stepName=_unique(id_, shown.name), **shown.owned)
            case "subagent":
                self._end_subagent(id_, step, suspended)
            case "person":
                pass

    def _end_subagent(self, id_: str, step: Document | None, suspended: list[str] | None) -> None:
        if step is not None and step["status"] != "ok":
            error = step.get("error") or {"type": step["status"], "message": step["status"]}
            self.say(
                "SUBAGENT_ERROR", subagentRunId=id_, message=error["message"], code=error["type"]
            )
            return
        outcome = {"type": "suspended", "interruptIds": suspended}
        fields = {} if suspended is None else {"outcome": outcome}
        self.say("SUBAGENT_FINISHED", subagentRunId=id_, **fields)

    def renew(self, steps: Mapping[str, Document], *, was_open: Collection[str]) -> None:
        """From now on the steps are these. The client is told the ends of those that it waits for
        in vain."""
        running = {id_ for id_, step in steps.items() if step["status"] == "running"}
        for id_ in [id_ for id_ in reversed(self.steps) if id_ in was_open]:
            if id_ not in running:
                self.close(id_, steps.get(id_))
        known = self.steps
        self.steps, self.texts, self.is_stale = {}, Texts(), False
        for id_, step in steps.items():
            shown = self.show(step)
            if id_ in running and id_ in was_open:
                # What ends it must be told as what has begun it.
                shown.name, shown.owner = known[id_].name, known[id_].owner

    def removed(self, id_: str) -> set[str]:
        """A step is gone, with all below it; their ids."""
        gone = {id_}
        for below, shown in self.steps.items():
            if shown.parent_id in gone:
                gone.add(below)
        for below in [below for below in reversed(self.steps) if below in gone]:
            shown = self.steps[below]
            if shown.is_open:
                self.close(below)
            self.is_stale |= shown.form in ("person", "text", "tool")
            self.texts.forget(below)
            del self.steps[below]
            if ("steps", below) in self._in_tree:
                self._in_tree.discard(("steps", below))
                self._patch(tree.removed("steps", below))
        return gone

    # -- texts ----------------------------------------------------------------------------------

    def content(self, id_: str, text: str) -> None:
        """The next piece of a message."""
        if piece := self.texts.add(id_, text):
            self.say("TEXT_MESSAGE_CONTENT", messageId=id_, delta=piece)

    def whole_content(self, step: Document) -> None:
        """The rest of a message, of which all so far is known."""
        missing = self.texts.missing(step["id"], step["output"])
        if missing.is_anew or (missing.text and not self.steps[step["id"]].is_open):
            self.is_stale = True
        elif missing.text:
            self.say("TEXT_MESSAGE_CONTENT", messageId=step["id"], delta=missing.text)

    def arguments(self, id_: str, text: str) -> None:
        """The next piece of the input of a tool."""
        is_first = self.texts.told(id_) == 0
        self._arguments(id_, self.texts.add(id_, text), is_first=is_first)

    def whole_arguments(self, step: Document) -> None:
        """The rest of an input, of which all so far is known."""
        id_, shown = step["id"], self.steps[step["id"]]
        is_first = self.texts.told(id_) == 0
        missing = self.texts.missing(id_, step["input"])
        if missing.is_anew or (missing.text and not shown.is_open):
            self.is_stale = True
            return
        self._arguments(id_, missing.text, is_first=is_first)
        end = conversation.arguments_end(step["input"])
        if end and shown.is_open and step["status"] != "running":
            self.say("TOOL_CALL_ARGS", toolCallId=id_, delta=end)

    def _arguments(self, id_: str, piece: str, *, is_first: bool) -> None:
        if not piece:
            return
        shown = self.steps[id_]
        if is_first:
            shown.is_object = conversation.is_object(piece)
        delta = conversation.arguments_piece(piece, is_first=is_first, is_object=shown.is_object)
        self.say("TOOL_CALL_ARGS", toolCallId=id_, delta=delta)

    def new_result(self, step: Document) -> None:
        """The result of a call whose end was told: it may be another one by now."""
        id_ = conversation.result_id(step["id"])
        is_new = step["status"] != "running" and id_ not in self.texts
        missing = self.texts.missing(id_, conversation.result_of(step))
        self.is_stale |= is_new or missing.is_anew or bool(missing.text)

    def _result(self, call_id: str, content: str, shown: Shown) -> None:
        id_ = conversation.result_id(call_id)
        self.texts.missing(id_, content)
        fields = {"messageId": id_, "toolCallId": call_id, "content": content, "role": "tool"}
        self.say("TOOL_CALL_RESULT", **fields, **shown.owned)

    def activity(self, element: Document) -> None:
        """A file or a table that the agent shows: the client has one message for each."""
        message = conversation.activity_message(element, self.owner_below(element["step_id"]))
        id_, _ = message.pop("id"), message.pop("role")
        self.say("ACTIVITY_SNAPSHOT", messageId=id_, **message)

    # -- the tree -------------------------------------------------------------------------------

    def put(self, place: str, id_: str, value: Document) -> None:
        """A document of the tree is new or another one."""
        self._in_tree.add((place, id_))
        self._patch(tree.put(place, id_, value))

    def state(self, found: dict[str, Any]) -> None:
        """The whole tree, beside what the application keeps."""
        self._has_state = True
        self._in_tree = {(place, id_) for place, documents in found.items() for id_ in documents}
        self.say("STATE_SNAPSHOT", snapshot={**self.client.state, tree.KEY: found})

    def _patch(self, operation: Document) -> None:
        self.say("STATE_DELTA", delta=[operation])


def _unique(id_: str, name: str) -> str:
    """A name of a step that no other open one has, and that every gateway makes alike."""
    return f"{name} ({crc32(id_.encode()):08x})"


_DEPTH: Final = 4
"""As deep as ``STATE_SNAPSHOT`` has its documents."""


def _frame(value: dict[str, Any], id_: str | None = None) -> bytes:
    """As :func:`data_frame`, of an event that may hold a whole session: its documents are written
    one by one, since nothing else runs while one is."""
    if value["type"] not in ("MESSAGES_SNAPSHOT", "STATE_SNAPSHOT"):
        return data_frame(value, id=id_)
    begin = b"" if id_ is None else f"id: {id_}\n".encode()
    return begin + b"data: " + _written(value, _DEPTH).encode() + b"\n\n"


def _written(value: object, depth: int) -> str:
    if depth and isinstance(value, dict):
        parts = (f"{json.dumps(name)}:{_written(v, depth - 1)}" for name, v in value.items())
        return f"{{{','.join(parts)}}}"
    if depth and isinstance(value, list):
        return f"[{','.join(_written(item, depth - 1) for item in value)}]"
    return json.dumps(value, separators=(",", ":"))
