from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from browser import chromium
from browser.conftest import launched
from inspector.content.harness import Harness, build, policy


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One that shows PDFs."""
    with launched(chromium.find(whole=True)) as running:
        yield running


@pytest.fixture(scope="session")
def page_policy() -> str:
    build()
    return policy()


@pytest.fixture(scope="module")
def opened(browser: Browser, page_policy: str) -> Iterator[Harness]:
    """One page for the tests of a module: to load it takes longer than what they do with it."""
    with browser.new_context(viewport={"width": 1000, "height": 800}) as context:
        harness = Harness(context.new_page(), page_policy)
        harness.open()
        yield harness


@pytest.fixture
def shown(opened: Harness) -> Iterator[Harness]:
    """A page that shows content. After the test: nothing has failed, no foreign request."""
    opened.show()
    opened.files.clear()
    opened.tokens.clear()
    opened.page.evaluate("window.longest = 0; window.violations = []")
    yield opened
    assert opened.complaints == []
    assert opened.foreign == []
