"""Events as chunks of the UI message stream, version 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stepwire_core.wire.words import ASSISTANT_MESSAGE, USER_MESSAGE
from stepwire_gateway.faces.mapping import data_frame
from stepwire_gateway.faces.told_texts import Texts
from stepwire_gateway.faces.tool_values import problem_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stepwire_gateway.faces.events import FaceEvent

Chunk = dict[str, Any]

DONE: Final = b"data: [DONE]\n\n"

_PARTS: Final = {
    "ask": "data-ask",
    "ask.end": "data-ask",
    "action.add": "data-action",
    "action.remove": "data-action",
    "element.remove": "data-element",
}
TOOL: Final = "tool"
_RETRIEVALS: Final = frozenset({"retrieval", "rerank"})
_WITHOUT_BYTES: Final = frozenset(
    {"tasklist", "custom", "settings", "sidebar", "chat_profile", "dataframe", "plotly"}
)
"""Elements that a page draws from their document; of some, from the bytes at its address, too."""

_MEDIA: Final = ("image/", "audio/", "video/")


class UiMessageMapping:
    """One run as the one message of an assistant, for one client.

    The message's id is the run's. A message of the run is a text part, a tool step a dynamic tool
    and a ``data-step``, any other step a ``data-step``, all in the order in which they have begun;
    a part that comes again with its id replaces the one that is there. Text streams by
    ``text-delta``; that of other steps as ``data-step-delta``, which is transient: the next
    ``data-step`` has all of it.

    No chunk is ever sent that an early release of ``ai`` 5 does not know, whose schemas are strict.
    """

    def __init__(self, run_id: str, address: Callable[[str], str] = lambda url: url) -> None:
        self.over = False
        self._run_id = run_id
        self._address = address
        self._has_begun = False
        self._texts = Texts()
        self._parts: dict[str, str] = {}
        """The ids of the text parts of messages: a text that is told anew is another part."""
        self._open: dict[str, None] = {}
        """The messages whose text parts are open."""
        self._kinds: dict[str, str] = {}
        """The types of the steps that have not ended, and of all messages."""
        self._inputs: dict[str, int] = {}
        """The hashes of the inputs of tools, as they were told."""
        self._asked: set[str] = set()
        """The messages that have started the run: their client has them."""
        self._files: set[str] = set()
        self._below: dict[str, dict[str, str]] = {}
        """The ids and types of the parts that go when a step goes, by that step."""

    # -- as a mapping ----------------------------------------------------------------------------

    def tell(self, event: FaceEvent) -> bytes:
        return self.encoded(self.chunks(event))

    def retold(self) -> bytes:
        return b""

    def left(self) -> None:
        """An end in order would look like the end of the answer."""
        return

    def encoded(self, chunks: Iterable[Chunk]) -> bytes:
        told = b"".join(map(data_frame, chunks))
        return told + DONE if self.over else told

    # -- chunks ----------------------------------------------------------------------------------

    def chunks(self, event: FaceEvent) -> Iterator[Chunk]:
        """An event as chunks of the protocol."""
        data = event.data
        match event.type:
            case "run.start" if data["run_id"] == self._run_id:
                yield from self._begin(data)
            case "run.end" if data["run_id"] == self._run_id and not data["will_retry"]:
                yield from self._end(data)
            case "step.start" | "step.update" | "step.end":
                yield from self._step(data, has_ended=event.has_ended)
            case "step.delta":
                yield from self._delta(data)
            case "step.remove":
                yield from self._remove(data["id"])
            case "element.add":
                yield from self._element(data)
            case type_ if (part := _PARTS.get(type_)) is not None:
                if type_.endswith(".remove"):
                    yield _removed(part, data["id"])
                else:
                    yield self._put(part, data, data["step_id"])

    def _begin(self, run: dict[str, Any]) -> Iterator[Chunk]:
        if self._has_begun:
            # Another attempt: what the earlier one has shown stays, as it does in the session.
            return
        self._has_begun = True
        yield {
            "type": "start",
            "messageId": self._run_id,
            "messageMetadata": {"run_id": self._run_id, "handler": run["handler"]},
        }
        yield {"type": "start-step"}

    def _end(self, run: dict[str, Any]) -> Iterator[Chunk]:
        self.over = True
        for id_ in list(self._open):
            yield from self._close(id_)
        status = run["status"]
        if status == "cancelled":
            yield {"type": "abort"}
        elif status != "ok":
            error = run["error"] or {}
            yield {"type": "error", "errorText": error.get("message") or f"the run is {status}"}
        yield {"type": "finish-step"}
        metadata = {"run_id": self._run_id, "status": status, "ended_at": run["ended_at"]}
        if run.get("usage"):
            metadata["usage"] = run["usage"]
        yield {"type": "finish", "messageMetadata": metadata}

    def _step(self, step: dict[str, Any], *, has_ended: bool) -> Iterator[Chunk]:
        id_, type_ = step["id"], step["type"]
        if type_ == USER_MESSAGE and step["attempt"] == 0:
            self._asked.add(id_)
        elif type_ == ASSISTANT_MESSAGE:
            yield from self._message(step, has_ended=has_ended)
        else:
            if type_ == TOOL:
                yield from self._tool(step, has_ended=has_ended)
            if has_ended:
                self._kinds.pop(id_, None)
            else:
                self._kinds[id_] = type_
            yield self._put("data-step", step, step["parent_id"])

    def _message(self, step: dict[str, Any], *, has_ended: bool) -> Iterator[Chunk]:
        id_ = step["id"]
        self._kinds[id_] = ASSISTANT_MESSAGE
        if step["parent_id"] is not None:
            self._below.setdefault(step["parent_id"], {})[id_] = "data-step"
        if id_ not in self._parts:
            yield self._open_part(id_, id_, step)
        missing = self._texts.missing(id_, step["output"], goes_on=step["ended_at"] is None)
        if missing.is_anew:
            yield from self._close(id_)
            yield self._open_part(id_, f"{self._parts[id_]}~", step, is_anew=True)
        if missing.text:
            yield from self._append(id_, missing.text, step)
        if has_ended and step["output"]:
            # An empty one has only been announced: its text is still to stream.
            yield from self._close(id_)

    def _delta(self, delta: dict[str, Any]) -> Iterator[Chunk]:
        id_, field, text = delta["id"], delta["field"], delta["text"]
        kind = self._kinds.get(id_)
        if kind is None:
            return
        if kind != ASSISTANT_MESSAGE or field != "output":
            yield {"type": "data-step-delta", "data": delta, "transient": True}
        elif delta.get("replace"):
            yield from self._replaced(id_, text)
        elif piece := self._texts.add(id_, text):
            yield from self._append(id_, piece)

    def _replaced(self, id_: str, text: str) -> Iterator[Chunk]:
        missing = self._texts.missing(id_, text)
        if missing.is_anew:
            yield from self._close(id_)
            yield self._open_part(id_, f"{self._parts[id_]}~", is_anew=True)
        if missing.text:
            yield from self._append(id_, missing.text)

    def _append(self, id_: str, text: str, step: dict[str, Any] | None = None) -> Iterator[Chunk]:
        if id_ not in self._open:
            # It goes on after its end.
            yield self._open_part(id_, f"{self._parts[id_]}~", step)
        yield {"type": "text-delta", "id": self._parts[id_], "delta": text}

    def _open_part(
        self,
        id_: str,
        part_id: str,
        step: dict[str, Any] | None = None,
        *,
        is_anew: bool = False,
    ) -> Chunk:
        self._parts[id_] = part_id
        self._open[id_] = None
        about: dict[str, Any] = {"id": id_}
        if step is not None:
            about |= {"parent_id": step["parent_id"], "name": step["name"]}
        if is_anew:
            about["anew"] = True
        return {"type": "text-start", "id": part_id, "providerMetadata": {"stepwire": about}}

    def _close(self, id_: str) -> Iterator[Chunk]:
        if id_ in self._open:
            del self._open[id_]
            yield {"type": "text-end", "id": self._parts[id_]}

    def _tool(self, step: dict[str, Any], *, has_ended: bool) -> Iterator[Chunk]:
        id_, given = step["id"], hash(step["input"])
        call = {"toolCallId": id_, "dynamic": True, "providerExecuted": True}
        if self._inputs.get(id_) != given:
            self._inputs[id_] = given
            name, value = step["name"], value_of(step["input"])
            yield call | {"type": "tool-input-available", "toolName": name, "input": value}
        if not has_ended:
            return
        if step["status"] == "ok":
            yield call | {"type": "tool-output-available", "output": value_of(step["output"])}
        else:
            text = problem_of(step, "step")
            yield call | {"type": "tool-output-error", "errorText": text}

    def _put(self, type_: str, document: dict[str, Any], above: str | None) -> Chunk:
        if above is not None:
            self._below.setdefault(above, {})[document["id"]] = type_
        return {"type": type_, "id": document["id"], "data": document}

    def _remove(self, id_: str) -> Iterator[Chunk]:
        # Not by calling itself: steps may be nested deeper than calls.
        gone = [(id_, "data-step")]
        while gone:
            id_, type_ = gone.pop()
            if type_ == "data-step":
                if id_ in self._parts:
                    yield from self._close(id_)
                self._kinds.pop(id_, None)
                gone += reversed(self._below.pop(id_, {}).items())
            yield _removed(type_, id_)

    def _element(self, element: dict[str, Any]) -> Iterator[Chunk]:
        id_, step_id = element["id"], element["step_id"]
        if step_id in self._asked:
            return
        url = self._address(element["url"])
        yield self._put("data-element", element | {"url": url}, step_id)
        if element["type"] in _WITHOUT_BYTES or id_ in self._files:
            return
        self._files.add(id_)
        mime, is_link = element["mime"], element["size"] is None and element["sha256"] is None
        if is_link and not mime.startswith(_MEDIA):
            yield {"type": "source-url", "sourceId": id_, "url": url, "title": element["name"]}
            return
        yield {"type": "file", "url": url, "mediaType": mime}
        if self._kinds.get(step_id) in _RETRIEVALS:
            name = element["name"]
            yield {"type": "source-document", "sourceId": id_, "mediaType": mime, "title": name}


def _removed(type_: str, id_: str) -> Chunk:
    return {"type": type_, "id": id_, "data": {"id": id_, "removed": True}}
