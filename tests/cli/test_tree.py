"""The fold of a session's events, and how it is drawn."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from cli.session_events import (
    LATER,
    Event,
    delta,
    end,
    message,
    numbered,
    remove,
    run,
    run_end,
    run_start,
    said,
    snapshot,
    start,
    step,
)
from stepwire.client import RunNode, SessionTree, StepNode
from stepwire_cli.printable import duration, one_line, printable
from stepwire_cli.tail.drawing import Drawing
from stepwire_cli.tail.transcript import Transcript

NOW_S = datetime.fromisoformat(LATER).timestamp()
FAILED = {"status": "error", "error": {"type": "ValueError", "message": "boom!"}}


def tree_of(*events: Event) -> SessionTree:
    tree = SessionTree()
    for type_, data in events:
        tree.apply(numbered(type_, data))
    return tree


def shape(tree: SessionTree) -> list[str]:
    """The rows as ids, indented by a dot a level."""
    shown = []
    for row in tree.rows():
        depth, at = 0, row
        while at.parent is not None:
            depth, at = depth + 1, at.parent
        node = row.node
        id_ = node.document.id if isinstance(node, StepNode) else node.document.run_id
        shown.append("." * depth + id_)
    return shown


def drawn(
    tree: SessionTree, *, width: int = 60, fold: int | None = None, height: int | None = None
) -> list[str]:
    console = Console(width=width, height=24, file=io.StringIO())
    drawing = Drawing(tree, console, now_s=NOW_S, spinner="*", fold=fold)
    lines = drawing.lines() if height is None else drawing.latest_lines(height)
    for line in lines:
        assert line.cell_len < width
        assert "\n" not in line.plain
    return [line.plain.rstrip() for line in lines]


def is_idle(tree: SessionTree) -> bool:
    return tree.idle


def told(*events: Event) -> list[str]:
    lines: list[str] = []
    transcript = Transcript(SessionTree(), lines.append)
    for type_, data in events:
        transcript.apply(numbered(type_, data))
    return lines


# -- the fold ------------------------------------------------------------------------------------


def test_steps_nest_and_siblings_keep_the_order_of_their_start() -> None:
    tree = tree_of(
        start("a"),
        start("b", parent_id="a"),
        start("c", parent_id="b"),
        start("d", parent_id="a"),
        start("e"),
        end("b", parent_id="a"),
    )
    assert shape(tree) == ["a", ".b", "..c", ".d", "e"]


def test_a_step_whose_parent_is_not_there_stands_at_the_top_until_it_comes() -> None:
    tree = tree_of(start("early", parent_id="p"), start("other"))
    assert shape(tree) == ["early", "other"]
    tree.apply(numbered(*start("p")))
    assert shape(tree) == ["other", "p", ".early"]


def test_steps_that_name_each_other_as_parents_are_all_shown() -> None:
    tree = tree_of(
        start("a", parent_id="b"),
        start("b", parent_id="a"),
        start("c", parent_id="b"),
        start("self", parent_id="self"),
    )
    assert shape(tree) == ["a", "b", ".c", "self"]


def test_a_tree_may_be_deeper_than_the_interpreter_recurses() -> None:
    tree = tree_of(*[start(f"s{n}", parent_id=f"s{n - 1}") for n in range(1500)])
    assert len(shape(tree)) == 1500
    assert len(drawn(tree, fold=20, height=20)) == 20


def test_deltas_append_to_the_field_they_name_or_replace_it() -> None:
    tree = tree_of(start("a", output="so "), delta("a", "far "), delta("a", "so good"))
    assert tree.steps["a"].text("output") == "so far so good"
    tree.apply(numbered(*delta("a", "all ", replace=True)))
    tree.apply(numbered(*delta("a", "new")))
    assert tree.steps["a"].text("output") == "all new"
    tree.apply(numbered(*delta("a", "question", field="input")))
    assert tree.steps["a"].text("input") == "question"
    assert tree.apply(numbered(*delta("a", "?", field="metadata"))) == ()


@pytest.mark.parametrize("type_", ["step.start", "step.update", "step.end"])
def test_a_whole_step_takes_the_place_of_what_has_streamed(type_: str) -> None:
    tree = tree_of(start("a"), start("b"), delta("a", "streamed"))
    tree.apply(numbered(type_, end("a", output="final", name="renamed")[1]))
    assert tree.steps["a"].text("output") == "final"
    assert tree.steps["a"].document.name == "renamed"
    assert shape(tree) == ["a", "b"]


def test_deltas_after_the_end_still_append() -> None:
    tree = tree_of(start("a"), end("a", output="done"), delta("a", "!"))
    assert tree.steps["a"].text("output") == "done!"


def test_a_step_may_move_below_another_parent() -> None:
    tree = tree_of(start("a"), start("b"), ("step.update", start("a", parent_id="b")[1]))
    assert shape(tree) == ["b", ".a"]


def test_removing_a_step_removes_all_below_it() -> None:
    tree = tree_of(
        start("a"), start("b", parent_id="a"), start("c", parent_id="b"), start("d", parent_id="x")
    )
    removed = tree.apply(numbered(*remove("a")))
    assert [node.document.id for node in removed if isinstance(node, StepNode)] == ["a", "b", "c"]
    assert shape(tree) == ["d"]


def test_removing_a_step_that_never_came_removes_what_waits_for_it() -> None:
    assert shape(tree_of(start("a", parent_id="p"), remove("p"))) == []


def test_what_comes_for_a_removed_step_changes_nothing() -> None:
    tree = tree_of(start("a"), remove("a"))
    assert tree.apply(numbered(*delta("a", "late"))) == ()
    assert tree.apply(numbered(*remove("a"))) == []
    assert shape(tree) == []


def test_a_snapshot_replaces_everything() -> None:
    tree = tree_of(start("old"), run_start("r0"), delta("old", "text"))
    tree.apply(numbered(*snapshot(runs=[run("r1")], steps=[step("a"), step("b", parent_id="a")])))
    assert shape(tree) == ["r1", "a", ".b"]
    assert set(tree.runs) == {"r1"}
    tree.apply(numbered(*delta("a", "goes on")))
    assert tree.steps["a"].text("output") == "goes on"


def test_events_and_fields_that_are_not_known_change_nothing() -> None:
    tree = tree_of(start("a", colour="green"))
    assert tree.apply(numbered("step.applause", '{"id": "a"}')) == ()
    assert tree.apply(numbered("step.applause", "not even json")) == ()
    tree.apply(numbered(*delta("a", "x", emphasis=True)))
    assert tree.steps["a"].text("output") == "x"


@pytest.mark.parametrize("data", ["{", "[]", "{}", "null", "1", '{"id": []}'])
@pytest.mark.parametrize(
    "type_", ["snapshot", "step.start", "step.remove", "run.end", "step.delta"]
)
def test_an_event_of_another_form_is_counted_and_changes_nothing(type_: str, data: str) -> None:
    tree = tree_of(start("a"))
    assert tree.apply(numbered(type_, data)) == ()
    assert tree.unread == {type_: 1}
    assert set(tree.steps) == {"a"}


def test_a_document_that_cannot_be_read_costs_a_snapshot_only_itself() -> None:
    tree = SessionTree()
    type_, data = snapshot(runs=[run("r1")], steps=[step("a"), step("b")])
    content = json.loads(data)
    content["steps"][0]["default_open"] = None
    content["steps"][1]["status"] = "paused"
    tree.apply(numbered(type_, json.dumps(content)))
    assert (set(tree.steps), set(tree.runs)) == ({"b"}, {"r1"})
    assert tree.unread == {"snapshot": 1}


def test_what_a_newer_version_says_is_shown_as_it_is() -> None:
    lines: list[str] = []
    tree = SessionTree()
    transcript = Transcript(tree, lines.append)
    transcript.apply(numbered(*run_start("r1", status="paused")))
    transcript.apply(numbered(*start("a", status="paused")))
    transcript.apply(numbered("step.start", '{"id": "b"}'))
    asked = {
        "id": "ask",
        "session_id": "s",
        "run_id": None,
        "attempt": 1,
        "step_id": "a",
        "kind": "signature",
        "started_at": "2026-11-22T19:00:00.000Z",
        "expires_at": "2026-11-22T19:00:00.000Z",
        "ts": "2026-11-22T19:00:00.000Z",
    }
    transcript.apply(numbered("ask", json.dumps(asked)))
    transcript.apply(numbered("ask.end", json.dumps(asked | {"status": "declined"})))
    shown = "\n".join(lines)
    assert "? paused" in shown
    assert "left out: 1 of what came as 'step.start'" in shown
    assert "'signature'" in shown
    assert "declined" in shown
    assert tree.open_runs == {"r1"}


def test_a_run_stands_with_its_message_or_at_the_top() -> None:
    tree = tree_of(
        run_start("chat", handler="on_chat_start"),
        start("hello"),
        said("m1", "hi"),
        run_start("r1", message_id="m1"),
        start("agent", parent_id="m1"),
    )
    assert shape(tree) == ["chat", "hello", "m1", ".agent"]
    run_of_message = tree.run_of(tree.steps["m1"])
    assert isinstance(run_of_message, RunNode)
    assert run_of_message.document.run_id == "r1"
    tree.apply(numbered(*run_end("r1", message_id="m1", **FAILED)))
    assert shape(tree)[-2:] == [".agent", ".r1"]


# -- idle ----------------------------------------------------------------------------------------


def test_a_session_without_runs_is_not_idle() -> None:
    assert not tree_of(snapshot(runs=[], steps=[])).idle
    assert not tree_of(start("a"), end("a")).idle


def test_a_session_is_idle_when_its_last_run_has_ended() -> None:
    tree = tree_of(run_start("r1"), run_start("r2"), run_end("r2"))
    assert not is_idle(tree)
    tree.apply(numbered(*run_end("r1")))
    assert is_idle(tree)
    assert tree_of(snapshot(runs=[run("r1", status="ok")], steps=[])).idle


def test_a_message_whose_run_has_not_begun_keeps_the_session_from_being_idle() -> None:
    tree = tree_of(run_start("chat"), said("m1", "hi"), run_end("chat"))
    assert not is_idle(tree)
    tree.apply(numbered(*run_start("r1", message_id="m1")))
    assert not is_idle(tree)
    tree.apply(numbered(*run_end("r1", message_id="m1")))
    assert is_idle(tree)


def test_a_message_that_was_removed_keeps_nobody_waiting() -> None:
    tree = tree_of(run_start("chat"), said("m1", "hi"), run_end("chat"), remove("m1"))
    assert is_idle(tree)


def test_an_attempt_that_will_be_tried_again_keeps_the_run_open() -> None:
    tree = tree_of(run_start("r1"), run_end("r1", status="interrupted", will_retry=True))
    assert not is_idle(tree)
    assert not tree.failed
    tree.apply(numbered(*run_start("r1", attempt=2)))
    tree.apply(numbered(*run_end("r1", attempt=2)))
    assert is_idle(tree)
    assert not tree.failed


@pytest.mark.parametrize("status", ["error", "cancelled", "interrupted"])
def test_a_run_that_ended_in_anything_but_ok_has_failed(status: str) -> None:
    assert tree_of(run_start("r1"), run_end("r1", status=status), run_end("r2")).failed
    assert not tree_of(run_start("r1"), run_end("r2")).failed


# -- drawing -------------------------------------------------------------------------------------

CONVERSATION: list[Event] = [
    said("m1", "hello"),
    run_start("r1", message_id="m1"),
    start("agent", parent_id="m1", type="run"),
    start("search", parent_id="agent", tags=["eu"]),
    end("search", parent_id="agent", tags=["eu"], output='{\n    "hits": 2\n}', language="json"),
    start("gpt4", parent_id="agent", type="llm"),
    delta("gpt4", "the quick"),
]


def test_a_running_tree_shows_marks_times_tags_and_what_streams() -> None:
    assert drawn(tree_of(*CONVERSATION), fold=20) == [
        "▶ User  * on_message  1.2 s",
        "│ hello",
        "└─ * agent  run  1.2 s",
        "   ├─ ✓ search  tool  1.24 s  #eu",
        '   │    { "hits": 2 }',
        "   └─ * gpt4  llm  1.2 s",
        "        the quick",
    ]


def test_only_what_is_meant_to_be_faint_is_faint() -> None:
    console = Console(width=60, file=io.StringIO())
    hello, text = Drawing(tree_of(*CONVERSATION), console, now_s=NOW_S).lines()[1::5]
    for line, words in (hello, "hello"), (text, "the quick"):
        at = line.plain.index(words)
        assert not line.style
        assert not [
            span for span in line.spans if span.start <= at < span.end and "dim" in str(span)
        ]


def test_a_step_that_has_the_result_of_an_earlier_attempt_says_so() -> None:
    kept = {"attempt": 2, "from_attempt": 1, "output": "found", "parent_id": "m1"}
    events = [*CONVERSATION[:2], start("fetch", **kept), end("fetch", **kept)]
    [line] = [line for line in drawn(tree_of(*events)) if "fetch" in line]
    assert line.endswith("✓ fetch  tool  1.24 s  result of attempt 1")
    lines = list[str]()
    transcript = Transcript(SessionTree(), lines.append)
    for type_, data in events:
        transcript.apply(numbered(type_, data))
    assert any("(result of attempt 1)" in line for line in lines)


def test_what_steps_and_runs_have_used_stands_with_them() -> None:
    one = {"input_tokens": 1204, "output_tokens": 380, "cost": 0.01234, "model": "m"}
    events = [
        *CONVERSATION[:2],
        start("ask", parent_id="m1"),
        end("ask", parent_id="m1", usage=one),
        run_end("r1", message_id="m1", usage={"input_tokens": 2000, "output_tokens": 0, "cost": 0}),
    ]
    lines = drawn(tree_of(*events), width=80)
    assert "▶ User  ✓ on_message  1.24 s  2,000 in" in lines
    assert any(
        line.endswith("✓ ask  tool  1.24 s  1,204 in, 380 out, cost 0.0123") for line in lines
    )
    told = list[str]()
    transcript = Transcript(SessionTree(), told.append)
    for type_, data in events:
        transcript.apply(numbered(type_, data))
    assert any(line.endswith("1.24 s (1,204 in, 380 out, cost 0.0123)") for line in told)
    assert any(line.endswith("on_message 1.24 s (2,000 in)") for line in told)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        ({"done": 3, "total": 12, "text": "a\x1b[31m\nb"}, "████░░░░░░░░░░░░ 25%  3 of 12  a b"),
        ({"done": 1204, "total": None, "text": None}, "1,204"),
        ({"done": 0, "total": 0, "text": None}, "0 of 0"),
        ({"done": 2.5, "total": 2, "text": None}, "████████████████ 100%  2.5 of 2"),
        ({"done": 1, "total": -1, "text": None}, "1 of -1"),
        ({"done": float("nan"), "total": 3, "text": None}, "nan of 3"),
    ],
)
def test_how_far_a_step_is_stands_below_it_while_it_runs(
    progress: dict[str, Any], line: str
) -> None:
    tree = tree_of(*CONVERSATION[:2], start("import", parent_id="m1"))
    tree.apply(numbered("step.update", json.dumps(step("import", parent_id="m1"))))
    tree.apply(numbered("step.update", json.dumps(step("import", progress=progress))))
    assert any(shown.strip() == line for shown in drawn(tree, width=80)), drawn(tree, width=80)
    tree.apply(numbered(*end("import", progress=progress)))
    assert not any(line in shown for shown in drawn(tree, width=80))


def test_a_failed_run_says_why_in_the_step_and_at_its_end() -> None:
    tree = tree_of(
        *CONVERSATION[:3],
        end("agent", parent_id="m1", type="run", **FAILED),
        run_end("r1", message_id="m1", attempt=2, **FAILED),
    )
    assert drawn(tree) == [
        "▶ User  ✗ on_message  1.24 s  attempt 2",
        "│ hello",
        "├─ ✗ agent  run  1.24 s",
        "│    ValueError: boom!",
        "└─ ✗ on_message  1.24 s  attempt 2",
        "     ValueError: boom!",
    ]


@pytest.mark.parametrize(("status", "mark"), [("cancelled", "⊘"), ("interrupted", "!")])
def test_every_way_to_end_has_its_mark(status: str, mark: str) -> None:
    assert drawn(tree_of(end("a", status=status)))[0].startswith(f"{mark} a")


def test_a_message_that_no_worker_has_taken_up_says_so() -> None:
    assert "waiting for a worker" in drawn(tree_of(said("m1", "hi")))[0]


def test_the_input_is_shown_when_the_step_wants_it() -> None:
    hidden, shown = end("a", input="why?"), end("a", input="why?", show_input=True)
    assert drawn(tree_of(hidden)) == ["✓ a  tool  1.24 s"]
    assert drawn(tree_of(shown)) == ["✓ a  tool  1.24 s", "  → why?"]


def test_markup_and_escape_sequences_are_text_or_nothing() -> None:
    evil = "[red]x[/red] \x1b[2J\x1b]0;title\x07\x9b31m\x07\b:smile:\r\nnext\u202e"
    tree = tree_of(
        end(
            "a",
            name=evil,
            type=evil,
            tags=[evil],
            output=evil,
            input=evil,
            show_input=evil,
            language=evil,
            error={"type": evil, "message": evil},
        ),
        said("m1", evil, name=evil),
        run_start("r9", handler=evil),
    )
    console = Console(
        width=200, file=(out := io.StringIO()), force_terminal=True, color_system=None
    )
    for line in Drawing(tree, console, now_s=NOW_S).lines():
        console.print(line, soft_wrap=True)
    assert "[red]x[/red] :smile:" in out.getvalue()
    assert not set(out.getvalue()) & set("\x1b\x07\b\r\x9b\u202e")
    lines = told(end("a", name=evil, output=evil, show_input=True, input=evil), said("m1", evil))
    assert not set("".join(lines)) & set("\x1b\x07\b\r\n\x9b\u202e")


def test_halves_of_a_character_that_came_apart_are_put_together() -> None:
    tree = tree_of(start("a"), delta("a", "\ud83d"))
    assert drawn(tree)[1] == "  \ufffd"
    tree.apply(numbered(*delta("a", "\ude00")))
    assert drawn(tree)[1] == "  😀"


def test_a_stream_shows_its_last_lines_and_is_whole_when_it_has_ended() -> None:
    text = "".join(f"line {n}\n" for n in range(30))
    tree = tree_of(start("a"), delta("a", text))
    assert drawn(tree, fold=20) == ["* a  tool  1.2 s", "  ⋮"] + [
        f"  line {n}" for n in range(25, 30)
    ]
    tree.apply(numbered(*end("a", output=text)))
    assert drawn(tree, fold=20)[1:] == [f"  line {n}" for n in range(5)] + ["  ⋮ 25 more lines"]
    assert len(drawn(tree)) == 31


def test_a_tree_taller_than_the_terminal_shows_its_end_and_where_that_stands() -> None:
    tree = tree_of(
        *CONVERSATION, *[start(f"s{n}", parent_id="agent", name=f"s{n}") for n in range(30)]
    )
    lines = drawn(tree, fold=10, height=10)
    assert len(lines) == 10
    assert lines[:2] == ["⋮ → User → agent", "   ├─ * s21  tool  1.2 s"]
    assert lines[-1] == "   └─ * s29  tool  1.2 s"


def test_a_text_whose_head_is_above_is_named() -> None:
    tree = tree_of(start("a0"), end("a0"), end("a", type="assistant_message", output="x\n" * 30))
    assert drawn(tree, fold=30, height=5) == ["⋮ → a", "  x", "  x", "  x", "  x"]


def test_what_goes_on_is_shown_though_something_finished_stands_below() -> None:
    finished = [said(f"n{n}", "bye", run_id="r0") for n in range(10)]
    tree = tree_of(run_start("r0"), run_end("r0"), *CONVERSATION, *finished)
    lines = drawn(tree, fold=8, height=8)
    assert len(lines) == 8
    assert lines[-2:] == ["   └─ * gpt4  llm  1.2 s", "        the quick"]


@pytest.mark.parametrize("width", [30, 41, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    wide: list[Any] = [
        start(f"w{n}", parent_id=f"w{n - 1}", name="長い名前" * 9, output="文書😀 " * 99)
        for n in range(12)
    ]
    tree = tree_of(*wide, said("m1", "x" * 500))
    assert drawn(tree, width=width)
    assert len(drawn(tree, width=width, fold=12, height=12)) == 12


# -- text ----------------------------------------------------------------------------------------


def test_lines_stay_and_controls_go() -> None:
    assert printable("a\tb\r\nc\rd\x00\x7f\x85e") == "a   b\nc\nd\ne"
    assert printable("unfinished \x1b]0;rest") == "unfinished 0;rest"
    assert one_line(" two\n lines ") == "two lines"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.34, "340 ms"), (1.24, "1.24 s"), (12.34, "12.3 s"), (125, "2 m 05 s"), (3720, "1 h 02 m")],
)
def test_durations_are_said_in_their_own_unit(seconds: float, words: str) -> None:
    ended_at = datetime.fromtimestamp(1000 + seconds, UTC).isoformat()
    started_at = datetime.fromtimestamp(1000, UTC).isoformat()
    assert duration(started_at, ended_at, 0) == words
    assert duration("whenever", ended_at, 0) == ""


# -- plain lines ---------------------------------------------------------------------------------


def test_without_a_terminal_every_start_and_end_is_a_line_with_the_whole_text() -> None:
    lines = told(
        *CONVERSATION,
        delta("gpt4", " brown"),
        end("gpt4", parent_id="agent", type="llm", output="the quick brown\nfox"),
        end("agent", parent_id="m1", type="run", **FAILED),
        run_end("r1", message_id="m1", **FAILED),
    )
    assert lines == [
        "User:",
        "  hello",
        "▸ on_message",
        "  ▸ agent (run) …",
        "    ▸ search (tool) #eu …",
        "    ✓ search (tool) #eu 1.24 s",
        "      {",
        '          "hits": 2',
        "      }",
        "    ▸ gpt4 (llm) …",
        "    ✓ gpt4 (llm) 1.24 s",
        "      the quick brown",
        "      fox",
        "  ✗ agent (run) 1.24 s ValueError: boom!",
        "✗ on_message 1.24 s ValueError: boom!",
    ]


def test_a_snapshot_tells_only_what_was_not_told() -> None:
    again = snapshot(
        runs=[run("r1", message_id="m1")],
        steps=[message("m1", "hello"), step("new", parent_id="m1")],
    )
    assert told(said("m1", "hello"), run_start("r1", message_id="m1"), again, again) == [
        "User:",
        "  hello",
        "▸ on_message",
        "  ▸ new (tool) …",
    ]
