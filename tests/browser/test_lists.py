"""The inspector's lists in Chromium: sessions, what waits, and the page of the operators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

import tokens
from browser.axe import violations
from browser.inspector import Inspector
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.values.ids import new_id

CONNECTIONS_PER_HOST = 6
"""What browsers open to one host over HTTP/1.1."""

APP = """
    import asyncio

    import stepwire as cl

    @cl.on_message(concurrency="parallel")
    async def main(message):
        async with cl.Step("answer", type="llm") as step:
            step.usage(input_tokens=1200, output_tokens=34, cost=0.5, model="m")
            await step.stream_token(f"Re: {message.content}")

    @cl.task
    async def fail(why):
        secret = "not-to-be-seen"
        raise ValueError(why)

    @cl.task(max_running=1)
    async def long_task():
        await asyncio.Event().wait()
"""


@pytest.fixture(scope="module")
def server_of_lists() -> Iterator[EmbeddedServer]:
    """Lists have all sessions of a server in them, so these tests need one of their own."""
    with embedded_server() as server:
        yield server


@pytest.fixture
def stack(tmp_path: Path, server_of_lists: EmbeddedServer) -> Iterator[Stack]:
    with Stack(tmp_path, server_of_lists.url) as stack:
        stack.redis.flushall()
        yield stack


@pytest.fixture
def gateway(stack: Stack) -> Gateway:
    """A gateway whose queue has no worker."""
    return stack.gateway()


def titled(gateway: Gateway, title: str) -> str:
    session = gateway.create_session()
    gateway.send(session, title)
    return session


def rows(page: Page) -> Locator:
    return page.get_by_role("navigation", name="Sessions").locator(".lists-session")


def row(page: Page, title: str) -> Locator:
    return rows(page).filter(has_text=title)


def open_page(page: Page, gateway: Gateway, address: str = "", token: str | None = None) -> None:
    page.goto(f"{gateway.url}/{address}{'' if token is None else f'#token={token}'}")


def open_session(page: Page, gateway: Gateway, session: str, token: str | None = None) -> None:
    open_page(page, gateway, f"?session={session}", token)
    expect(page.locator("#status")).to_have_attribute("data-connection", "live")


def test_sessions_come_and_go_live_and_are_found_and_opened(
    gateway: Gateway, inspector: Inspector
) -> None:
    page = inspector.page
    open_page(page, gateway)
    expect(page.get_by_text("No sessions yet.")).to_be_visible()
    word = new_id()
    first, second = titled(gateway, f"Trip to Rome {word}"), titled(gateway, f"Invoices {word}")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text("Invoices")
    assert violations(page, "nav") == []

    page.get_by_label("Search titles").fill("rome")
    expect(rows(page)).to_have_count(1)
    row(page, "Trip to Rome").get_by_role("link").click()
    expect(page).to_have_url(re.compile(f"session={first}"))
    expect(row(page, "Trip to Rome").get_by_role("link")).to_have_attribute("aria-current", "page")
    page.get_by_label("Search titles").fill("no such thing")
    expect(page.get_by_text("No session fits.")).to_be_visible()
    page.get_by_label("Search titles").fill("")
    expect(rows(page)).to_have_count(2)

    # The other one has news for this browser, and not any more once it was opened.
    expect(row(page, "Invoices").get_by_text("unread")).to_be_attached()
    row(page, "Invoices").get_by_role("link").click()
    expect(row(page, "Invoices").get_by_text("unread")).not_to_be_attached()
    gateway.send(first, "more")
    expect(rows(page).first).to_contain_text("Trip to Rome")
    expect(row(page, "Trip to Rome").get_by_text("unread")).to_be_attached()

    page.get_by_label("Status", exact=True).select_option("ok")
    expect(page.get_by_text("No session fits.")).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("idle")
    expect(rows(page)).to_have_count(2)
    gateway.client.delete(f"/v1/sessions/{second}")
    expect(rows(page)).to_have_count(1)
    inspector.expect_complaints("404")


def test_a_session_is_deleted_after_a_question(gateway: Gateway, inspector: Inspector) -> None:
    page = inspector.page
    session = titled(gateway, "To be deleted")
    open_session(page, gateway, session)
    inspector.expect_complaints("404")
    link = row(page, "To be deleted").get_by_role("link")
    link.focus()
    page.keyboard.press("Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("To be deleted")
    assert violations(page, "dialog") == []
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_attached()
    expect(link).to_be_focused()
    page.keyboard.press("Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No sessions yet.")).to_be_visible()
    assert gateway.client.get(f"/v1/sessions/{session}").status_code == 404
    expect(page).not_to_have_url(re.compile("session="))


def test_a_long_list_is_a_window_that_the_keyboard_reaches_all_of(
    gateway: Gateway, inspector: Inspector
) -> None:
    page = inspector.page
    for number in range(330):
        gateway.create_session(f"s-{number:03}")
    open_page(page, gateway)
    expect(row(page, "s-329")).to_be_visible()
    row(page, "s-329").get_by_role("link").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(row(page, "s-326").get_by_role("link")).to_be_focused()

    def at_the_end() -> bool:
        page.keyboard.press("End")
        return row(page, "s-000").count() == 1

    wait_until(at_the_end, "older pages come as they are reached")
    expect(row(page, "s-000").get_by_role("link")).to_be_focused()
    assert rows(page).count() < 60
    page.keyboard.press("Home")
    expect(row(page, "s-329").get_by_role("link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("session=s-329"))


def test_a_token_without_the_right_to_list_gets_what_this_browser_has_seen(
    stack: Stack, inspector: Inspector
) -> None:
    page = inspector.page
    guarded = stack.gateway(STEPWIRE_AUTH_SECRETS=tokens.SECRET, STEPWIRE_API_KEYS=tokens.API_KEY)
    guarded.client.headers.update(tokens.bearer(tokens.API_KEY))
    session = guarded.create_session(f"mine-{new_id()}")
    open_session(page, guarded, session, tokens.token(session, rights=("read",)))
    page.goto("about:blank")
    inspector.expect_complaints("403")
    open_page(page, guarded, token=tokens.token("other", rights=("write",)))
    expect(page.get_by_text("These were opened in this browser")).to_be_visible()
    link = page.locator("nav").get_by_role("link", name=session)
    expect(link).to_be_visible()
    assert violations(page, "nav") == []


def test_a_message_says_what_it_waits_for_and_how_it_went(
    stack: Stack, gateway: Gateway, inspector: Inspector
) -> None:
    page = inspector.page
    session = gateway.create_session()
    open_session(page, gateway, session)
    gateway.send(session, "hello")
    status = page.get_by_role("list", name="Runs")
    expect(status).to_contain_text("on_message no worker is there")
    expect(page.locator("#announcer")).to_contain_text("no worker is there")
    assert violations(page, ".lists-status") == []
    stack.worker(APP)
    expect(status).to_contain_text("on_message ok")
    expect(status).to_contain_text("1,234 tokens")
    expect(status).not_to_contain_text("no worker")
    for _ in range(2):
        gateway.start(session, "long_task")
    page.reload()
    expect(status).to_contain_text("has as many runs as it may")


def test_operators_see_the_queue_and_do_failed_work_again(
    stack: Stack, gateway: Gateway, inspector: Inspector
) -> None:
    page = inspector.page
    open_page(page, gateway, "?view=operations")
    expect(page.get_by_text("No worker takes runs")).to_be_visible()
    expect(page.get_by_text("Nothing runs, and nothing waits.")).to_be_visible()
    expect(page.get_by_text("None: all runs have ended well")).to_be_visible()
    assert violations(page, "main") == []

    session = gateway.create_session()
    stack.worker(APP)
    for why in ("the first", "the second", "the third"):
        gateway.wait_for_end(session, gateway.start(session, "fail", why=why))
    for _ in range(2):
        gateway.start(session, "long_task")
    failures = page.locator(".ops-failure")
    expect(failures).to_have_count(3)
    expect(page.get_by_role("region", name="Workers")).to_contain_text("ready")
    running = page.get_by_role("region", name="Running and waiting")
    expect(running).to_contain_text("its handler or subject has as many runs as it may")
    expect(page.get_by_role("region", name="Handlers")).to_contain_text("full")
    # Operators get the traceback, clients do not, and no one gets values.
    first = failures.filter(has_text="the first")
    first.locator("summary").click()
    expect(first.locator("pre")).to_contain_text("in fail")
    expect(first.locator("pre")).not_to_contain_text("ops-failure")
    [run] = [run for run in gateway.snapshot(session)["runs"] if "first" in str(run["error"])]
    assert "traceback" not in run["error"]
    assert violations(page, "main") == []

    failures.filter(has_text="the second").get_by_role("button", name="Forget").click()
    expect(failures).to_have_count(2)
    page.get_by_role("button", name="Retry all").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry all").click()
    expect(page.get_by_text("2 retried.")).to_be_visible()
    # They fail again, as runs of their own.
    wait_until(lambda: len(_failed(gateway)) == 2 and run["run_id"] not in _failed(gateway), "both")
    expect(failures).to_have_count(2)

    page.get_by_label("Handler or task").fill("nothing")
    expect(page.get_by_text("None fits.")).to_be_visible()


def _failed(gateway: Gateway) -> list[str]:
    answer = gateway.client.get("/v1/runs", params={"status": "error"}).json()
    return [run["run_id"] for run in answer["runs"]]


def test_operations_say_that_they_need_a_right(stack: Stack, inspector: Inspector) -> None:
    guarded = stack.gateway(STEPWIRE_AUTH_SECRETS=tokens.SECRET)
    inspector.expect_complaints("403")
    token = tokens.token("*", rights=("read",))
    open_page(inspector.page, guarded, "?view=operations", token)
    expect(inspector.page.get_by_role("alert")).to_contain_text(
        "needs a token with the right admin"
    )


@pytest.fixture
def tabs(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


@pytest.mark.parametrize("sessions", [1, CONNECTIONS_PER_HOST + 1])
def test_many_tabs_leave_connections_for_what_their_people_do(
    tabs: BrowserContext, stack: Stack, gateway: Gateway, sessions: int
) -> None:
    stack.worker(APP)
    ids = [gateway.create_session() for _ in range(sessions)]
    pages = []
    for number in range(CONNECTIONS_PER_HOST + 1):
        page = tabs.new_page()
        open_session(page, gateway, ids[number % sessions])
        pages.append(page)
    assert _streams(gateway) <= 5
    # With six streams, this request would wait for ever.
    last = pages[-1]
    last.get_by_label("Message", exact=True).fill("from the last tab")
    last.keyboard.press("Enter")
    expect(last.get_by_text("Re: from the last tab").first).to_be_visible()
    # A tab that was not seen for long goes on when it is, from where it was.
    gateway.send(ids[0], "while it was not seen")
    first = pages[0]
    first.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(first.locator("#status")).to_have_attribute("data-connection", "live")
    expect(first.get_by_text("Re: while it was not seen").first).to_be_visible()
    assert _streams(gateway) <= 5


def _streams(gateway: Gateway) -> int:
    metrics = gateway.client.get("/metrics").text
    (count,) = re.findall(r"(?m)^stepwire_gateway_streams (\d+)", metrics)
    return int(count)
