"""Pages that use the client, served from another origin than the gateway's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page

from client.package import ROOT
from http_server import serving_folder

LIMIT_MS = 30_000


def serving_pages() -> AbstractContextManager[str]:
    """The address at which the files of this repository are."""
    return serving_folder(ROOT)


def open_tab(context: BrowserContext, pages: str, **asked: object) -> Page:
    """A tab with a session; ``asked`` is what ``pages/tab.html`` takes."""
    page = context.new_page()
    page.set_default_timeout(LIMIT_MS)
    page.goto(f"{pages}/tests/client/pages/tab.html?{urlencode(asked)}")
    page.wait_for_function("window.session !== undefined")
    return page


def wait_for_state(page: Page, state: str) -> None:
    page.wait_for_function("state => session.store.connection().state === state", arg=state)


def wait_for_message(page: Page, content: str) -> None:
    page.wait_for_function(
        "text => session.store.steps().some(({ output }) => output === text)", arg=content
    )
