"""assistant-ui in Chromium, as the example has it on both of its runtimes: a gateway dies in
mid-stream, and the page is loaded anew."""

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
from npm_packages import installed
from stack import Gateway, Stack

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.slow,
    pytest.mark.long,
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "faces" / "assistant-ui"


@pytest.fixture(scope="module")
def pages(port: int) -> Iterator[dict[str, str]]:
    """The addresses that the command prints, by the name of the page."""
    installed(EXAMPLE)
    with served(EXAMPLE, port, 2) as addresses:
        yield addresses


def gateway(stack: Stack, port: int, pages: dict[str, str]) -> Gateway:
    origin = origin_of(pages["sdk"])
    return stack.gateway(port=port, STEPWIRE_FACES="aisdk", STEPWIRE_CORS_ORIGINS=origin)


def idle(page: Page) -> None:
    expect(page.locator("#status")).to_have_text("ready")


@pytest.mark.parametrize("name", ["sdk", "store"])
def test_a_reload_after_the_gateway_was_killed_has_every_character_once(
    page: Page, pages: dict[str, str], shared_stack: Stack, port: int, tmp_path: Path, name: str
) -> None:
    gate = tmp_path / "gate"
    worker = shared_stack.worker(APP)
    first = gateway(shared_stack, port, pages)
    page.goto(pages[name])
    ask(page, "tools")
    expect(page.get_by_text("21 degrees")).to_be_visible()
    idle(page)
    ask(page, f"gated {gate}")
    answer = page.locator("[data-role=assistant]").nth(1)
    expect(answer).to_contain_text("wörd3")
    first.child.kill()
    second = gateway(shared_stack, port, pages)
    page.reload()
    expect(answer).to_contain_text("wörd3")
    expect(page.locator("#status")).to_have_text("running")
    gate.touch()
    idle(page)
    assert answer.locator(".text").all_text_contents() == [SLOWLY]
    roles = page.locator("[data-role]").evaluate_all("all => all.map(one => one.dataset.role)")
    assert roles == ["user", "assistant"] * 2
    expect(page.locator(".tool")).to_contain_text("weather")
    expect(page.locator(".step")).to_contain_text("research")
    second.child.stop()
    worker.stop()


@pytest.mark.parametrize("name", ["sdk", "store"])
def test_stop_asks_and_answers_in_the_page(
    page: Page, pages: dict[str, str], shared_stack: Stack, port: int, name: str
) -> None:
    worker = shared_stack.worker(APP)
    here = gateway(shared_stack, port, pages)
    page.goto(pages[name])
    ask(page, "ask")
    page.get_by_label("Answer").fill("Ada")
    # A session of another test may have such a word in its title.
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_text("Hello Ada")).to_be_visible()
    idle(page)
    ask(page, "approve")
    page.get_by_role("button", name="Allow" if name == "sdk" else "yes", exact=True).click()
    expect(page.locator(".tool")).to_contain_text("deleted")
    expect(page.get_by_text("Done.")).to_be_visible()
    idle(page)
    ask(page, "wait")
    expect(page.get_by_text("waiting")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    idle(page)
    session_id = page.url.rpartition("#")[2]
    run_id = here.snapshot(session_id)["runs"][-1]["run_id"]
    assert here.wait_for_end(session_id, run_id)["status"] == "cancelled"
    here.child.stop()
    worker.stop()


def test_the_sessions_are_the_threads_and_each_goes_on_while_another_is_shown(
    page: Page, pages: dict[str, str], shared_stack: Stack, port: int, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    worker = shared_stack.worker(APP)
    here = gateway(shared_stack, port, pages)
    page.goto(pages["store"])
    ask(page, f"gated {gate}")
    expect(page.locator("[data-role=assistant]")).to_contain_text("wörd3")
    page.get_by_role("button", name="New thread").first.click()
    expect(page.locator("[data-role]")).to_have_count(0)
    ask(page, "another one")
    expect(page.locator("[data-role=assistant]")).to_contain_text("You said: another one")
    gate.touch()
    # The title is cut off; of those that begin so, this one was active last.
    page.get_by_role("button", name="gated ").first.click()
    expect(page.locator("[data-role=assistant] .text")).to_have_text(SLOWLY.strip())
    page.get_by_role("button", name="another one").click()
    expect(page.locator("[data-role=assistant]")).to_contain_text("You said: another one")
    here.child.stop()
    worker.stop()
