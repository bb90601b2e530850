"""What ``stepwire tail`` says while a message waits, and the tracebacks it shows on request."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from cli.session_events import Event as Raw
from cli.session_events import end, run_start, said, snapshot, start
from stepwire.client import Event, SessionTree, WaitingRun
from stepwire_cli.tail import waits
from stepwire_cli.tail.transcript import Transcript
from stepwire_cli.tail.waits import Waits, words


def as_event(number: int, raw: Raw) -> Event:
    name, data = raw
    return Event(f"1-{number}", name, data)


class FakeSession:
    def __init__(self, *answers: WaitingRun) -> None:
        self.answers = list(answers)

    def waiting(self) -> list[WaitingRun]:
        return self.answers[:1]


def run(waits_for: str | None, **fields: Any) -> WaitingRun:
    return WaitingRun(run_id="r1", waiting_since="", waits_for=waits_for, **fields)


def test_a_message_without_a_run_is_asked_about_and_its_beginning_ends_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waits, "ASK_EVERY_S", 0)
    told: list[str | None] = []
    heard = threading.Event()

    def tell(what: str | None) -> None:
        told.append(what)
        if what:
            heard.set()

    tree = SessionTree()
    session: Any = FakeSession(run("worker"))
    with Waits(session, tell) as watch:
        for number, raw in enumerate([snapshot(runs=[], steps=[]), said("m1", "hi")], 1):
            event = as_event(number, raw)
            tree.apply(event)
            watch.note(event, tree)
        assert heard.wait(10)
        assert "no worker is there" in str(told[-1])
        event = as_event(3, run_start("r1", message_id="m1"))
        tree.apply(event)
        watch.note(event, tree)
    assert told[-1] is None


def test_each_reason_has_its_words() -> None:
    assert words(run("turn", ahead=2)) == "waiting: 2 before it in this session"
    assert words(run("slot", ahead=7)) == "waiting: all workers are busy, 7 before it"
    assert words(run("time", due_at="2026-11-22T19:00:00.000Z")).endswith("19:00:00.000Z")
    assert words(run(None)) == "waiting: in the queue"
    assert words(run("a-newer-word")) == "waiting: a-newer-word"


@pytest.mark.parametrize("shown", [True, False])
def test_a_traceback_is_shown_on_request(shown: bool) -> None:
    lines: list[str] = []
    tree = SessionTree()
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback …\n  File x\x1b[31m"}
    with Transcript(tree, lines.append, tracebacks=shown) as transcript:
        for number, raw in enumerate(
            [snapshot(runs=[], steps=[]), start("s1"), end("s1", status="error", error=error)], 1
        ):
            transcript.apply(as_event(number, raw))
    text = "\n".join(lines)
    assert ("Traceback …" in text) is shown
    assert "\x1b" not in text
    assert "ValueError: no" in text
    assert json.dumps(text)
