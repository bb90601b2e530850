"""The inspector's page in a browser: what it shows, and how that came to be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import (
    ConsoleMessage,
    Dialog,
    Error,
    FilePayload,
    Locator,
    Page,
    expect,
)

from stack import Gateway, wait_until

RECORDER = Path(__file__).with_name("recorder.js")
LIMIT_S = 15

expect.set_options(timeout=LIMIT_S * 1000)

Shown = dict[str, Any]


class Inspector:
    """A tab with the inspector; ``complaints`` has those of its console that were not expected."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._expected: str | None = None
        page.set_default_timeout(LIMIT_S * 1000)
        # So high that the window of the list has all that small sessions have.
        page.set_viewport_size({"width": 1280, "height": 2400})
        page.add_init_script(path=RECORDER)
        page.on("console", self._hear)
        page.on("pageerror", self._fail)
        page.on("dialog", self._refuse)

    def expect_complaints(self, containing: str) -> None:
        """The console says so itself when a request fails or a policy holds."""
        self._expected = containing

    def open(self, gateway: Gateway, session_id: str, token: str | None = None) -> None:
        """Show a session, and return when its stream has begun."""
        fragment = "" if token is None else f"#token={token}"
        self.page.goto(f"{gateway.url}/?{urlencode({'session': session_id})}{fragment}")
        self.wait_for_snapshot()

    def reload(self) -> None:
        self.page.reload()
        self.wait_for_snapshot()

    def wait_for_snapshot(self) -> None:
        self.wait_for_connection("live")
        wait_until(lambda: self.recorded("snapshots") > 0, "the snapshot", LIMIT_S)

    def wait_for_connection(self, connection: str) -> None:
        expect(self.status).to_have_attribute("data-connection", connection)

    def send(self, content: str) -> None:
        """Write a message into the box, as a person does."""
        self.page.locator(".talk-box").fill(content)
        self.page.keyboard.press("Enter")

    def expand(self) -> None:
        """Show all that steps have put out."""
        self.page.get_by_role("button", name="Expand all").click()

    @property
    def status(self) -> Locator:
        return self.page.locator("#status")

    def message(self, text: str) -> Locator:
        """The message with this text."""
        return self.page.locator(".message", has_text=text)

    @property
    def gaps(self) -> int:
        return int(self.status.get_attribute("data-gaps") or "-1")

    def recorded(self, what: str) -> Any:
        """``seen``, ``connections``, ``streams`` or ``snapshots``: see recorder.js."""
        return self.page.evaluate("(what) => recorded[what]", what)

    def steps(self) -> list[Shown]:
        """The steps on the page now, from top to bottom."""
        steps: list[Shown] = self.page.evaluate("() => recorded.steps()")
        return steps

    def output(self, name: str) -> str:
        """The text of the only step of that name; empty if it is not there yet."""
        outputs = [step["output"] for step in self.steps() if step["name"] == name]
        assert len(outputs) < 2, f"several steps are called {name}"
        text: str = "".join(outputs)
        return text

    def wait_for_more(self, name: str, characters: int = 20) -> None:
        """Return when the output of a step has grown on the page."""
        before = len(self.output(name))
        grown = f"more output of {name!r} on the page"
        wait_until(lambda: len(self.output(name)) >= before + characters, grown, LIMIT_S)

    def assert_same_as(self, snapshot: dict[str, Any]) -> None:
        """The page gets to show this session, whole and in order, without a gap."""
        self.expand()
        expected = list(_in_order(snapshot, None)), _runs(snapshot)
        try:
            wait_until(lambda: self._shown() == expected, "the page is up to date", LIMIT_S)
        except AssertionError:
            assert self._shown() == expected
        assert self.gaps == 0
        expect(self.page.locator("#gap-warning")).to_have_count(0)

    def _shown(self) -> tuple[list[Shown], list[Shown]]:
        steps = [
            {key: step[key] for key in step if key not in ("time", "level")}
            | {"output": words(step["output"])}
            for step in self.steps()
        ]
        runs = self.page.evaluate("() => recorded.runs()")
        return steps, sorted(runs, key=lambda run: str(run["id"]))

    def _hear(self, message: ConsoleMessage) -> None:
        expected = self._expected is not None and self._expected in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)

    def _fail(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()


def row(page: Page, name: str) -> Locator:
    """The row of the step of this name."""
    named = page.locator(".line-name").get_by_text(name, exact=True)
    return page.locator("[role=treeitem]", has=named)


def choose(picker: Locator, *files: tuple[str, bytes]) -> None:
    """Choose files in a picker; their types are those of their names."""
    chosen: list[FilePayload] = [
        {"name": name, "mimeType": guess_type(name)[0] or "", "buffer": content}
        for name, content in files
    ]
    picker.set_input_files(chosen)


def words(text: str) -> str:
    """A text without the marks of Markdown and JSON, which the page does not show as they are."""
    return re.sub(r"[\W_]+", " ", text).strip()


def depth(step: Shown, steps: list[Shown]) -> int:
    """How many steps stand above it."""
    by_id = {other["id"]: other for other in steps}
    above = 0
    while step["parent"] is not None:
        step = by_id[step["parent"]]
        above += 1
    return above


def _in_order(snapshot: dict[str, Any], parent_id: str | None) -> Iterator[Shown]:
    """The steps below one, each followed by its own."""
    for step in snapshot["steps"]:
        if step["parent_id"] == parent_id:
            yield {
                "id": step["id"],
                "parent": parent_id,
                "type": step["type"],
                "status": step["status"],
                "name": step["name"],
                "output": "" if step["language"] == "json" else words(step["output"]),
            }
            yield from _in_order(snapshot, step["id"])


def _runs(snapshot: dict[str, Any]) -> list[Shown]:
    runs = [
        {
            "id": run["run_id"],
            "message": run["message_id"],
            "handler": run["handler"],
            "status": run["status"],
        }
        for run in snapshot["runs"]
    ]
    return sorted(runs, key=lambda run: str(run["id"]))
