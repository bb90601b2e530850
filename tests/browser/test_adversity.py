"""What the inspector makes of things that it cannot use, and of refusals that pass."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser.inspector import Inspector
from stack import Gateway, Stack

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        elements = [
            cl.Pdf(name="nowhere", url="http://a%b/x.pdf"),
            cl.Text(name="notes", content="at last"),
        ]
        async with cl.Step("shows", elements=elements):
            pass
        await cl.Message("done").send()
"""

BUSY = {"status": 429, "json": {"title": "Too many", "code": "limit_exceeded"}}


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


def test_an_address_that_is_none_is_shown_as_text_and_stops_nothing(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.send("go")
    expect(inspector.message("done")).to_be_visible()
    expect(inspector.page.get_by_text("nowhere")).to_be_visible()
    expect(inspector.page.get_by_role("link", name="nowhere")).to_have_count(0)


def test_a_text_that_did_not_come_is_asked_for_again(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    page, elements = inspector.page, "**/elements/*"
    inspector.expect_complaints("Failed to load resource")
    page.route(elements, lambda route: route.abort())
    inspector.send("go")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    page.unroute(elements)
    again.click()
    expect(page.get_by_text("at last")).to_be_visible()


def test_a_gateway_that_has_too_much_to_do_is_asked_again(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    page, everything = inspector.page, "**/v1/**"
    inspector.expect_complaints("Failed to load resource")
    # Requests of a SharedWorker cannot be intercepted; without one the page makes them itself.
    page.add_init_script("globalThis.SharedWorker = undefined")
    page.route(everything, lambda route: route.fulfill(**BUSY))
    page.goto(f"{gateway.url}/?session={session}")
    inspector.wait_for_connection("reconnecting")
    page.unroute(everything)
    inspector.wait_for_connection("live")
    expect(page.locator("#closed")).to_have_count(0)


@pytest.mark.parametrize("event", [{"isComposing": True}, {"keyCode": 229}])
def test_enter_that_ends_a_composed_word_sends_nothing(
    gateway: Gateway, inspector: Inspector, event: dict[str, object]
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    box = inspector.page.get_by_label("Message", exact=True)
    box.fill("にほん")
    default = {"key": "Enter", "bubbles": True, "cancelable": True}
    taken = box.evaluate(
        "(box, init) => !box.dispatchEvent(new KeyboardEvent('keydown', init))", default | event
    )
    assert taken is False, "the key was kept from the input method"
    expect(box).to_have_value("にほん")
    assert gateway.snapshot(session)["steps"] == []
