"""Wherever a client of AG-UI attaches, it comes to the same: judged by the stock packages, which
check each event and the sequence, and fold them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from faces.agui_agent import CLIENTS, NEWEST, VERSIONS
from npm_packages import installed, node
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.log.event_log import EventLog
from stepwire_core.log.stored_state import StoredState
from stepwire_core.redis.standalone import open_store
from stepwire_core.settings import Settings
from stepwire_core.wire.events import (
    delta_event,
    remove_event,
    run_end_event,
    run_start_event,
)
from stepwire_core.wire.words import TextField
from stepwire_gateway.faces.agui.attaching import CameBack
from stepwire_gateway.faces.agui.dialect import COPILOTKIT, OLDER, V1, Dialect
from stepwire_gateway.faces.agui.mapping import AgUiMapping
from stepwire_gateway.faces.agui.teller import AgUiClient
from stepwire_gateway.faces.events import FaceEvent, Scope
from stepwire_gateway.faces.retelling import retold
from stepwire_gateway.hub.snapshot_writer import write
from stepwire_gateway.hub.written_snapshot import WrittenSnapshot
from stepwire_gateway.prefix import Prefix
from vectors.record import SESSION, Recorder, Story
from vectors.stories import RUN, STORIES, a_message, a_run_at, element, end, start, update

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.process]

Tape = list[tuple[FaceEvent | None, WrittenSnapshot]]
Frames = list[dict[str, Any]]

DIALECTS = {"@ag-ui/client": V1, "agui59": COPILOTKIT, "agui45": OLDER}
packages = pytest.mark.parametrize(
    "package", [NEWEST, *(pytest.param(one, marks=pytest.mark.long) for one in VERSIONS[:-1])]
)


class Taper(Recorder):
    """Keeps each event of a session, and the snapshot after it."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log)
        self.tape: Tape = []

    async def _read(self) -> None:
        before = len(self.frames)
        await super()._read()
        if len(self.frames) == before:
            return
        stored = await self._log.read_stored(SESSION, None)
        assert isinstance(stored, StoredState)
        snapshot = await write(stored, Prefix(None))
        event = self.frames[-1]["event"]
        is_snapshot = event["type"] == "snapshot"
        told = None if is_snapshot else FaceEvent(event["type"], event["data"], snapshot.cursor)
        self.tape.append((told, snapshot))

    async def join(self) -> None:
        self.tape.clear()
        await super().join()


@pytest.fixture
async def log(server: EmbeddedServer, settings: Settings) -> AsyncIterator[EventLog]:
    async with open_store(server.url) as store:
        yield EventLog(store, settings)


async def taped(log: EventLog, story: Story) -> Tape:
    taper = Taper(log)
    await taper.begin()
    try:
        await story(taper)
    finally:
        await log.delete(SESSION)
        await log.forget_deleted(SESSION)
    return taper.tape


def anything(seed: int) -> Story:
    """A session in which anything may happen to steps of all kinds, by chance."""

    async def story(story: Recorder) -> None:
        chance = random.Random(seed)
        await story.put(*a_message(story, "said", "go", run_id="r1"))
        await story.put(run_start_event(a_run_at(story.now())), by=RUN)
        running: dict[str, dict[str, Any]] = {}
        ended: dict[str, dict[str, Any]] = {}
        for number in range(30):
            await story.put(_next(story, chance, number, running, ended), by=RUN)
        for id_, fields in reversed(running.items()):
            await story.put(end(story, id_, **fields), by=RUN)
        await story.put(run_end_event(a_run_at(story.now(), status="ok")), by=RUN)

    return story


def _next(
    story: Recorder,
    chance: random.Random,
    number: int,
    running: dict[str, dict[str, Any]],
    ended: dict[str, dict[str, Any]],
) -> Any:
    what = chance.choice(
        ["start", "start", "delta", "delta", "delta", "update", "end", "remove", "file"]
    )
    if what == "start" or not running:
        id_ = f"s{number}"
        running[id_] = {
            "parent": chance.choice([None, *running, *ended]),
            "type": chance.choice(["assistant_message", "tool", "chain", "llm"]),
            "input": chance.choice(["", "plain", '{"a": 1']),
            "output": chance.choice(["", "begun"]),
        }
        return start(story, id_, **running[id_])
    id_ = chance.choice(list(running))
    fields = running[id_]
    if what == "delta":
        name: TextField = chance.choice(["input", "output"])
        piece, replace = chance.choice(["x", " y ", "😀", '"']), chance.random() < 0.1
        fields[name] = piece if replace else fields[name] + piece
        return delta_event(id_, piece, field=name, replace=replace)
    if what == "update":
        fields["output"] += chance.choice(["", "!"])
        return update(story, id_, **fields)
    if what == "file":
        return element(story, f"e{number}", id_, type="image", run_id="r1")
    if what == "remove" and chance.random() < 0.3:
        gone = [id_]
        for below, of_below in [*running.items(), *ended.items()]:
            if of_below["parent"] in gone:
                gone.append(below)
        for below in gone:
            running.pop(below, None)
            ended.pop(below, None)
        return remove_event(id_)
    ended[id_] = running.pop(id_)
    status = chance.choice(["ok", "ok", "error", "interrupted"])
    return end(story, id_, status=status, **fields)


async def told(
    tape: Tape,
    dialect: Dialect,
    *,
    run_id: str | None,
    begin: int = 0,
    stop: int | None = None,
    came_back: CameBack | None = None,
) -> Frames:
    """The frames of a stream that attaches at one moment, up to another."""
    client = AgUiClient("t", "r", dialect)
    mapping = AgUiMapping(client, run_id, follows=True, came_back=came_back)
    scope = Scope(run_id)
    frames: Frames = []

    async def retell(snapshot: WrittenSnapshot) -> None:
        async for event in retold(snapshot, scope):
            frames.extend(parsed(mapping.tell(event)))
        frames.extend(parsed(mapping.retold()))

    await retell(tape[begin][1])
    for event, snapshot in tape[begin + 1 : stop]:
        if event is None:
            await retell(snapshot)
            continue
        frames.extend(parsed(mapping.tell(event)))
        if mapping.is_stale:
            await retell(snapshot)
    if stop is None:
        frames.extend(parsed(mapping.left()))
    return frames


def parsed(frames: bytes) -> Frames:
    found = []
    for frame in frames.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        found.append(json.loads(fields["data"]) | ({"_id": fields["id"]} if "id" in fields else {}))
    return found


def judged(package: str, streams: Sequence[Frames]) -> list[dict[str, Any]]:
    """What the package makes of each stream."""
    script = str(CLIENTS.with_name("judge.mjs"))
    plain = [[{k: v for k, v in e.items() if k != "_id"} for e in stream] for stream in streams]
    asked = {"packages": str(installed(CLIENTS)), "package": package, "streams": plain}
    done = node(CLIENTS, script, stdin=json.dumps(asked))
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    assert any(one["messages"] for one in found), found
    return found


def same(package: str) -> Callable[[list[dict[str, Any]]], object]:
    """What of messages is the same wherever a client attaches: in the oldest version not their
    order, since a call that is told again comes last; and 0.0.59 keeps its activities where a
    snapshot has none."""
    if package == "agui59":
        return lambda messages: [m for m in messages if m["role"] != "activity"]
    if package == "agui45":
        return lambda messages: sorted(messages, key=lambda message: str(message["id"]))
    return lambda messages: messages


def moments(tape: Tape, package: str) -> range:
    """The moments to attach at: more of them in the newest version."""
    return range(0, len(tape), 2 if package == "@ag-ui/client" else 5)


@packages
async def test_attaching_at_any_moment_leads_to_the_same_session(
    log: EventLog, package: str
) -> None:
    # In one of them a step ends as one of another type, and a call comes last that was none.
    told_before = {name: story for name, story in STORIES.items() if name != "joined_midway"}
    stories = {**told_before, **{f"chance {seed}": anything(seed) for seed in range(2)}}
    streams, names = [], []
    for name, story in stories.items():
        tape = await taped(log, story)
        for begin in moments(tape, package):
            streams.append(await told(tape, DIALECTS[package], run_id=None, begin=begin))
            names.append((name, begin))
    found, wholes = judged(package, streams), dict[Any, dict[str, Any]]()
    for (name, begin), one in zip(names, found, strict=True):
        assert one["error"] is None, (name, begin, one["error"])
        whole = wholes.setdefault(name, one)
        assert same(package)(one["messages"]) == same(package)(whole["messages"]), (name, begin)


@packages
async def test_attaching_at_any_moment_leads_to_the_same_run(log: EventLog, package: str) -> None:
    streams, names = [], []
    for seed in range(100, 103):
        tape = await taped(log, anything(seed))
        for begin in moments(tape, package):
            streams.append(await told(tape, DIALECTS[package], run_id="r1", begin=begin))
            names.append((seed, begin))
    found, wholes = judged(package, streams), dict[Any, dict[str, Any]]()
    for (seed, begin), one in zip(names, found, strict=True):
        assert one["error"] is None, (seed, begin, one["error"])
        whole = wholes.setdefault(seed, one)
        assert same(package)(one["messages"]) == same(package)(whole["messages"]), (seed, begin)
        assert one["state"] == whole["state"], (seed, begin)


@packages
async def test_coming_back_with_the_last_id_leads_to_the_same(log: EventLog, package: str) -> None:
    """The client goes on with the checks of the stream that was cut: nothing begins twice, and what
    has ended meanwhile is closed."""
    streams, names = [], []
    for seed in range(200, 202):
        tape = await taped(log, anything(seed))
        whole = await told(tape, DIALECTS[package], run_id="r1")
        streams.append(whole)
        names.append((seed, 0, 0))
        for left in list(moments(tape, package))[1:-1]:
            back = min(len(tape) - 1, left + seed % 4 * 3)
            before = await told(tape, DIALECTS[package], run_id="r1", stop=left + 1)
            missed = [event for event, _ in tape[left + 1 :] if event is not None]
            came_back = CameBack(tape[left][1].cursor, missed)
            after = await told(
                tape, DIALECTS[package], run_id="r1", begin=back, came_back=came_back
            )
            if any(event.get("code") == "resync" for event in after):
                assert any(
                    e is not None and e.type == "step.remove" for e, _ in tape[left : back + 1]
                )
                continue
            streams.append(before + after)
            names.append((seed, left, back))
    found, wholes = judged(package, streams), dict[Any, dict[str, Any]]()
    for (seed, left, back), one in zip(names, found, strict=True):
        assert one["error"] is None, (seed, left, back, one["error"])
        whole_one = wholes.setdefault(seed, one)
        assert same(package)(one["messages"]) == same(package)(whole_one["messages"]), (seed, left)
        assert one["state"] == whole_one["state"], (seed, left)
