"""``useChat`` in Chromium, as the examples have it: a gateway dies in mid-stream, and the page is
loaded anew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import browser as browser
from faces.app import WORDS
from faces.conftest import APP
from faces.ui_chat import USECHAT
from stack import Gateway, Stack
from stepwire_cli.dev.embedded_server import free_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("usechat")]

SLOWLY = "".join(f"wörd{number} " for number in range(WORDS))
LIMIT_MS = 30_000


@pytest.fixture(scope="module")
def port() -> int:
    """Of the gateway, which starts again where it was."""
    return free_port()


@pytest.fixture(scope="module")
def pages(usechat: Path, port: int) -> Iterator[dict[str, str]]:
    """The addresses that the command prints, by the name of the page."""
    command = [sys.executable, str(USECHAT / "serve.py"), "--port", str(free_port())]
    command += ["--gateway", f"http://127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as serving:
        assert serving.stdout is not None
        urls = [serving.stdout.readline().decode().strip() for _ in range(2)]
        yield {url.split(".html")[0].rsplit("/", 1)[1]: url for url in urls}
        serving.kill()


def gateway(stack: Stack, port: int, pages: dict[str, str]) -> Gateway:
    origin = pages["react"].partition("/react.html")[0]
    return stack.gateway(port=port, STEPWIRE_FACES="aisdk", STEPWIRE_CORS_ORIGINS=origin)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(LIMIT_MS)
        yield page


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


@pytest.mark.parametrize("name", ["react", "vue"])
def test_a_reload_after_the_gateway_was_killed_has_every_character_once(
    page: Page, pages: dict[str, str], shared_stack: Stack, port: int, tmp_path: Path, name: str
) -> None:
    gate = tmp_path / "gate"
    worker = shared_stack.worker(APP)
    first = gateway(shared_stack, port, pages)
    page.goto(pages[name])
    ask(page, "tools")
    expect(page.locator("#status")).to_have_text("ready")
    ask(page, f"gated {gate}")
    answer = page.locator("[data-role=assistant]").nth(1)
    expect(answer).to_contain_text("wörd3")
    first.child.kill()
    expect(page.locator("#status")).to_have_text("error")
    second = gateway(shared_stack, port, pages)
    page.reload()
    expect(answer).to_contain_text("wörd3")
    expect(page.locator("#status")).to_have_text("streaming")
    gate.touch()
    expect(page.locator("#status")).to_have_text("ready")
    assert answer.locator(".text").all_text_contents() == [SLOWLY]
    roles = page.locator("[data-role]").evaluate_all("all => all.map(one => one.dataset.role)")
    assert roles == ["user", "assistant"] * 2
    expect(page.locator(".tool")).to_contain_text("weather")
    second.child.stop()
    worker.stop()


def test_stop_asks_and_answers_in_the_page(
    page: Page, pages: dict[str, str], shared_stack: Stack, port: int
) -> None:
    worker = shared_stack.worker(APP)
    here = gateway(shared_stack, port, pages)
    page.goto(pages["react"])
    ask(page, "ask")
    page.get_by_label("Answer").fill("Ada")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("Hello Ada")).to_be_visible()
    ask(page, "wait")
    expect(page.get_by_text("waiting")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("ready")
    session_id = page.url.rpartition("#")[2]
    run_id = here.snapshot(session_id)["runs"][-1]["run_id"]
    assert here.wait_for_end(session_id, run_id)["status"] == "cancelled"
    here.child.stop()
    worker.stop()
