"""A strict reader of Server-Sent Events, and the fold that every client does (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from stepwire_core.cursor import Cursor

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


_KEYS = {
    "steps": "id",
    "runs": "run_id",
    "elements": "id",
    "asks": "id",
    "feedback": "step_id",
}
_PUTS = {
    "step.start": "steps",
    "step.update": "steps",
    "step.end": "steps",
    "run.start": "runs",
    "run.end": "runs",
    "element.add": "elements",
    "ask": "asks",
    "ask.end": "asks",
    "feedback": "feedback",
}


@dataclass
class View:
    """What a client shows, folded from events."""

    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    elements: dict[str, dict[str, Any]] = field(default_factory=dict)
    asks: dict[str, dict[str, Any]] = field(default_factory=dict)
    feedback: dict[str, dict[str, Any]] = field(default_factory=dict)
    cursor: Cursor | None = None

    def fold(self, event: Received) -> None:
        data = event.data
        if event.type == "snapshot":
            for name, key in _KEYS.items():
                setattr(self, name, {item[key]: item for item in data[name]})
        elif event.type == "step.delta":
            if step := self.steps.get(data["id"]):
                old = "" if data.get("replace") else step[data["field"]]
                step[data["field"]] = old + data["text"]
        elif event.type == "step.remove":
            self._remove(data["id"])
        elif event.type == "element.remove":
            self.elements.pop(data["id"], None)
        elif event.type in _PUTS:
            name = _PUTS[event.type]
            getattr(self, name)[data[_KEYS[name]]] = data
            if event.type == "feedback" and data["value"] is None:
                del self.feedback[data["step_id"]]
        self.cursor = event.cursor

    def _remove(self, step_id: str) -> None:
        self.steps.pop(step_id, None)
        for belongings in (self.elements, self.asks, self.feedback):
            for key in [k for k, v in belongings.items() if v["step_id"] == step_id]:
                del belongings[key]
        for child in [s["id"] for s in self.steps.values() if s["parent_id"] == step_id]:
            self._remove(child)

    def same_as(self, snapshot: dict[str, Any]) -> bool:
        """Whether this is what a fresh client is shown."""
        return all(list(getattr(self, name).values()) == snapshot[name] for name in _KEYS)


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
