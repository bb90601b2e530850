"""A tab of the inspector, for what people do in it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Locator, Page, expect

from browser.axe import violations
from stack import Gateway

OURS = ".talk-below, .talk-ask, .talk-feedback, .talk-actions, .talk-run"


class Tab:
    """The page with one session; ``complaints`` are those of its console that were not expected."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.expected: str | None = None
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def open(self, gateway: Gateway, session: str, token: str | None = None) -> None:
        fragment = "" if token is None else f"#token={token}"
        self.page.goto(f"{gateway.url}/?{urlencode({'session': session})}{fragment}")
        self.wait_live()

    def wait_live(self) -> None:
        expect(self.page.locator("#status")).to_have_attribute("data-connection", "live")

    def reload(self) -> None:
        self.page.reload()
        self.wait_live()

    @property
    def box(self) -> Locator:
        return self.page.locator(".talk-box")

    @property
    def composer(self) -> Locator:
        return self.page.locator("#composer")

    @property
    def ask(self) -> Locator:
        return self.page.locator(".talk-ask")

    def button(self, name: str, **options: Any) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True, **options)

    def send(self, content: str) -> None:
        self.box.fill(content)
        self.box.press("Enter")

    def says(self, text: str) -> None:
        expect(self.page.get_by_text(text, exact=True).last).to_be_visible()

    def violations(self, selector: str = OURS) -> list[str]:
        """What axe finds, in light and in dark."""
        found = []
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            found += [f"{scheme}: {fault}" for fault in violations(self.page, selector)]
        self.page.emulate_media(color_scheme="light")
        return found

    @property
    def focused(self) -> str:
        tag: str = self.page.evaluate("document.activeElement.tagName")
        return tag

    def _hear(self, message: Any) -> None:
        expected = self.expected is not None and self.expected in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)


def said(gateway: Gateway, session: str) -> list[str]:
    """What people have said."""
    steps = gateway.snapshot(session)["steps"]
    return [step["output"] for step in steps if step["type"] == "user_message"]
