"""Steps that are nested hundreds of levels deep: the page stays whole, cheap and readable."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser.inspector import Inspector, row
from stack import Gateway, Stack, wait_until

APP = """
    import asyncio
    from contextlib import AsyncExitStack

    import stepwire as cl

    is_over = asyncio.Event()

    @cl.on_message(concurrency="parallel")
    async def main(message):
        if message.content == "over":
            return is_over.set()
        async with AsyncExitStack() as opened:
            for level in range(1, int(message.content) + 1):
                step = cl.Step(f"level {level}", type="tool")
                await opened.enter_async_context(step)
            await step.stream_token("as deep as it goes")
            await is_over.wait()
        is_over.clear()
"""

NODES = """() => [document.querySelectorAll("*").length, document.documentElement.scrollWidth]"""
SEEN = """() => [...document.querySelectorAll("[role=treeitem] .line-name")].map((name) => {
  const { left, right } = name.getBoundingClientRect();
  return [left, right];
})"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


@pytest.mark.parametrize(("levels", "width"), [(850, 1280), (3000, 390)])
def test_open_steps_hundreds_of_levels_deep_are_readable_and_cheap(
    gateway: Gateway, inspector: Inspector, levels: int, width: int
) -> None:
    session = gateway.create_session()
    page = inspector.page
    page.set_viewport_size({"width": width, "height": 800})
    inspector.open(gateway, session)

    run = gateway.send(session, str(levels))["run_id"]

    # The reader sees them come, and the end.
    deepest = row(page, f"level {levels}")
    expect(deepest).to_be_in_viewport(timeout=60_000)
    expect(deepest.locator(".preview")).to_have_text("as deep as it goes")
    expect(page.locator("[data-part=steps]")).to_have_text(f"{levels + 1:,} steps")
    nodes, page_width = page.evaluate(NODES)
    assert nodes < 2_500, "what is not seen is in the page"
    assert page_width <= width
    names = page.evaluate(SEEN)
    assert len(names) > 20
    assert all(left > 0 and left + 40 <= right <= width for left, right in names), names
    # Levels that stand in equally far say their number, and where they are.
    expect(deepest.locator(".indent-level")).to_have_text(str(levels))
    expect(row(page, f"level {levels - 1}").locator(".indent-level")).to_have_text(str(levels - 1))
    crumbs = page.get_by_role("navigation", name="Above these")
    expect(crumbs).to_contain_text("more")
    assert crumbs.get_by_role("button").count() == 4

    deepest.focus()
    page.keyboard.press("ArrowLeft")
    expect(row(page, f"level {levels - 1}")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(deepest).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(deepest).to_have_count(1)
    page.keyboard.press("Home")
    expect(row(page, "level 1")).to_have_attribute("aria-level", "2")
    page.keyboard.press("End")
    expect(deepest).to_be_focused()

    gateway.send(session, "over")
    gateway.wait_for_end(session, run)
    cursor = gateway.snapshot(session)["cursor"]
    expect(page.locator("[data-part=cursor]")).to_have_text(cursor)
    expect(deepest).to_be_focused()
    wait_until(lambda: page.locator(".step[data-status=running]").count() == 0, "all have ended")

    inspector.reload()
    page.get_by_role("button", name="Collapse all").click()
    expect(page.get_by_text(f"{levels - 1:,} below")).to_be_visible()
