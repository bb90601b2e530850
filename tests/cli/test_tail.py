"""``run_tail`` over a scripted stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Protocol

import pytest

from cli.session_events import Event, run_end, run_start, said, snapshot, start
from scripted import Reply, Script, problem, scripted, stream
from stepwire import client
from stepwire.client import NoAnswer, NotFound
from stepwire_cli.tail import live
from stepwire_cli.tail.transcript import Transcript

HELLO = [snapshot(runs=[], steps=[]), said("m1", "hi"), run_start("r1", message_id="m1")]
DONE = run_end("r1", message_id="m1")

Connection = list[Event] | Reply


class Scripting(Protocol):
    def __call__(self, *connections: Connection) -> Script: ...


@pytest.fixture
def gateway() -> Iterator[Scripting]:
    """Script a list of events, or another answer, for each connection."""
    with ExitStack() as stack:

        def script(*connections: Connection) -> Script:
            numbers = count(1)
            replies = [
                connection if isinstance(connection, Reply) else frames(connection, numbers)
                for connection in connections
            ]
            return stack.enter_context(scripted(*replies))

        yield script


def frames(events: list[Event], numbers: Iterator[int]) -> Reply:
    written = [f"id: 1-{next(numbers)}\nevent: {name}\ndata: {data}\n\n" for name, data in events]
    return stream("retry: 1\n\n", *written)


def follow(script: Script, *, after: str | None = None, until_idle: bool = True) -> bool:
    return live.run_tail("demo", url=script.url, after=after, until_idle=until_idle)


def interrupted_by(type_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes with the first event of a type."""
    apply = Transcript.apply

    def apply_or_leave(self: Transcript, event: client.Event) -> None:
        apply(self, event)
        if event.type == type_:
            raise KeyboardInterrupt

    monkeypatch.setattr(Transcript, "apply", apply_or_leave)


def test_it_leaves_when_the_run_of_the_message_is_over(
    gateway: Scripting, capsys: pytest.CaptureFixture[str]
) -> None:
    script = gateway([*HELLO, DONE])
    assert follow(script)
    assert capsys.readouterr().out.splitlines() == [
        "User:",
        "  hi",
        "▸ on_message",
        "✓ on_message 1.24 s",
    ]
    assert len(script.asked) == 1


def test_it_goes_on_from_the_last_cursor_after_the_stream_broke(
    gateway: Scripting, capsys: pytest.CaptureFixture[str]
) -> None:
    script = gateway(HELLO, Reply(is_silent=True), [], [start("a"), DONE])
    assert follow(script, after="1-0")
    assert script.cursors == ["1-0", "1-3", "1-3", "1-3"]
    assert capsys.readouterr().out.count("trying again") == 1


def test_a_run_that_failed_makes_the_answer_false(gateway: Scripting) -> None:
    assert not follow(gateway([*HELLO, run_end("r1", message_id="m1", status="error")]))


def test_a_gateway_that_never_answered_and_one_that_refuses_go_up(gateway: Scripting) -> None:
    script = gateway(Reply(is_silent=True))
    with pytest.raises(NoAnswer):
        follow(script)
    assert len(script.asked) == 1
    with pytest.raises(NotFound):
        follow(gateway(HELLO, problem(404, "session_not_found")))


def test_ctrl_c_is_the_normal_end_of_watching_and_130_before_the_session_is_idle(
    gateway: Scripting, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_by("run.start", monkeypatch)
    assert follow(gateway(HELLO), until_idle=False)
    with pytest.raises(SystemExit) as left:
        follow(gateway(HELLO))
    assert left.value.code == 130


def test_on_a_terminal_the_whole_tree_is_left_behind(
    gateway: Scripting,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "10")
    steps = [start(f"s{n}", parent_id="m1") for n in range(30)]
    assert follow(gateway([*HELLO, *steps, DONE]))
    printed = capsys.readouterr().out
    assert all(f"s{n}" in printed for n in range(30))
    assert printed.rstrip().splitlines()[-1].count("─ ") == 1


def test_an_empty_stream_says_why_and_once(
    gateway: Scripting, capsys: pytest.CaptureFixture[str]
) -> None:
    why = "limit_exceeded: more than 1 streams at a time"
    empty = stream(f": {why}\nretry: 1\n\n")
    assert follow(gateway(empty, empty, empty, [*HELLO, DONE]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"… the gateway says '{why}', trying again"
    assert lines[1:3] == ["User:", "  hi"]


def test_what_an_empty_stream_says_cannot_move_the_cursor_of_the_terminal(
    gateway: Scripting, capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow(gateway(stream(": a\x1b[2Jb\nretry: 1\n\n"), [*HELLO, DONE]))
    assert "\x1b" not in capsys.readouterr().out
