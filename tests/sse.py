"""The reader of Server-Sent Events for all tests, strict, and a view that is folded from them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

from stepwire.client import Event, SessionTree
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import KINDS, SNAPSHOT

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
        frames = Frames()
        async for text in response.aiter_text():
            for received in frames.read(text):
                yield received
        frames.end()


@contextmanager
def reading(
    client: httpx.Client, path: str, *, after: str | None = None, **options: Any
) -> Generator[Iterator[Received], None, None]:
    """The same for a test without an event loop; ``options`` are those of the request."""
    headers = options.pop("headers", {}) | ({"Last-Event-ID": after} if after else {})
    with client.stream("GET", path, headers=headers, **options) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield _received(response.iter_text())


def _received(texts: Iterator[str]) -> Iterator[Received]:
    frames = Frames()
    for text in texts:
        yield from frames.read(text)
    frames.end()


def first_of(stream: Iterator[Received], type_: str) -> Received:
    """The next event of this type."""
    for event in stream:
        if event.type == type_:
            return event
    raise AssertionError(f"the stream ended before a {type_}")


class Frames:
    """Takes the text of a stream apart, however it is cut."""

    def __init__(self) -> None:
        self._waiting = ""

    def read(self, text: str) -> Iterator[Received]:
        """The events that this piece completes."""
        assert "\r" not in text
        *blocks, self._waiting = (self._waiting + text).split("\n\n")
        for block in blocks:
            if (received := event_of(block)) is not None:
                yield received

    def end(self) -> None:
        assert self._waiting == "", "the stream ended inside a frame"


def event_of(block: str) -> Received | None:
    """An event, or None for a comment or a retry hint."""
    fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
    if "data" not in fields:
        assert set(fields) in ({"retry"}, {"id"}, set()), block
        return None
    assert list(fields) == ["id", "event", "data"], block
    return Received(Cursor.parse(fields["id"]), fields["event"], json.loads(fields["data"]), block)


class View:
    """A client's view, folded from events by :class:`stepwire.client.SessionTree`, strictly.

    Everything must be readable, and nothing may come twice.
    """

    def __init__(self, cursor: Cursor | None = None) -> None:
        self.cursor = cursor
        self._tree = SessionTree()

    @property
    def lists(self) -> dict[str, dict[str, dict[str, Any]]]:
        """For each list of a snapshot, its documents by id."""
        snapshot = self._tree.snapshot()
        return {
            kind.list_name: {item[kind.id_field]: item for item in snapshot[kind.list_name]}
            for kind in KINDS
        }

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return self.lists["steps"]

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        return self.lists["runs"]

    def fold(self, event: Received) -> None:
        before, self.cursor = self._tree.cursor, event.cursor
        self._tree.apply(Event(str(event.cursor), event.type, json.dumps(event.data)))
        assert event.type == SNAPSHOT or self._tree.cursor != before, f"it came before: {event}"
        assert self._tree.unread.total() == 0, event

    def same_as(self, snapshot: dict[str, Any]) -> bool:
        """Whether this is what a fresh client is shown."""
        return all(snapshot[name] == mine for name, mine in self._tree.snapshot().items())

    def __repr__(self) -> str:
        return f"View({self._tree.snapshot()}, {self.cursor})"


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
