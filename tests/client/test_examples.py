"""The example pages in Chromium, served by their one command, on a real gateway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from client.package import ROOT
from stack import Stack
from stepwire_cli.dev.embedded_server import free_port

# The first test waits for the packages and the build.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("built_client")]

EXAMPLES = ROOT / "examples" / "frontends"
LIMIT_MS = 30_000


@pytest.fixture(scope="module")
def pages(shared_stack: Stack) -> Iterator[dict[str, str]]:
    """The addresses that the command prints, by the name of the page."""
    port = free_port()
    shared_stack.worker(EXAMPLES / "agent.py")
    gateway = shared_stack.gateway(STEPWIRE_CORS_ORIGINS=f"http://127.0.0.1:{port}")
    serve = str(EXAMPLES / "serve.py")
    command = [sys.executable, serve, "--gateway", gateway.url, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as serving:
        assert serving.stdout is not None
        urls = [serving.stdout.readline().decode().strip() for _ in range(4)]
        yield {url.split(".html")[0].rsplit("/", 1)[1]: url for url in urls}
        serving.kill()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        errors: list[object] = []
        page.on("pageerror", lambda error: errors.append(error))
        yield page
        assert errors == []


def see(page: Page, text: str) -> None:
    expect(page.get_by_text(text).first).to_be_visible(timeout=LIMIT_MS)


def test_the_plain_page_shows_what_a_message_starts(page: Page, pages: dict[str, str]) -> None:
    page.goto(pages["plain"])
    page.get_by_label("Message").fill("hi there")
    page.get_by_role("button", name="Send").click()
    see(page, "think: You said: hi there")
    page.reload()
    see(page, "think: You said: hi there")


def test_the_vue_page_shows_what_a_message_starts(page: Page, pages: dict[str, str]) -> None:
    page.goto(pages["vue"])
    page.get_by_label("Message").fill("hi there")
    page.get_by_role("button", name="Send").click()
    see(page, "think: You said: hi there")


def test_the_page_without_a_framework_shows_a_task_and_stops_it(
    page: Page, pages: dict[str, str]
) -> None:
    page.goto(pages["vanilla"])
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("button", name="Stop")).to_be_enabled(timeout=LIMIT_MS)
    see(page, "page 3: What there is to say on page 3.")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled(timeout=LIMIT_MS)


def test_the_react_chat_sends_answers_and_rates(page: Page, pages: dict[str, str]) -> None:
    page.goto(pages["react"])
    page.get_by_label("Message").fill("ask me")
    page.get_by_role("button", name="Send").click()
    page.get_by_label("Answer").fill("Ada")
    page.get_by_role("group").get_by_role("button", name="Send").click()
    see(page, "Hello Ada!")
    good = page.get_by_role("button", name="Good").first
    good.click()
    expect(good).to_have_attribute("aria-pressed", "true", timeout=LIMIT_MS)
