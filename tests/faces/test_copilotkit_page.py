"""CopilotKit's React components in Chromium, as the example has them: a gateway dies in mid-stream,
and the page is loaded anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import browser as browser
from faces.app import SLOWLY, WORDS
from faces.conftest import APP
from faces.example_pages import origin_of, served
from faces.example_pages import page as page
from faces.example_pages import port as port
from npm_packages import installed
from stack import Gateway, Stack
from stepwire_core.values.ids import new_id

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.slow,
    pytest.mark.long,
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "faces" / "copilotkit"


@pytest.fixture(scope="module")
def address(port: int) -> Iterator[str]:
    """What the command of the example prints."""
    installed(EXAMPLE)
    with served(EXAMPLE, port, 1) as addresses:
        yield addresses["index"]


def gateway(stack: Stack, port: int, address: str) -> Gateway:
    origin = origin_of(address)
    return stack.gateway(port=port, STEPWIRE_FACES="copilotkit", STEPWIRE_CORS_ORIGINS=origin)


def ask(page: Page, text: str) -> None:
    expect(page.locator("[data-copilot-running=false]").first).to_be_visible()
    box = page.get_by_test_id("copilot-chat-textarea")
    box.fill(text)
    send = page.get_by_test_id("copilot-send-button")
    expect(send).to_be_enabled()
    send.click()
    expect(box).to_have_value("")


def answers(page: Page) -> list[str]:
    found = page.get_by_test_id("copilot-assistant-message").all_inner_texts()
    return [text.strip() for text in found]


def test_a_reload_after_the_gateway_was_killed_has_every_character_once(
    page: Page, address: str, shared_stack: Stack, port: int, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = shared_stack.worker(APP)
    first = gateway(shared_stack, port, address)
    page.goto(f"{address}#{new_id()}")
    ask(page, "hello")
    expect(page.get_by_text("You said: hello 😀")).to_be_visible()
    ask(page, f"gated {gate}")
    expect(page.get_by_text("wörd3")).to_be_visible()
    first.child.kill()
    second = gateway(shared_stack, port, address)
    page.reload()
    expect(page.get_by_text("wörd3")).to_be_visible()
    gate.touch()
    expect(page.get_by_text(f"wörd{WORDS - 1}")).to_be_visible()
    expect(page.locator("[data-copilot-running=false]").first).to_be_visible()
    assert answers(page) == ["You said: hello 😀", SLOWLY.strip()]
    asked = page.get_by_test_id("copilot-user-message").all_inner_texts()
    assert [text.strip() for text in asked] == ["hello", f"gated {gate}"]
    second.child.stop()
    worker.stop()


def test_a_page_follows_asks_and_answers(
    page: Page, address: str, shared_stack: Stack, port: int
) -> None:
    worker = shared_stack.worker(APP)
    here, session_id = gateway(shared_stack, port, address), new_id()
    page.goto(f"{address}#{session_id}")
    ask(page, "ask")
    expect(page.get_by_text("Your name?")).to_be_visible()
    page.reload()
    page.get_by_label("Answer").fill("Ada")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text("Hello Ada")).to_be_visible()
    ask(page, "wait")
    expect(page.get_by_text("waiting")).to_be_visible()
    page.get_by_test_id("copilot-send-button").click()
    run_id = here.snapshot(session_id)["runs"][-1]["run_id"]
    assert here.wait_for_end(session_id, run_id)["status"] == "cancelled"
    here.child.stop()
    worker.stop()


def test_what_nobody_in_the_browser_has_started_is_followed(
    page: Page, address: str, shared_stack: Stack, port: int, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = shared_stack.worker(APP)
    here, session_id = gateway(shared_stack, port, address), new_id()
    here.create_session(session_id)
    here.send(session_id, f"gated {gate}")
    page.goto(f"{address}#{session_id}")
    expect(page.get_by_text("wörd3")).to_be_visible()
    gate.touch()
    expect(page.get_by_text(f"wörd{WORDS - 1}")).to_be_visible()
    assert answers(page) == [SLOWLY.strip()]
    listed = page.get_by_label("Threads").locator(f"a[href='#{session_id}']")
    expect(listed).to_contain_text(f"gated {gate}"[:20])
    here.child.stop()
    worker.stop()
