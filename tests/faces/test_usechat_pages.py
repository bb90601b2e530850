"""``useChat`` in Chromium, as the examples have it: a gateway dies in mid-stream, and the page is
loaded anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import browser as browser
from faces.app import SLOWLY
from faces.conftest import APP
from faces.example_pages import ask, origin_of, served
from faces.example_pages import page as page
from faces.example_pages import port as port
from faces.ui_chat import USECHAT
from stack import Gateway, Stack

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("usechat")]


@pytest.fixture(scope="module")
def pages(usechat: Path, port: int) -> Iterator[dict[str, str]]:
    """The addresses that the command prints, by the name of the page."""
    with served(USECHAT, port, 2) as addresses:
        yield addresses


def gateway(stack: Stack, port: int, pages: dict[str, str]) -> Gateway:
    origin = origin_of(pages["react"])
    return stack.gateway(port=port, STEPWIRE_FACES="aisdk", STEPWIRE_CORS_ORIGINS=origin)


@pytest.mark.parametrize("name", ["react", pytest.param("vue", marks=pytest.mark.long)])
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
