"""A strict reader of Server-Sent Events, and the fold that every client does (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import httpx

from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import EVENTS, KINDS, STEP, Kind

LIMIT_S = 30


@dataclass(frozen=True, slots=True)
class Received:
    """An event as it came over the wire."""

    cursor: Cursor
    type: str
    data: dict[str, Any]
    raw: str


async def events(
    client: httpx.AsyncClient, path: str, *, after: str | None = None
) -> AsyncGenerator[Received, None]:
    """Events until the server closes the stream."""
    headers = {"Last-Event-ID": after} if after else {}
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        waiting = ""
        async for text in response.aiter_text():
            assert "\r" not in text
            waiting += text
            *blocks, waiting = waiting.split("\n\n")
            for block in blocks:
                if (received := event_of(block)) is not None:
                    yield received
        assert waiting == "", "the stream ended inside a frame"


def event_of(block: str) -> Received | None:
    """An event, or None for a comment or a retry hint."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    if "data" not in fields:
        assert set(fields) in ({"retry"}, {"id"}, set()), block
        return None
    assert list(fields) == ["id", "event", "data"], block
    return Received(Cursor.parse(fields["id"]), fields["event"], json.loads(fields["data"]), block)


_LISTS: Final = {kind.list_name: kind for kind in KINDS}


class View:
    """A client's view, folded from events: for each list of a snapshot, its documents by id."""

    def __init__(self, cursor: Cursor | None = None) -> None:
        self.lists: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _LISTS}
        self.cursor = cursor

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return self.lists["steps"]

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        return self.lists["runs"]

    @property
    def elements(self) -> dict[str, dict[str, Any]]:
        return self.lists["elements"]

    def fold(self, event: Received) -> None:
        self.cursor = event.cursor
        if (type_ := EVENTS.get(event.type)) is None:
            return
        data = event.data
        match type_.effect:
            case "replace":
                for name, kind in _LISTS.items():
                    self.lists[name] = {item[kind.id_field]: item for item in data[name]}
            case "text":
                if step := self.steps.get(data["id"]):
                    old = "" if data.get("replace") else step[data["field"]]
                    step[data["field"]] = old + data["text"]
            case "remove" if type_.kind is STEP:
                self._remove(data["id"])
            case "remove" if type_.kind:
                self.lists[type_.kind.list_name].pop(data["id"], None)
            case "put" if type_.kind:
                self._put(type_.kind, data)

    def _put(self, kind: Kind, data: dict[str, Any]) -> None:
        documents, id_ = self.lists[kind.list_name], data[kind.id_field]
        if kind.removing_field and data[kind.removing_field] is None:
            documents.pop(id_, None)
        else:
            documents[id_] = data

    def _remove(self, step_id: str) -> None:
        self.steps.pop(step_id, None)
        for name, kind in _LISTS.items():
            if kind.parent_field and kind is not STEP:
                documents = self.lists[name]
                for key in [k for k, v in documents.items() if v[kind.parent_field] == step_id]:
                    del documents[key]
        for child in [s["id"] for s in self.steps.values() if s["parent_id"] == step_id]:
            self._remove(child)

    def same_as(self, snapshot: dict[str, Any]) -> bool:
        """Whether this is what a fresh client is shown."""
        return all(list(self.lists[name].values()) == snapshot[name] for name in _LISTS)

    def __repr__(self) -> str:
        return f"View({self.lists}, {self.cursor})"


class Client:
    """A browser's worth of client: notes, folds, and goes on from the last id when it reads again.

    ``after`` is the cursor it comes with.
    """

    def __init__(self, after: Cursor | None = None) -> None:
        self.received: list[Received] = []
        self.view = View(cursor=after)
        self.connected = asyncio.Event()
        self.underway = asyncio.Event()
        """Set by the first token."""

    async def read(
        self,
        http: httpx.AsyncClient,
        path: str,
        enough: Callable[[Received], bool] = lambda _: False,
    ) -> list[Received]:
        """Read until an event is enough, or the stream ends; all that it has ever received."""
        after = str(self.view.cursor) if self.view.cursor else None
        async with aclosing(events(http, path, after=after)) as stream:
            async for event in stream:
                self.received.append(event)
                self.view.fold(event)
                self.connected.set()
                if event.type == "step.delta":
                    self.underway.set()
                if enough(event):
                    break
        return self.received


def assert_dense(received: list[Received]) -> None:
    """Ids rise by one; an epoch begins with a snapshot."""
    for before, after in pairwise(received):
        if after.type == "snapshot":
            continue
        assert after.cursor == (before.cursor.epoch, before.cursor.seq + 1)


def is_empty_stream(text: str, code: str) -> bool:
    """Whether a stream has no events, says why, and tells an EventSource to come back."""
    return re.fullmatch(rf": {code}: [^\n]+\nretry: 3000\n\n", text) is not None
