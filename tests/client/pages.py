"""Pages that use the client, served from another origin than the gateway's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page

from client.package import ROOT

LIMIT_MS = 30_000


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """The output of a test is for what has failed."""


@contextmanager
def serving_pages() -> Iterator[str]:
    """The address at which the files of this repository are."""
    handler = partial(_Quiet, directory=str(ROOT))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


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
