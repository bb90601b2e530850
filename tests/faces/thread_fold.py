"""The fold of a thread's events, as ``@langchain/langgraph-sdk`` does it."""

from __future__ import annotations

import json
from typing import Any


class ThreadFold:
    """The messages and calls of a thread as the stream has told them so far."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        messages = [] if state is None else state["values"]["messages"]
        self.sealed: dict[str, str] = {one["id"]: one["content"] for one in messages}
        """What the state had, of which no pieces are taken."""
        self.texts: dict[str, str] = dict(self.sealed)
        """Of the messages, by their ids, in the order of the thread."""
        self.calls: dict[str, Any] = {}
        self.states: list[str] = []
        """Of the runs, each once."""
        self._open: set[str] = set()
        self._finished: set[str] = set()
        self._dropped: set[str] = set()
        self._named: set[str] = set(self.sealed)
        self._known: set[str] = set()

    def take(self, encoded: bytes) -> None:
        for frame in encoded.decode().split("\n\n")[:-1]:
            event = json.loads(frame.removeprefix("data: "))
            id_ = event.get("event_id")
            if id_ in self._known:
                continue
            if id_ is not None:
                self._known.add(id_)
            self._event(event["method"], event["params"])

    def _event(self, method: str, params: dict[str, Any]) -> None:
        data = params["data"]
        if method == "messages":
            self._message(params["node"], data)
        elif method == "values":
            named = [message["id"] for message in data["messages"]]
            gone = self._named - set(named)
            rest = [id_ for id_ in self.texts if id_ not in named and id_ not in gone]
            self.texts = {id_: self.texts.get(id_, "") for id_ in named + rest}
            self._named = set(named)
        elif method == "tools":
            if data["event"] == "tool-started":
                self.calls[data["tool_call_id"]] = None
            else:
                self.calls[data["tool_call_id"]] = data.get("output") or data.get("message")
        elif method == "lifecycle" and not params["namespace"]:
            self.states.append(data["event"])
            self._close(unfinished=data["event"] != "running")

    def _message(self, id_: str, data: dict[str, Any]) -> None:
        if id_ in self._dropped or id_ in self.sealed:
            return
        kind = data["event"]
        if kind == "message-start":
            self.texts[id_] = ""
            self._open.add(id_)
        elif id_ not in self._open:
            return
        elif kind in ("content-block-start", "content-block-finish"):
            self.texts[id_] = data["content"].get("text", "")
        elif kind == "content-block-delta":
            self.texts[id_] += data["delta"]["text"]
        elif kind == "message-finish":
            self._open.discard(id_)
            self._finished.add(id_)

    def _close(self, *, unfinished: bool) -> None:
        """What no ``values`` has named goes: all when a run begins, the unfinished at its end."""
        self._open.clear()
        for id_ in self.texts.keys() - self._named:
            if not (unfinished and id_ in self._finished):
                del self.texts[id_]
                self._dropped.add(id_)
