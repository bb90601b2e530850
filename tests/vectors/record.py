"""Records what a log makes of a story: each event, and the view after it, as the state has it.

A golden vector is a JSON file::

    {"about": "…", "frames": [{"event": {"id", "type", "data"}, "view": <a snapshot>, "again"?}, …]}

``event`` is a frame of the session's stream, ``view`` what a client must have after it: the same
object that the gateway answers at that cursor. ``again``: the frame comes a second time, which a
client finds out by its id. The first event of each is a ``snapshot``, as for any new client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from event_log import Writer, client_of
from stepwire_core.errors import SessionNotFound
from stepwire_core.log.event_log import Batch, EventLog
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.documents import Snapshot
from stepwire_core.wire.events import NewEvent

FOLDER: Final = Path(__file__).parent
SESSION: Final = "demo"
FIRST_EPOCH: Final = 1_763_837_100_000
"""Stands for the first epoch of a log, whose own is the time at which it began."""

Story = Callable[["Recorder"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Author:
    """Writes events: an attempt of a run, or a gateway."""

    run_id: str = ""
    attempt: int = 0


GATEWAY: Final = Author()


class Recorder:
    """One session whose stream is read along, event by event."""

    def __init__(self, log: EventLog) -> None:
        self.frames: list[dict[str, Any]] = []
        self.states: list[dict[bytes, bytes]] = []
        """The stored state after each frame."""
        self._log = log
        self._writers: dict[Author, Writer] = {}
        self._cursor: Cursor | None = None
        self._epochs: dict[int, int] = {}
        self._seconds = count()

    def now(self) -> str:
        """The time of the story: a second later with every question."""
        return f"2026-11-22T19:00:{next(self._seconds):02}.000Z"

    async def begin(self) -> None:
        """Make the session, and read it for the first time."""
        with suppress(SessionNotFound):
            # Another test has left one of this name on the server.
            await self._log.delete(SESSION)
            await self._log.forget_deleted(SESSION)
        await self._log.append(Batch(SESSION, (), create=True))
        await self._read()

    async def put(self, *events: NewEvent, by: Author = GATEWAY) -> None:
        """Append these one by one."""
        for event in events:
            await self._writer(by).put(event)
            await self._read()

    async def repeat(self, event: NewEvent, by: Author = GATEWAY) -> None:
        """Append the author's last event once more, as after an answer that was lost."""
        await self._writer(by).repeat(event)
        await self._read()

    async def answer(self, *events: NewEvent, ask: str) -> None:
        """Append what answers an ask, in one call."""
        batch = Batch(SESSION, events, producer=f"m/{ask}", answers=ask)
        await self._log.append(batch)
        await self._read()

    async def keep(self, *events: NewEvent, by: Author) -> None:
        """Append what makes no event."""
        before = len(self.frames)
        await self.put(*events, by=by)
        assert len(self.frames) == before

    def hear_again(self) -> None:
        """The last frame comes a second time."""
        self._note(self.frames[-1]["event"], self.frames[-1]["view"], self.states[-1])
        self.frames[-1]["again"] = True

    async def join(self) -> None:
        """Forget what was heard: a client comes only now."""
        self.frames.clear()
        self.states.clear()
        self._cursor = None
        await self._read()

    async def lose_the_server(self) -> None:
        """Go on in another process of the server, in a new epoch."""
        await client_of(self._log.store).execute_command("FUNCTION FLUSH")

    def _writer(self, by: Author) -> Writer:
        name = f"{by.run_id or 'gateway'}-{by.attempt}"
        new = Writer(self._log, SESSION, run_id=by.run_id, attempt=by.attempt, name=name)
        return self._writers.setdefault(by, new)

    async def _read(self) -> None:
        read = await self._log.read(SESSION, self._cursor)
        snapshot = await self._log.snapshot(SESSION)
        view = self._view(snapshot)
        [state] = await self._log.store.read(command("HGETALL", SessionKeys.of(SESSION).state))
        self._cursor = Cursor.parse(snapshot.cursor)
        if isinstance(read, Snapshot):
            self._note({"id": view["cursor"], "type": "snapshot", "data": view}, view, state)
            return
        for event in read.events:
            # Each is put by itself: else this would not be the view after it.
            assert event.cursor == self._cursor
            data = json.loads(event.data)
            self._note({"id": view["cursor"], "type": event.type, "data": data}, view, state)

    def _note(self, event: dict[str, Any], view: dict[str, Any], state: dict[bytes, bytes]) -> None:
        self.frames.append({"event": event, "view": view})
        self.states.append(state)

    def _view(self, snapshot: Snapshot) -> dict[str, Any]:
        cursor = self._id(Cursor.parse(snapshot.cursor))
        return snapshot.model_dump(mode="json") | {"cursor": cursor}

    def _id(self, cursor: Cursor) -> str:
        known = self._epochs.setdefault(cursor.epoch, FIRST_EPOCH + len(self._epochs) * 100_000)
        return f"{known}-{cursor.seq}"


async def record(log: EventLog, story: Story) -> Recorder:
    """The story as it comes out of this log; the session is gone afterwards."""
    recorder = Recorder(log)
    await recorder.begin()
    try:
        await story(recorder)
    finally:
        await log.delete(SESSION)
        await log.forget_deleted(SESSION)
    return recorder


def written(story: Story, recorder: Recorder) -> str:
    """The vector as its file has it: a line for each event and each view."""
    about = re.sub(r"\s+", " ", (story.__doc__ or "").strip())
    frames = []
    for frame in recorder.frames:
        parts = [f" {json.dumps(name)}: {_line(value)}" for name, value in frame.items()]
        frames.append("{\n" + ",\n".join(parts) + "\n}")
    return f'{{\n"about": {_line(about)},\n"frames": [\n' + ",\n".join(frames) + "\n]\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def vectors() -> dict[str, dict[str, Any]]:
    """All vectors, by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
