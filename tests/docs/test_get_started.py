"""The tutorial, typed as it stands into an empty folder, and looked at in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import browser  # noqa: F401 - the fixture
from docs.snippets import files
from http_server import serving_folder
from stack import Stack

LIMIT_MS = 15_000
COFFEE = "Roast beans, grind them, pour hot water on them."


@pytest.fixture
def address(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """Where the tutorial's page is, with the tutorial's handlers behind it."""
    written = files("docs/get-started.md")
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    with serving_folder(tmp_path) as origin:
        stack.worker(tmp_path / "app.py")
        gateway = stack.gateway(STEPWIRE_CORS_ORIGINS=origin)
        page = written["page.js"]
        assert '"http://127.0.0.1:8000"' in page
        (tmp_path / "page.js").write_text(page.replace("http://127.0.0.1:8000", gateway.url))
        yield f"{origin}/index.html"


def opened(browser: Browser, address: str) -> Page:  # noqa: F811 - the fixture
    page = browser.new_page()
    page.set_default_timeout(LIMIT_MS)
    page.goto(address)
    return page


def test_the_tutorials_page_shows_the_agent_in_every_window(
    browser: Browser,  # noqa: F811 - the fixture
    address: str,
) -> None:
    page = opened(browser, address)
    tree = page.locator("#tree")
    expect(tree).to_contain_text("Ask me how to make coffee or tea.", timeout=LIMIT_MS)
    page.get_by_label("Message").fill("How do I make coffee?")
    page.get_by_role("button", name="Send").click()
    answer = page.locator("li.ok", has_text=f"Assistant {COFFEE}").last
    expect(answer).to_be_visible(timeout=LIMIT_MS)
    expect(page.locator("#connection")).to_have_text("live")
    # User, agent, search: each is an item inside the one around it.
    search = page.locator("#tree > li > ul > li > ul > li", has_text="search")
    expect(search).to_contain_text(COFFEE)
    shown = tree.inner_text()

    second = opened(browser, page.url)
    expect(second.locator("li.ok", has_text=f"Assistant {COFFEE}").last).to_be_visible()
    assert second.locator("#tree").inner_text() == shown
