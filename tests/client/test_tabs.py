"""Many tabs of one page in Chromium: what they share, and what happens if they do not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from client.pages import open_tab, serving_pages, wait_for_message, wait_for_state
from stack import Gateway, Stack, wait_until

# The first test waits for the packages and the build.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("built_client")]

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


def shows_what_is_there(tab: Page, gateway: Gateway, sid: str) -> bool:
    view: object = tab.evaluate("session.store.snapshot()")
    return view == gateway.snapshot(sid)


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
    # The gateway notices that the tabs of another test are closed when it writes to them.
    wait_until(lambda: streams(gateway) == 0, "no stream is left of an earlier test")
    before = 0
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
        wait_until(partial(shows_what_is_there, tab, gateway, sid), "the tab is current")
    assert streams(gateway) == before + 1

    for tab in tabs:
        tab.close()
    wait_until(lambda: streams(gateway) == before, "the stream has gone with its last tab")


@pytest.mark.parametrize("transport", ["event-source", "shared-worker"])
def test_a_tab_follows_a_gateway_that_is_killed(
    context: BrowserContext, pages: str, gateway: Gateway, shared_stack: Stack, transport: str
) -> None:
    killed = shared_stack.gateway(STEPWIRE_CORS_ORIGINS=pages)
    sid = killed.create_session()
    asked = {"gateway": killed.url, "session": sid, "transport": transport}
    tab = open_tab(context, pages, **asked)
    wait_for_state(tab, "live")
    killed.child.kill()
    wait_for_state(tab, "reconnecting")
    assert tab.evaluate(SEND, "lost") == "unreachable"
    gateway.send(sid, "while it is away")
    shared_stack.gateway(port=killed.port, STEPWIRE_CORS_ORIGINS=pages)
    wait_for_message(tab, "Re: while it is away")
    wait_for_state(tab, "live")


def test_an_event_source_says_why_it_is_refused(
    context: BrowserContext, pages: str, gateway: Gateway
) -> None:
    tab = open_tab(context, pages, gateway=gateway.url, session="nothing", transport="event-source")
    wait_for_state(tab, "closed")
    assert tab.evaluate("session.store.connection().error.code") == "session_not_found"


def test_a_hidden_tab_gives_its_stream_back_and_goes_on_when_it_is_seen(
    context: BrowserContext, pages: str, gateway: Gateway
) -> None:
    sid = gateway.create_session()
    asked = {"gateway": gateway.url, "session": sid, "transport": "fetch", "pauseHiddenMs": 10}
    tab = open_tab(context, pages, **asked)
    wait_for_state(tab, "live")
    turn = """hidden => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    tab.evaluate(turn, True)
    wait_for_state(tab, "idle")
    gateway.send(sid, "unseen")
    tab.evaluate(turn, False)
    wait_for_message(tab, "Re: unseen")


def test_an_upload_tells_how_far_it_is(
    context: BrowserContext, pages: str, gateway: Gateway
) -> None:
    sid = gateway.create_session()
    tab = open_tab(context, pages, gateway=gateway.url, session=sid, transport="fetch")
    name, sent = tab.evaluate("""async () => {
        const sent = [];
        const file = new File([new Uint8Array(300_000)], "big.bin");
        const element = await stepwire.uploadWithProgress(session, file, bytes => sent.push(bytes));
        return [element.name, sent];
    }""")
    assert name == "big.bin"
    assert sent == sorted(sent)
    assert sent[-1] == 300_000
    refused = """stepwire.uploadWithProgress(session, new Blob(["x"]), () => {}, {name: ""})
        .then(() => null, ({ code }) => code)"""
    assert tab.evaluate(refused) == "invalid_request"


def test_tabs_share_a_stream_with_their_own_subject_alone_and_renew_its_token(
    context: BrowserContext, pages: str, gateway: Gateway, shared_stack: Stack
) -> None:
    guarded = shared_stack.gateway(
        STEPWIRE_CORS_ORIGINS=pages, STEPWIRE_AUTH_SECRETS="s" * 32, STEPWIRE_API_KEYS="k" * 32
    )
    guarded.client.headers["Authorization"] = f"Bearer {'k' * 32}"
    sid = guarded.create_session()
    asked_for: list[tuple[str, str]] = []

    def token(subject: str, reason: str) -> str:
        asked_for.append((subject, reason))
        claims = {"sub": subject, "sessions": [sid], "rights": ["read", "write"], "ttl_s": 3}
        created: str = guarded.client.post("/v1/tokens", json=claims).json()["token"]
        return created

    context.expose_function("nextToken", token)
    asked = {"gateway": guarded.url, "session": sid, "transport": "shared-worker"}
    subjects = ["ada", "ada", "bob"]
    tabs = [open_tab(context, pages, **asked, subject=subject) for subject in subjects]
    for tab in tabs:
        wait_for_state(tab, "live")
    assert streams(guarded) == len(set(subjects))

    def renewed() -> bool:
        # Requests of the page's function come in while the page is asked something.
        for tab in tabs:
            tab.evaluate("1")
        return {("ada", "refused"), ("bob", "refused")} <= set(asked_for)

    wait_until(renewed, "each stream has had another token")
    assert tabs[0].evaluate(SEND, "renewed") == "sent"
    for tab in tabs:
        wait_for_message(tab, "Re: renewed")
