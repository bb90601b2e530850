"""Many tabs of one page in Chromium: what they share, and what happens if they do not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from client.pages import open_tab, serving_pages, wait_for_message, wait_for_state
from playwright.sync_api import Browser, BrowserContext

from stack import Gateway, Stack, wait_until

CONNECTIONS_PER_HOST = 6
"""What browsers open to one host over HTTP/1.1."""

SEND = "text => session.send(text).then(() => 'sent', ({ code }) => code)"

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        await cl.Message(f"Re: {message.content}").send()
"""


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    with serving_pages() as url:
        yield url


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack, pages: str) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway(STEPWIRE_CORS_ORIGINS=pages)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


def streams(gateway: Gateway) -> int:
    metrics = gateway.client.get("/metrics").text
    (open_streams,) = re.findall(r"(?m)^stepwire_gateway_streams (\d+)", metrics)
    return int(open_streams)


def test_six_tabs_with_a_stream_each_deadlock_and_a_message_says_so(
    context: BrowserContext, pages: str, gateway: Gateway
) -> None:
    sid = gateway.create_session()
    asked = {"gateway": gateway.url, "session": sid, "transport": "fetch", "timeoutMs": 1500}
    tabs = [open_tab(context, pages, **asked) for _ in range(CONNECTIONS_PER_HOST)]
    for tab in tabs:
        wait_for_state(tab, "live")

    assert tabs[0].evaluate(SEND, "stuck") == "no_answer"
    pending = "session.store.rows().map(({ id }) => session.store.pending(id)?.state)"
    assert tabs[0].evaluate(pending) == ["failed"]

    tabs.pop().close()
    assert tabs[0].evaluate(SEND, "free") == "sent"


def test_tabs_with_a_shared_worker_hold_one_stream_and_can_send(
    context: BrowserContext, pages: str, gateway: Gateway
) -> None:
    before = streams(gateway)
    sid = gateway.create_session()
    asked = {"gateway": gateway.url, "session": sid, "transport": "shared-worker"}
    tabs = [open_tab(context, pages, **asked) for _ in range(CONNECTIONS_PER_HOST + 1)]
    for tab in tabs:
        wait_for_state(tab, "live")
    assert streams(gateway) == before + 1

    assert tabs[0].evaluate(SEND, "one") == "sent"
    for tab in tabs:
        wait_for_message(tab, "Re: one")

    # The stream outlives the tab that opened it, and a tab that comes later has all of it.
    tabs.pop(0).close()
    tabs.append(open_tab(context, pages, **asked))
    wait_for_message(tabs[-1], "Re: one")
    assert tabs[0].evaluate(SEND, "two") == "sent"
    for tab in tabs:
        wait_for_message(tab, "Re: two")
    for tab in tabs:
        wait_until(
            lambda tab=tab: tab.evaluate("session.store.snapshot()") == gateway.snapshot(sid),
            "the tab shows what the gateway has",
        )
    assert streams(gateway) == before + 1

    for tab in tabs:
        tab.close()
    wait_until(lambda: streams(gateway) == before, "the stream has gone with its last tab")
