"""What a reader looks at stays where it is, whatever grows above it, in it or below it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from browser.inspector import Inspector
from stack import Gateway, Stack, wait_until

APP = """
    import asyncio
    import stepwire as cl

    is_over = asyncio.Event()

    @cl.on_message(concurrency="parallel")
    async def main(message):
        if message.content == "over":
            return is_over.set()
        if message.content == "talk":
            for number in range(12):
                await cl.Message(f"Answer {number}, which is whole.").send()
            return
        growing = cl.Message("")
        number = 0
        while not is_over.is_set():
            await growing.stream_token(f"paragraph {number}\\n\\n")
            number += 1
            await asyncio.sleep(0.02)
        await growing.update()
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


PAINTED = """(line) => new Promise((found) => {
  new IntersectionObserver(([{boundingClientRect}], looking) => {
    looking.disconnect();
    found(boundingClientRect.top);
  }).observe(line);
})"""


def top_of(line: Locator) -> float:
    """Where it is painted: what has grown and was not yet put right has not been seen."""
    top: float = line.evaluate(PAINTED)
    return top


def test_a_message_that_grows_in_view_or_above_it_moves_nothing_that_is_read(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    page = inspector.page
    page.set_viewport_size({"width": 1280, "height": 700})
    inspector.open(gateway, session)
    run = gateway.send(session, "grow")["run_id"]
    growing = page.get_by_text("paragraph 0", exact=True)
    expect(page.get_by_text("paragraph 60", exact=True)).to_be_visible()
    page.mouse.move(600, 350)

    def grown_by(number: int) -> None:
        """So much more has been streamed, whether or not it is in the page."""

        def length() -> int:
            return max(len(step["output"]) for step in gateway.snapshot(session)["steps"])

        wanted = length() + number * 12
        wait_until(lambda: length() > wanted, "the message grows")

    # In view: its beginning is read while its end grows.
    while not growing.is_visible() or top_of(growing) < 100:
        page.mouse.wheel(0, -300)
        page.wait_for_function("() => new Promise((done) => requestAnimationFrame(done))")
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    before = top_of(growing)
    grown_by(60)
    assert abs(top_of(growing) - before) < 1

    # Above: what came after it is read while it grows.
    gateway.wait_for_end(session, gateway.send(session, "talk")["run_id"])
    page.get_by_role("button", name="Jump to latest").click()
    read = page.get_by_text("Answer 9, which is whole.", exact=True)
    expect(page.get_by_role("button", name="Jump to latest")).to_be_hidden()
    expect(read).to_be_in_viewport()
    wait_until(lambda: top_of(read) == top_of(read), "the list has come to rest")
    before = top_of(read)
    page.mouse.wheel(0, -60)
    # However little the reader goes up, they are not taken back.
    wait_until(lambda: abs(top_of(read) - before - 60) < 1, "the wheel has moved it")
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    before = top_of(read)
    grown_by(60)
    assert abs(top_of(read) - before) < 1

    gateway.send(session, "over")
    gateway.wait_for_end(session, run)
