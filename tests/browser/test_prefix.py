"""The inspector under a path of its site."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser.inspector import Inspector
from prefixed import PREFIX, WAYS, prefixed
from stack import Stack

APP = """
    import stepwire as cl

    # The smallest GIF.
    DOT = bytes.fromhex(
        "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
    )

    @cl.on_message
    async def main(message):
        async with cl.Step("shows") as step:
            step.output = f"you said {message.content}"
            step.elements = [
                cl.Image(name="dot.gif", content=DOT), cl.Text(name="words", content="many words")
            ]
"""


@pytest.mark.parametrize(
    "way",
    [*WAYS[2:], *(pytest.param(way, marks=pytest.mark.long) for way in WAYS[:2])],
)
def test_the_page_does_all_that_it_does_at_the_root(
    stack: Stack, inspector: Inspector, way: str
) -> None:
    stack.worker(APP)
    with prefixed(way, stack) as gateway:
        page = inspector.page
        page.goto(f"{gateway.url}/")
        page.get_by_role("main").get_by_role("button", name="New session").click()
        inspector.wait_for_snapshot()
        assert f"{PREFIX}/?session=" in page.url
        inspector.send("hello")
        shown = page.locator(".preview, .content-shown", has_text="you said hello")
        expect(shown.first).to_be_visible()
        image = page.locator("img[alt='dot.gif']")
        expect(image).to_be_visible()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
        expect(page.get_by_text("many words")).to_be_visible()
        inspector.reload()
        page.get_by_role("link", name="another session").click()
        expect(page.get_by_role("main").get_by_role("button", name="New session")).to_be_visible()
        assert page.url == f"{gateway.url}/"
