"""The pages of an example as its command serves them, and a browser's page for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from stepwire_cli.dev.embedded_server import free_port

LIMIT_MS = 30_000


@pytest.fixture(scope="module")
def port() -> int:
    """Of the gateway, which starts again where it was."""
    return free_port()


@contextmanager
def served(example: Path, gateway_port: int, count: int) -> Iterator[dict[str, str]]:
    """The addresses that the command prints, by the name of the page."""
    command = [sys.executable, str(example / "serve.py"), "--port", str(free_port())]
    command += ["--gateway", f"http://127.0.0.1:{gateway_port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as serving:
        assert serving.stdout is not None
        urls = [serving.stdout.readline().decode().strip() for _ in range(count)]
        yield {url.split(".html")[0].rsplit("/", 1)[1]: url for url in urls}
        serving.kill()


def ask(page: Page, text: str) -> None:
    """Send a message on a page of a chat of ours."""
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def origin_of(address: str) -> str:
    """Of a page that is served."""
    return "/".join(address.split("/")[:3])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1200, "height": 2000}) as context:
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        yield page
