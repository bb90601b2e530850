"""The golden vectors (tests/vectors): current, complete, and what every fold in Python makes."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import stepwire_gateway
from sse import Received, View
from stepwire.client import Event, SessionTree
from stepwire.client._attached import ATTACHED_KINDS
from stepwire.client._tree_parts import StepNode
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_cli.tail.step_details import Belongings
from stepwire_cli.tail.transcript import Transcript
from stepwire_core.log import pieces
from stepwire_core.log.event_log import EventLog
from stepwire_core.log.stored_state import StoredState
from stepwire_core.redis.standalone import open_store
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.documents import Snapshot
from stepwire_core.wire.events import Event as LogEvent
from stepwire_core.wire.kinds import EVENTS, KINDS
from stepwire_core.wire.vocabulary import vocabulary, vocabulary_json
from stepwire_gateway.hub.snapshot_writer import write
from stepwire_gateway.prefix import Prefix
from vectors.record import FOLDER, Recorder, record, vectors, written
from vectors.stories import STORIES

pytestmark = pytest.mark.anyio

VECTORS = vectors()
NEWER = "newer_words"
every_vector = pytest.mark.parametrize("name", VECTORS)


@pytest.fixture
async def log(server: EmbeddedServer, settings: Settings) -> AsyncIterator[EventLog]:
    async with open_store(server.url) as store:
        yield EventLog(store, settings)


@pytest.fixture(params=STORIES)
async def recorder(request: pytest.FixtureRequest, log: EventLog) -> Recorder:
    return await record(log, STORIES[request.param])


def lists_of(view: dict[str, Any]) -> dict[str, Any]:
    names = (*(kind.list_name for kind in KINDS), "steps_before_runs")
    return {name: view[name] for name in names}


def told(view: dict[str, Any]) -> dict[str, Any]:
    """The lists, and what is summed of them."""
    return lists_of(view) | {"usage": view["usage"]}


# -- the files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STORIES)
async def test_a_log_and_its_reader_make_what_the_file_says(log: EventLog, name: str) -> None:
    story = STORIES[name]
    now = written(story, await record(log, story))
    assert now == (FOLDER / f"{name}.json").read_text(), "if that is meant: make vocabulary"


def test_there_is_a_file_for_each_story_and_no_other() -> None:
    assert set(VECTORS) == set(STORIES)


def test_every_event_type_is_in_a_vector() -> None:
    """A type that is added to the vocabulary must be added to a story: no fold can leave it out."""
    frames = [frame for vector in VECTORS.values() for frame in vector["frames"]]
    assert {frame["event"]["type"] for frame in frames} >= set(EVENTS)


def test_a_document_of_every_kind_is_in_a_view() -> None:
    views = [frame["view"] for vector in VECTORS.values() for frame in vector["frames"]]
    for kind in KINDS:
        assert any(view[kind.list_name] for view in views), kind.name


def test_the_vocabulary_that_is_served_is_that_of_the_table() -> None:
    path = Path(stepwire_gateway.__file__).parent / "public/vocabulary.json"
    assert path.read_text() == vocabulary_json(), "if that is meant: make vocabulary"


def test_a_snapshot_has_a_list_for_every_kind() -> None:
    for kind in KINDS:
        assert Snapshot.model_fields[kind.list_name].annotation == list[kind.model]  # type: ignore[name-defined]


@every_vector
def test_events_and_views_keep_to_their_schemas(name: str) -> None:
    whole = vocabulary()
    # Each is made once: a schema is checked and its references are looked up when it is made.
    views = Draft202012Validator(whole | {"$ref": "#/$defs/Snapshot"})
    by_type = {
        type_: Draft202012Validator(whole | about["data"])
        for type_, about in whole["events"].items()
    }
    for frame in VECTORS[name]["frames"]:
        event = frame["event"]
        if name == NEWER and event["type"] != "snapshot":
            # Words of a newer version are none of these.
            continue
        by_type[event["type"]].validate(event["data"])
        views.validate(frame["view"])


# -- the folds ----------------------------------------------------------------------------------


async def test_the_gateway_writes_the_same_snapshot(log: EventLog) -> None:
    for name, story in STORIES.items():
        recorder = Recorder(log)
        await recorder.begin()
        await story(recorder)
        stored = await log.read_stored("demo", None)
        assert isinstance(stored, StoredState)
        snapshot = b"".join((await write(stored, Prefix(None))).parts())
        assert told(json.loads(snapshot)) == told(recorder.frames[-1]["view"]), name
        await log.delete("demo")


async def test_a_state_that_is_read_in_pieces_is_the_same(recorder: Recorder) -> None:
    """From every moment on, with all that followed; but where a step was removed, which is said."""
    for at, state in enumerate(recorder.states):
        followed = [
            LogEvent(
                Cursor.parse(frame["event"]["id"]),
                frame["event"]["type"],
                "",
                json.dumps(frame["event"]["data"], ensure_ascii=False, separators=(",", ":")),
            )
            for frame in recorder.frames[at + 1 :]
        ]
        folded = dict(state)
        is_told = pieces.fold(folded, followed)
        assert is_told == all(event.type != "step.remove" for event in followed)
        if is_told:
            assert documents(folded) == documents(recorder.states[-1])


def documents(state: dict[bytes, bytes]) -> dict[bytes, tuple[bytes, bytes, Any]]:
    """The fields of the kinds that this version knows, parsed."""
    prefixes = {kind.prefix.encode() for kind in KINDS}
    found = {}
    for name, value in state.items():
        if name[:2] in prefixes:
            order, parent, document = value.split(b" ", 2)
            found[name] = (order, parent, json.loads(document))
    return found


def frames_of(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The events as a client sees them that drops what comes again, and the views after them."""
    for frame in VECTORS[name]["frames"]:
        if "again" not in frame:
            yield copy.deepcopy(frame["event"]), frame["view"]


@every_vector
def test_the_model_of_the_tests_has_the_view(name: str) -> None:
    view = View()
    for event, expected in frames_of(name):
        view.fold(Received(Cursor.parse(event["id"]), event["type"], event["data"], ""))
        assert view.same_as(expected), event
        assert str(view.cursor) == expected["cursor"]


@every_vector
def test_the_client_has_the_view(name: str) -> None:
    tree = SessionTree()
    for frame in VECTORS[name]["frames"]:
        event, expected = frame["event"], frame["view"]
        tree.apply(Event(event["id"], event["type"], json.dumps(event["data"])))
        assert tree.snapshot() == lists_of(expected), event
        assert tree.usage.model_dump() == expected["usage"], event
        assert tree.cursor == expected["cursor"]
        late = SessionTree()
        late.apply(Event(expected["cursor"], "snapshot", json.dumps(expected)))
        assert order_of(late) == order_of(tree), "a client that comes now has another order"
    assert tree.unread.total() == 0


def order_of(tree: SessionTree) -> list[tuple[type, str]]:
    """Runs and steps from top to bottom."""
    return [
        (type(row.node), row.node.document.id)
        if isinstance(row.node, StepNode)
        else (type(row.node), row.node.document.run_id)
        for row in tree.rows()
    ]


@every_vector
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda tree: pickle.loads(pickle.dumps(tree))],  # noqa: S301
    ids=["deepcopy", "pickle"],
)
def test_a_copy_of_the_clients_tree_folds_on(
    name: str, copied: Callable[[SessionTree], SessionTree]
) -> None:
    tree = SessionTree()
    for frame in VECTORS[name]["frames"]:
        event, expected = frame["event"], frame["view"]
        tree = copied(tree)
        tree.apply(Event(event["id"], event["type"], json.dumps(event["data"])))
        assert tree.snapshot() == lists_of(expected), event


@every_vector
def test_the_terminal_has_the_view(name: str) -> None:
    tree, lines = SessionTree(), list[str]()
    transcript = Transcript(tree, lines.append)
    for event, expected in frames_of(name):
        transcript.apply(Event(event["id"], event["type"], json.dumps(event["data"])))
        for id_, step in tree.steps.items():
            below = [
                item
                for kind in ATTACHED_KINDS
                for item in expected[kind.list_name]
                if item[kind.parent_field] == id_
            ]
            found = [item for items in step.attached.values() for item in items.values()]
            assert [item.model_dump(mode="json") for item in found] == below
            assert len(list(Belongings(tree).of(step))) == len(below), "each of them has a line"
    assert tree.unread.total() == 0
    assert lines
