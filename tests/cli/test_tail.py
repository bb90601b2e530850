"""``run_tail`` over a scripted stream."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator

import pytest
from httpx_sse import ServerSentEvent
from stepwire_cli.client import GatewayRefused, StreamLost

from cli.session_events import Event, run_end, run_start, said, snapshot, start
from stepwire_cli.tail import live
from stepwire_core.errors import StoreUnavailable

Connection = list[Event | BaseException]
URL = "http://gateway"

HELLO: list[Event | BaseException] = [
    snapshot(runs=[], steps=[]),
    said("m1", "hi"),
    run_start("r1", message_id="m1"),
]
DONE = run_end("r1", message_id="m1")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str | None]]:
    """Script one list of events and errors a connection; the cursors that were sent."""

    def script(*connections: Connection) -> list[str | None]:
        cursors: list[str | None] = []
        waiting, seq = iter(connections), itertools.count(1)

        def read_events(
            session: str, *, url: str, token: str | None, after: str | None
        ) -> Generator[ServerSentEvent, None, None]:
            cursors.append(after)
            for item in next(waiting):
                if isinstance(item, BaseException):
                    raise item
                yield ServerSentEvent(event=item[0], data=item[1], id=f"1-{next(seq)}")
            raise StreamLost

        monkeypatch.setattr(live, "read_events", read_events)
        monkeypatch.setattr(live, "_BACKOFF_S", (0.0, 0.0))
        return cursors

    return script


def follow(*, after: str | None = None, until_idle: bool = True) -> bool:
    return live.run_tail("demo", url=URL, after=after, until_idle=until_idle)


def test_it_leaves_when_the_run_of_the_message_is_over(
    gateway: Callable[..., list[str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway([*HELLO, DONE, AssertionError("read on")])
    assert follow()
    assert capsys.readouterr().out.splitlines() == [
        "User:",
        "  hi",
        "▸ on_message",
        "✓ on_message 1.24 s",
    ]


def test_it_goes_on_from_the_last_cursor_after_the_stream_broke(
    gateway: Callable[..., list[str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    cursors = gateway(HELLO, [StoreUnavailable("gone")], [], [start("a"), DONE])
    assert follow(after="1-0")
    assert cursors == ["1-0", "1-3", "1-3", "1-3"]
    assert capsys.readouterr().out.count("trying again") == 1


def test_a_run_that_failed_makes_the_answer_false(
    gateway: Callable[..., list[str | None]],
) -> None:
    gateway([*HELLO, run_end("r1", message_id="m1", status="error")])
    assert not follow()


def test_a_gateway_that_never_answered_and_one_that_refuses_go_up(
    gateway: Callable[..., list[str | None]],
) -> None:
    gateway([StoreUnavailable("no gateway answers")])
    with pytest.raises(StoreUnavailable):
        follow()
    gateway(HELLO, [GatewayRefused("no such session")])
    with pytest.raises(GatewayRefused):
        follow()


def test_ctrl_c_is_the_normal_end_of_watching_and_130_before_the_session_is_idle(
    gateway: Callable[..., list[str | None]],
) -> None:
    gateway([*HELLO, KeyboardInterrupt()])
    assert follow(until_idle=False)
    gateway([*HELLO, KeyboardInterrupt()])
    with pytest.raises(SystemExit) as left:
        follow()
    assert left.value.code == 130


def test_on_a_terminal_the_whole_tree_is_left_behind(
    gateway: Callable[..., list[str | None]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "10")
    gateway([*HELLO, *[start(f"s{n}", parent_id="m1") for n in range(30)], DONE])
    assert follow()
    printed = capsys.readouterr().out
    assert all(f"s{n}" in printed for n in range(30))
    assert printed.rstrip().splitlines()[-1].count("─ ") == 1


def test_an_empty_stream_says_why_and_once(
    gateway: Callable[..., list[str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    why = "limit_exceeded: more than 1 streams at a time"
    hint: Event = ("", "")
    gateway(*[[hint, StreamLost(why)] for _ in range(3)], [*HELLO, DONE])
    assert follow()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"… the gateway says '{why}', trying again"
    assert lines[1:3] == ["User:", "  hi"]


def test_what_an_empty_stream_says_cannot_move_the_cursor_of_the_terminal(
    gateway: Callable[..., list[str | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway([StreamLost("a\x1b[2Jb")], [*HELLO, DONE])
    assert follow()
    assert "\x1b" not in capsys.readouterr().out
