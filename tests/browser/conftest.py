"""A browser, and a tab for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from browser import chromium
from browser.inspector import Inspector
from browser.tab import Tab


# Not for the whole session: as long as it is open, no other event loop can run in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched(chromium.find()) as running:
        yield running


@contextmanager
def launched(path: str | None) -> Iterator[Browser]:
    """Chromium; without it the test is skipped, and in CI it fails."""
    if path is None and os.environ.get("CI"):
        pytest.fail(chromium.MISSING)
    if path is None:
        pytest.skip(chromium.MISSING)
    with sync_playwright() as playwright, chromium.launch(playwright, path) as running:
        yield running


@pytest.fixture
def inspector(browser: Browser) -> Iterator[Inspector]:
    """A new tab that shares nothing with others; in the end its console must be clean."""
    with browser.new_context() as context:
        inspector = Inspector(context.new_page())
        yield inspector
        assert inspector.complaints == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        context.set_default_timeout(15_000)
        yield context


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Tab]:
    tab = Tab(context.new_page())
    yield tab
    assert tab.complaints == []
