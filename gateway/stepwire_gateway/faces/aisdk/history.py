"""The messages of a chat as ``useChat`` keeps them: what a page begins with after a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.kinds import RUN_END
from stepwire_core.wire.words import ON_MESSAGE, REPLACES, USER_MESSAGE
from stepwire_gateway.faces.aisdk.mapping import UiMessageMapping
from stepwire_gateway.faces.events import RUN_START, STEP_START, Scope
from stepwire_gateway.faces.retelling import retold

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepwire_gateway.faces.aisdk.mapping import Chunk
    from stepwire_gateway.faces.events import FaceEvent
    from stepwire_gateway.hub.written_snapshot import WrittenSnapshot

UiMessage = dict[str, Any]

_TOOL_STATES: Final = {
    "tool-input-available": "input-available",
    "tool-output-available": "output-available",
    "tool-output-error": "output-error",
}
_OF_TOOL: Final = ("input", "output", "errorText", "providerExecuted")
_AS_THEY_ARE: Final = frozenset({"file", "source-url", "source-document"})


async def messages_of(snapshot: WrittenSnapshot, address: Callable[[str], str]) -> list[UiMessage]:
    """What has been said, oldest first, without the answer that is under way: its stream has it.

    A message that was changed stands in the place of the old one, with its id, and of several
    answers to one message the last.
    """
    chat = _Chat(address)
    async for event in retold(snapshot, Scope()):
        chat.take(event)
    return chat.messages()


class _Chat:
    def __init__(self, address: Callable[[str], str]) -> None:
        self._address = address
        self._messages: list[UiMessage] = []
        self._ids: list[str] = []
        """Of each of them, by which the session knows it: a message's, or a run's."""
        self._answers: dict[str, _Answer] = {}
        self._roots: dict[str, str] = {}
        """The answer to which a run belongs, by the run."""

    def messages(self) -> list[UiMessage]:
        return [
            message
            for id_, message in zip(self._ids, self._messages, strict=True)
            if id_ not in self._answers or self._answers[id_].is_over
        ]

    def take(self, event: FaceEvent) -> None:
        data = event.data
        if event.type == RUN_START:
            self._begin(data)
        elif event.type == STEP_START and data["type"] == USER_MESSAGE and data["attempt"] == 0:
            self._said(data)
        elif event.type == "element.add":
            self._file(data)
        root = self._roots.get(data.get("run_id") or "")
        if root is not None:
            self._answers[root].take(event)

    def _said(self, step: dict[str, Any]) -> None:
        replaced = step["metadata"].get(REPLACES)
        shown_as = step["id"]
        at = next((at for at, one in enumerate(self._messages) if one["id"] == replaced), None)
        if at is not None:
            del self._messages[at:], self._ids[at:]
            shown_as = replaced
        parts = [{"type": "text", "text": step["output"]}] if step["output"] else []
        message = {"id": shown_as, "role": "user", "parts": parts, "metadata": step["metadata"]}
        self._put(step["id"], message)

    def _file(self, element: dict[str, Any]) -> None:
        step_id = element["step_id"]
        if step_id in self._ids and (message := self._of(step_id))["role"] == "user":
            url, mime = self._address(element["url"]), element["mime"]
            part = {"type": "file", "url": url, "mediaType": mime, "filename": element["name"]}
            message["parts"].append(part)

    def _begin(self, run: dict[str, Any]) -> None:
        run_id, parent = run["run_id"], self._roots.get(run["parent_run_id"] or "")
        if parent is not None:
            self._roots[run_id] = parent
        elif run["handler"] == ON_MESSAGE:
            if run["message_id"] in self._ids:
                # An earlier answer to the same message, and what came after it.
                at = self._ids.index(run["message_id"]) + 1
                if run.get("retry_of"):
                    del self._messages[at:], self._ids[at:]
            self._roots[run_id] = run_id
            answer = self._answers[run_id] = _Answer(run_id, self._address)
            self._put(run_id, answer.message)

    def _put(self, id_: str, message: UiMessage) -> None:
        self._ids.append(id_)
        self._messages.append(message)

    def _of(self, id_: str) -> UiMessage:
        return self._messages[self._ids.index(id_)]


class _Answer:
    """One run as a message of the assistant."""

    def __init__(self, run_id: str, address: Callable[[str], str]) -> None:
        self.message: UiMessage = {"id": run_id, "role": "assistant", "parts": [], "metadata": {}}
        self.is_over = False
        self._mapping = UiMessageMapping(run_id, address)
        self._parts: dict[tuple[str, str], dict[str, Any]] = {}

    def take(self, event: FaceEvent) -> None:
        if self.is_over:
            return
        for chunk in self._mapping.chunks(event):
            self._chunk(chunk)
        self.is_over = self._mapping.over and event.type == RUN_END

    def _chunk(self, chunk: Chunk) -> None:
        type_ = chunk["type"]
        if type_ == "text-start":
            about = {"providerMetadata": chunk["providerMetadata"]}
            self._put(("text", chunk["id"]), {"type": "text", "text": "", "state": "done"} | about)
        elif type_ == "text-delta":
            self._parts["text", chunk["id"]]["text"] += chunk["delta"]
        elif type_ in _TOOL_STATES:
            self._tool(chunk)
        elif type_.startswith("data-"):
            known = self._parts.get((type_, chunk["id"]))
            if known is not None:
                known["data"] = chunk["data"]
            else:
                self._put((type_, chunk["id"]), dict(chunk))
        elif type_ == "start-step":
            self._put(("step", ""), {"type": "step-start"})
        elif type_ in _AS_THEY_ARE:
            self._put((type_, chunk.get("url", "")), dict(chunk))
        if "messageMetadata" in chunk:
            self.message["metadata"] |= chunk["messageMetadata"]

    def _tool(self, chunk: Chunk) -> None:
        key = ("tool", chunk["toolCallId"])
        if key not in self._parts:
            names = {"toolName": chunk["toolName"], "toolCallId": chunk["toolCallId"]}
            self._put(key, {"type": "dynamic-tool"} | names)
        self._parts[key]["state"] = _TOOL_STATES[chunk["type"]]
        self._parts[key] |= {name: chunk[name] for name in _OF_TOOL if name in chunk}

    def _put(self, key: tuple[str, str], part: dict[str, Any]) -> None:
        self._parts[key] = part
        self.message["parts"].append(part)
