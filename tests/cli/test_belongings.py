"""Elements, asks and feedback in the terminal: what is shown of them, and how one answers."""

from __future__ import annotations

import io
import json
from datetime import datetime

import pytest
from rich.console import Console

from cli.session_events import (
    LATER,
    Event,
    add,
    ask,
    ask_end,
    asked,
    button,
    element,
    end,
    numbered,
    rated,
    remove,
    said,
    snapshot,
    start,
    step,
)
from stepwire.client import SessionTree
from stepwire_cli.printable import size
from stepwire_cli.tail.drawing import Drawing
from stepwire_cli.tail.transcript import Transcript

NOW_S = datetime.fromisoformat(LATER).timestamp()
QUESTION = end("q", type="assistant_message", name="Assistant", output="Go on?")
ACTIONS = [
    {"id": "a-yes", "name": "yes", "label": "Yes, go on"},
    {"id": "a-no", "name": "no", "label": "no"},
]


def tree_of(*events: Event) -> SessionTree:
    tree = SessionTree()
    for type_, data in events:
        tree.apply(numbered(type_, data))
    return tree


def drawn(*events: Event, width: int = 120, url: str = "http://127.0.0.1:8000") -> list[str]:
    console = Console(width=width, height=24, file=io.StringIO())
    drawing = Drawing(tree_of(*events), console, now_s=NOW_S, url=url)
    lines = drawing.lines()
    assert all(line.cell_len < width for line in lines)
    return [line.plain.strip() for line in lines]


def told(*events: Event) -> list[str]:
    lines: list[str] = []
    transcript = Transcript(SessionTree(), lines.append, "http://gateway/")
    for type_, data in events:
        transcript.apply(numbered(type_, data))
    return [line.strip() for line in lines]


def test_an_element_is_shown_with_name_type_size_and_address() -> None:
    lines = drawn(
        end("a"),
        add("cat", "a"),
        add("elsewhere", "a", type="pdf", size=None, url="https://example.com/x.pdf"),
    )
    assert lines[1:] == [
        "▤ cat.png (image, 48.2 kB) http://127.0.0.1:8000/v1/sessions/demo/elements/cat",
        "▤ elsewhere.png (pdf) https://example.com/x.pdf",
    ]


def test_an_element_is_told_once_after_the_words_of_its_message() -> None:
    lines = told(
        add("cat", None),
        ("step.start", said("m", "look", status="running", ended_at=None)[1]),
        add("cat", "m"),
        said("m", "look"),
        said("m", "look"),
    )
    assert lines == [
        "User:",
        "look",
        "▤ cat.png (image, 48.2 kB) http://gateway/v1/sessions/demo/elements/cat",
    ]


def test_an_element_moves_to_the_step_it_is_sent_with_and_goes_with_it() -> None:
    tree = tree_of(start("a"), start("b"), add("cat", None))
    assert not tree.steps["a"].elements
    tree.apply(numbered(*add("cat", "a")))
    tree.apply(numbered(*add("cat", "b")))
    assert (list(tree.steps["a"].elements), list(tree.steps["b"].elements)) == ([], ["cat"])
    tree.apply(numbered(*remove("b")))
    assert tree.apply(numbered("element.remove", json.dumps({"id": "cat"}))) == ()
    tree.apply(numbered(*add("dog", "a")))
    tree.apply(numbered("element.remove", json.dumps({"id": "dog"})))
    assert not tree.steps["a"].elements


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "? waits for a text, 59 s left: stepwire answer demo 'TEXT'"),
        (
            {"kind": "action", "actions": ACTIONS},
            "? choose one of yes “Yes, go on”, no, 59 s left: stepwire answer demo yes",
        ),
        (
            {"kind": "file", "accept": ["image/*"], "max_files": 2, "max_bytes": 1048},
            (
                "? waits for up to 2 files of at most 1.0 kB (image/*), 59 s left: "
                "stepwire answer demo --file PATH"
            ),
        ),
    ],
)
def test_an_open_question_says_what_it_waits_for_and_how_to_answer(
    fields: dict[str, object], line: str
) -> None:
    assert drawn(QUESTION, asked("x", "q", **fields))[-1] == line


def test_of_several_questions_each_says_its_id_and_another_gateway_is_named() -> None:
    events = QUESTION, asked("0123456789", "q"), asked("abcdef0123", "q")
    lines = drawn(*events, url="http://other:1")[-2:]
    assert [line.partition("'TEXT' ")[2] for line in lines] == [
        "--ask 01234567 --url http://other:1",
        "--ask abcdef01 --url http://other:1",
    ]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"answer": {"id": "1", "message_id": "1"}}, "✓ answered"),
        (
            {"kind": "action", "actions": ACTIONS, "answer": {"id": "1", "action_id": "a-no"}},
            "✓ answered: no",
        ),
        ({"kind": "file", "answer": {"id": "1", "elements": ["e"]}}, "✓ answered with 1 file"),
        ({"status": "timeout"}, "⊘ no answer came in time"),
        ({"status": "cancelled"}, "⊘ cancelled before anybody answered"),
        ({"status": "interrupted"}, "! interrupted before anybody answered"),
    ],
)
def test_how_a_question_ended_is_said_in_tree_and_lines(
    fields: dict[str, object], line: str
) -> None:
    events = QUESTION, asked("x", "q"), ask_end("x", "q", **fields)
    assert drawn(*events)[-1] == line
    assert told(*events)[-2:] == [
        "? waits for a text: stepwire answer demo 'TEXT' --url http://gateway",
        line,
    ]


def test_feedback_is_shown_replaced_and_taken_back() -> None:
    assert drawn(end("a"), rated("a", 1))[-1] == "+ rated good"
    assert drawn(end("a"), rated("a", 1), rated("a", 0, "too\nshort"))[1:] == [
        "- rated not good: too short"
    ]
    assert drawn(end("a"), rated("a", 1), rated("a", None))[1:] == []
    assert told(end("a"), rated("a", 1), rated("a", 1), rated("a", None), rated("a", 1))[1:] == [
        "+ rated good",
        "feedback taken back",
        "+ rated good",
    ]


def test_buttons_are_shown_for_as_long_as_they_are_there() -> None:
    gone = "action.remove", json.dumps({"id": "go"})
    events = end("a"), button("go", "a"), button("no", "a", label="No,\nstop")
    assert drawn(*events)[1:] == ["▸ [go]", "▸ [No, stop] no"]
    assert drawn(*events, gone)[1:] == ["▸ [No, stop] no"]
    assert told(*events, gone)[1:] == ["▸ [go]", "▸ [No, stop] no"]


def test_a_list_of_tasks_is_shown_anew_when_it_changes() -> None:
    def tasks(*statuses: str) -> Event:
        lines = [{"title": f"task\n{at}", "status": each} for at, each in enumerate(statuses)]
        return add("t", "a", type="tasklist", size=None, props={"status": "Busy", "tasks": lines})

    begun, done = tasks("running", "ready"), tasks("done", "new")
    assert drawn(end("a"), begun, done)[1:] == ["▤ Busy: ✓ task 0 ? task 1"]
    assert told(end("a"), begun, begun, done)[1:] == [
        "▤ Busy: ▸ task 0 ○ task 1",
        "▤ Busy: ✓ task 0 ? task 1",
    ]


def test_a_snapshot_brings_all_of_it_and_nothing_that_belongs_to_no_step() -> None:
    whole = snapshot(
        runs=[],
        steps=[step("a", status="ok", ended_at=LATER)],
        elements=[element("cat", "a"), element("upload", None)],
        asks=[ask("x", "a"), ask("y", "gone")],
        feedback=[json.loads(rated("a", 1)[1]), json.loads(rated("gone", 1)[1])],
    )
    tree = tree_of(start("old"), asked("old", "old"), whole)
    assert [ask.id for ask in tree.open_asks] == ["x"]
    assert [line[0] for line in drawn(start("old"), asked("old", "old"), whole)] == list("✓▤?+")


def test_what_others_wrote_is_obeyed_neither_by_the_terminal_nor_by_a_shell() -> None:
    evil = "x\x1b]0;t\x07'; rm -rf ~ #\n"
    action = {"id": "1", "name": evil, "label": evil}
    events = (
        end("a"),
        add("e", "a", name=evil, type=evil, url=evil),
        asked("q", "a", kind="action", actions=[action]),
        rated("a", 0, evil),
    )
    for lines in drawn(*events), told(*events):
        assert not set("".join(lines)) & set("\x1b\x07\n")
        [command] = [line for line in lines if "stepwire answer" in line]
        assert """'x'"'"'; rm -rf ~ #'""" in command


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_097_152, "2.1 MB"), (10**13, "10000.0 GB")],
)
def test_sizes_are_said_in_their_own_unit(size_bytes: int, words: str) -> None:
    assert size(size_bytes) == words
