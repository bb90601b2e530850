"""The inspector in a real browser, against real processes: what is streamed is what is seen."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import tokens
from browser.axe import violations
from browser.inspector import LIMIT_S, Inspector, Shown, depth, row
from stack import Gateway, Stack, wait_until
from stepwire_core.values.ids import new_id

AGENT = Path(__file__).parents[2] / "examples" / "agent.py"
APP = Path(__file__).with_name("app.py")
QUESTION = "Who gets a snapshot after a reconnect?"
DURATION = re.compile(r"\d+ ms|\d+(\.\d+)? s")


@pytest.fixture(scope="module")
def serving(shared_stack: Stack) -> Stack:
    """Where a worker executes :mod:`browser.app`."""
    shared_stack.worker(APP)
    return shared_stack


@pytest.fixture(scope="module")
def gateway(serving: Stack) -> Gateway:
    return serving.gateway()


@pytest.fixture(scope="module")
def guarded(serving: Stack) -> Gateway:
    """One that wants tokens."""
    return serving.gateway(STEPWIRE_AUTH_SECRETS=tokens.SECRET)


@pytest.fixture
def other(browser: Browser) -> Iterator[Inspector]:
    """A second person."""
    with browser.new_context() as context:
        other = Inspector(context.new_page())
        yield other
        assert other.complaints == []


def history(seen: list[list[Shown]], step_id: str, key: str) -> list[str]:
    """The values that a step has shown there, one after another."""
    values = [step[key] for steps in seen for step in steps if step["id"] == step_id]
    return [value for value, _ in groupby(values)]


def test_the_tree_of_the_demo_agent_grows_while_it_works(
    stack: Stack, inspector: Inspector
) -> None:
    stack.worker(AGENT)
    gateway = stack.gateway()
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.expand()
    expect(inspector.message("Ask me, for example")).to_be_visible()
    run = gateway.send(session, QUESTION)["run_id"]
    gateway.wait_for_end(session, run)
    inspector.assert_same_as(gateway.snapshot(session))

    seen: list[list[Shown]] = inspector.recorded("seen")
    counts = [count for count, _ in groupby(len(steps) for steps in seen)]
    assert counts == sorted(counts)
    assert len(counts) >= 5, f"it grew in {counts}"
    final = seen[-1]
    assert max(depth(step, final) for step in final) >= 3
    statuses = [tuple(history(seen, step["id"], "status")) for step in final]
    # A step that is over within a frame is only ever seen as done.
    assert set(statuses) == {("ok",), ("running", "ok")}
    assert statuses.count(("running", "ok")) >= 5

    running = [[step for step in steps if step["status"] == "running"] for steps in seen]
    streamed = 0
    for step in [step for step in final if step["name"] == "extract"]:
        outputs = history(running, step["id"], "output")
        assert all(after.startswith(before) for before, after in pairwise(outputs))
        if len(outputs) >= 3:
            streamed += 1
    assert streamed >= 1
    # The longest step: a short one may be over before its time is drawn again.
    [agent] = [step for step in final if step["name"] == "agent"]
    assert len(history(running, agent["id"], "time")) >= 2, "its time stood still"
    works = [step for step in final if not step["type"].endswith("_message")]
    assert len(works) >= 8
    for step in works:
        assert DURATION.fullmatch(step["time"]), step


def test_a_reload_in_the_middle_of_a_run_shows_all_of_it_and_goes_on(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.expand()
    run = gateway.send(session, "count")["run_id"]
    inspector.wait_for_more("inner")
    before = inspector.output("inner")

    inspector.reload()
    inspector.expand()

    wait_until(lambda: inspector.output("inner") != "", "the step is back", LIMIT_S)
    assert inspector.output("inner").startswith(before)
    assert [step["name"] for step in inspector.steps()][1:] == ["agent", "outer", "inner"]
    inspector.wait_for_more("inner")
    inspector.send("finish")
    gateway.wait_for_end(session, run)
    inspector.assert_same_as(gateway.snapshot(session))
    assert inspector.recorded("snapshots") == 1, "after the first frame, only news"


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_gateway_that_goes_and_comes_back_costs_the_reader_nothing(
    serving: Stack, inspector: Inspector, ending: signal.Signals
) -> None:
    """The stream comes back with its cursor: no gap, and no snapshot again."""
    doomed = serving.gateway()
    session = doomed.create_session()
    inspector.open(doomed, session)
    inspector.expand()
    run = doomed.send(session, "count")["run_id"]
    inspector.wait_for_more("inner")

    inspector.expect_complaints("Failed to load resource: net::ERR_")
    doomed.child.signal(ending)

    wait_until(lambda: doomed.child.exit_code is not None, "the gateway is gone", LIMIT_S)
    inspector.wait_for_connection("reconnecting")
    again = serving.gateway(port=doomed.port)
    inspector.wait_for_connection("live")
    inspector.wait_for_more("inner")
    inspector.send("finish")
    again.wait_for_end(session, run)
    inspector.assert_same_as(again.snapshot(session))
    told = [each for each in inspector.recorded("connections") if each != "connecting"]
    assert [each for each, _ in groupby(told)][-3:] == ["live", "reconnecting", "live"]
    assert inspector.recorded("snapshots") == 1


def test_a_message_from_the_box_is_answered_and_stays_text(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    hostile = "<img src=x onerror=alert(1)>"

    inspector.send(hostile)

    expect(inspector.message(f"You said: {hostile}")).to_be_visible()
    expect(inspector.page.get_by_label("Message", exact=True)).to_have_value("")
    inspector.assert_same_as(gateway.snapshot(session))
    outputs = [(step["name"], step["output"]) for step in inspector.steps()]
    assert outputs == [
        ("User", hostile),
        (hostile, hostile),
        ("Assistant", f"You said: {hostile}"),
    ]
    inspector.page.get_by_role("button", name="Collapse all").click()
    expect(inspector.page.locator(".preview", has_text=hostile)).to_be_visible()
    expect(inspector.page.locator("#timeline :is(img, script)")).to_have_count(0)


def open_many_steps(gateway: Gateway, inspector: Inspector) -> tuple[str, Page]:
    """A session that is longer than the window."""
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "many steps")["run_id"])
    inspector.page.set_viewport_size({"width": 1280, "height": 800})
    inspector.open(gateway, session)
    return session, inspector.page


def test_a_long_session_is_a_window_of_its_rows_and_the_end_is_one_key_away(
    gateway: Gateway, inspector: Inspector
) -> None:
    session, page = open_many_steps(gateway, inspector)
    steps = gateway.snapshot(session)["steps"]
    expect(page.locator("[data-part=steps]")).to_have_text(f"{len(steps)} steps")
    # At its end, as a conversation is read.
    expect(row(page, "leaf 24.8")).to_be_visible()
    assert page.locator("[role=treeitem]").count() < 80
    row(page, "leaf 24.8").focus()
    page.keyboard.press("Home")
    expect(page.locator("[role=treeitem]").first).to_be_focused()
    expect(page.locator("[role=treeitem]").first).to_have_attribute("aria-level", "1")
    branch = row(page, "branch 1")
    expect(branch).to_have_attribute("aria-posinset", "3")
    expect(branch).to_have_attribute("aria-setsize", "26")
    branch.focus()
    page.keyboard.press("ArrowLeft")
    expect(branch).to_have_attribute("aria-expanded", "false")
    expect(branch.get_by_text("9 below")).to_be_visible()
    expect(row(page, "leaf 1.0")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(row(page, "leaf 1.0")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(row(page, "leaf 1.0").locator(".content-shown")).to_contain_text("leaf 0 of 1")
    page.keyboard.press("End")
    expect(row(page, "leaf 24.8")).to_be_focused()
    page.get_by_role("button", name="Collapse all").click()
    expect(row(page, "branch 24")).to_be_visible()
    expect(page.locator("[aria-expanded=true][data-kind=step]")).to_have_count(0)


def test_what_the_reader_looks_at_stays_where_it_is_and_the_end_is_followed_again(
    gateway: Gateway, inspector: Inspector
) -> None:
    session, page = open_many_steps(gateway, inspector)
    expect(row(page, "leaf 24.8")).to_be_visible()
    jump = page.get_by_role("button", name="Jump to latest")
    expect(jump).to_have_count(0)
    page.mouse.move(600, 400)
    page.mouse.wheel(0, -2000)
    expect(jump).to_be_visible()
    at = page.locator("[role=treeitem] .line-name").nth(20)
    name, before = at.inner_text(), at.bounding_box()
    run = gateway.send(session, "count")["run_id"]
    gateway.send(session, "finish")
    gateway.wait_for_end(session, run)
    cursor = gateway.snapshot(session)["cursor"]
    expect(page.locator("[data-part=cursor]")).to_have_text(cursor)
    after = row(page, name).locator(".line-name").bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 1
    jump.click()
    expect(inspector.message("All counted.")).to_be_in_viewport()
    gateway.send(session, "hello")
    expect(inspector.message("You said: hello")).to_be_in_viewport()


def test_an_unknown_session_says_what_is_wrong_and_is_made_by_a_button(
    gateway: Gateway, inspector: Inspector
) -> None:
    problem = gateway.client.get("/v1/sessions/unknown").json()
    inspector.expect_complaints("status of 404 (Not Found)")

    inspector.page.goto(f"{gateway.url}/?session=unknown")

    closed = inspector.page.get_by_role("alert").filter(has_text=problem["title"])
    expect(closed).to_contain_text("never created, has expired, or was deleted")
    expect(inspector.page.locator(".talk-over")).to_contain_text("There is no such session")
    # A person has a button for that.
    expect(closed).not_to_contain_text("POST")
    expect(closed).to_contain_text(f"404 {problem['code']}")
    inspector.wait_for_connection("closed")
    expect(inspector.page.get_by_label("Message", exact=True)).to_have_count(0)

    closed.get_by_role("button", name="Create it").click()

    inspector.wait_for_snapshot()
    inspector.send("Hello")
    expect(inspector.message("You said: Hello")).to_be_visible()


def test_a_new_session_begins_on_the_start_screen(gateway: Gateway, inspector: Inspector) -> None:
    page = inspector.page
    page.goto(gateway.url)

    page.get_by_role("main").get_by_role("button", name="New session").click()

    page.wait_for_url("**/?session=*")
    inspector.wait_for_snapshot()
    session = page.locator(".top-name").inner_text()
    inspector.send("Hello")
    expect(inspector.message("You said: Hello")).to_be_visible()
    inspector.assert_same_as(gateway.snapshot(session))

    page.go_back()

    page.get_by_role("main").get_by_role("link", name=session).click()
    expect(inspector.message("You said: Hello")).to_be_visible()


def test_the_page_lets_no_inline_code_in(gateway: Gateway, inspector: Inspector) -> None:
    answer = inspector.page.goto(gateway.url)
    assert answer is not None
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    start = inspector.page.get_by_role("main").get_by_role("button", name="New session")
    expect(start).to_be_visible()
    assert inspector.complaints == []
    inspector.expect_complaints("Content Security Policy")

    refused = inspector.page.evaluate(
        """(limitMs) => new Promise((resolve) => {
          const refused = [];
          setTimeout(() => resolve(refused.sort()), limitMs);
          document.addEventListener("securitypolicyviolation", (event) => {
            refused.push(event.effectiveDirective);
            if (refused.length === 3) resolve(refused.sort());
          });
          const script = document.createElement("script");
          script.textContent = "globalThis.inline = true";
          document.body.append(script);
          document.body.setAttribute("style", "color: red");
          const image = new Image();
          image.src = "http://127.0.0.1:8599/elsewhere.png";
        })""",
        LIMIT_S * 1000,
    )

    assert refused == ["img-src", "script-src-elem", "style-src-attr"]
    assert inspector.page.evaluate("() => globalThis.inline") is None


def test_the_stop_button_cancels_the_run(gateway: Gateway, inspector: Inspector) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.send("endless")
    page = inspector.page
    expect(page.locator(".preview", has_text="begun")).to_be_visible()

    page.locator(".run").get_by_role("button", name="Stop").click()

    expect(page.locator(".run[data-status=cancelled]")).to_be_visible()
    expect(page.get_by_text("Stopped.", exact=True).first).to_be_visible()
    expect(page.locator(".run").get_by_role("button", name="Stop")).to_have_count(0)
    statuses = {step["name"]: step["status"] for step in gateway.snapshot(session)["steps"]}
    assert statuses["endless"] == "cancelled"
    assert inspector.complaints == []


def test_elements_are_shown_with_their_step(gateway: Gateway, inspector: Inspector) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.send("elements")
    page = inspector.page
    image = page.get_by_role("img", name="dot.png")
    expect(image).to_be_visible()
    wait_until(lambda: bool(image.evaluate("(it) => it.naturalWidth === 1")), "it is loaded")
    expect(page.get_by_text("<b>only text</b>")).to_be_visible()
    expect(page.get_by_role("link", name="elsewhere")).to_have_attribute(
        "href", "https://example.com/x.pdf"
    )

    inspector.reload()

    expect(page.get_by_role("img", name="dot.png")).to_be_visible()
    assert inspector.complaints == []


def test_with_a_token_in_its_address_the_page_does_what_the_token_opens(
    guarded: Gateway, inspector: Inspector
) -> None:
    value = tokens.token("{sub}:*", rights=("read", "write"))
    session = "ada:" + new_id()
    created = guarded.client.post(
        "/v1/sessions", json={"id": session}, headers=tokens.bearer(value)
    )
    assert created.status_code == 201
    inspector.open(guarded, session, value)
    page = inspector.page
    assert value not in page.url
    inspector.send("elements")
    image = page.get_by_role("img", name="dot.png")
    expect(image).to_be_visible()
    wait_until(lambda: bool(image.evaluate("(it) => it.naturalWidth === 1")), "it is loaded")

    inspector.reload()

    expect(page.get_by_role("img", name="dot.png")).to_be_visible()
    page.get_by_role("link", name="another session").click()
    page.get_by_role("main").get_by_role("button", name="New session").click()
    page.wait_for_url(lambda url: "session=ada" in url and session not in url)
    inspector.wait_for_connection("live")
    assert inspector.complaints == []


def test_without_a_token_or_with_another_the_page_says_what_is_wrong(
    guarded: Gateway, inspector: Inspector
) -> None:
    inspector.expect_complaints("the server responded with a status of 40")
    page = inspector.page
    page.goto(f"{guarded.url}/?session=ada:1")
    expect(page.locator("#closed")).to_contain_text("401 unauthenticated")
    expect(page.locator("#closed")).to_contain_text("“#token=…”")
    # A new fragment alone loads no page: it has to notice.
    page.evaluate("(value) => { location.hash = `token=${value}`; }", tokens.token("bob:1"))
    expect(page.locator("#closed")).to_contain_text("403 forbidden")
    page.goto(f"{guarded.url}/")
    page.get_by_role("main").get_by_role("button", name="New session").click()
    expect(page.get_by_role("main").locator(".problem")).to_contain_text("this token")


@pytest.mark.parametrize("width", [1280, 360])
def test_a_deep_tree_stays_on_the_page_and_says_where_its_error_comes_from(
    gateway: Gateway, inspector: Inspector, width: int
) -> None:
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "deep")["run_id"])
    page = inspector.page
    page.set_viewport_size({"width": width, "height": 800})
    inspector.open(gateway, session)
    expect(inspector.message("the bottom")).to_be_visible()
    expect(page.locator(".message .body > .problem")).to_have_text("ValueError")
    # 25 steps have failed with one exception: it has one place.
    expect(page.locator(".tools-errors")).to_contain_text("1 error")
    page.get_by_role("button", name="Next error").click()
    deepest = row(page, "level 25")
    details = page.get_by_role("complementary", name="Details")
    expect(details.get_by_role("region", name="Error")).to_contain_text("the bottom")
    details.get_by_role("button", name="Close details").click()
    expect(deepest).to_be_focused()
    expect(deepest.locator(".line-error")).to_have_text("ValueError: the bottom")
    expect(row(page, "level 24").locator(".line-error")).to_have_text("passed on: the bottom")
    expect(row(page, "level 24").locator(".chip.errors")).to_contain_text("1")
    # Level 17 and level 25 stand in equally far, and do not look alike.
    expect(deepest.locator(".indent-level")).to_have_text("25")
    crumbs = page.get_by_role("navigation", name="Above these")
    expect(crumbs).to_contain_text("level")
    name = deepest.locator(".line-name").bounding_box()
    assert name is not None
    assert 0 < name["x"] < name["x"] + 40 <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_progress_usage_and_reused_results_are_to_be_seen_and_heard(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    run = gateway.send(session, "tracks")["run_id"]
    page = inspector.page
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("value", "3")
    expect(bar).to_have_attribute("max", "12")
    expect(bar).to_have_attribute("aria-valuetext", "3 of 12 (25%) · customers")
    expect(page.locator(".chip.reused")).to_have_text("result of attempt 1")
    expect(page.locator(".run .chip.usage")).to_contain_text("1,200 in · 34 out · cost 0.5")
    expect(page.locator("[data-part=usage]")).to_contain_text("cost 0.5")
    # The attempts are apart in the list, and beside each other in the details.
    expect(page.locator("[data-attempt]")).to_have_count(2)
    page.locator(".run .run-handler").click()
    table = page.get_by_role("region", name="Attempts").get_by_role("table")
    expect(table.get_by_role("row", name="ask_model")).to_contain_text("from 1")
    inspector.send("finish")
    gateway.wait_for_end(session, run)
    expect(bar).to_have_count(0)


MARKED = """() => [...(CSS.highlights.get("found-now") ?? [])].map(String)"""
IS_OURS = "addEventListener('keydown', (event) => { globalThis.isOurs = event.defaultPrevented; })"


def test_words_are_found_in_what_is_folded_and_filters_hide_the_rest(
    gateway: Gateway, inspector: Inspector
) -> None:
    _, page = open_many_steps(gateway, inspector)
    page.get_by_role("button", name="Collapse all").click()
    find = page.get_by_label("Find in the session")
    page.keyboard.press("Control+f")
    expect(find).to_be_focused()
    page.keyboard.type("LEAF 3 OF")
    expect(page.locator(".tools-find output")).to_have_text("25")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".tools-find output")).to_have_text("25 of 25")
    page.keyboard.type(" 7")
    expect(page.locator(".tools-find output")).to_have_text("1")
    page.keyboard.press("Enter")
    expect(page.locator(".tools-find output")).to_have_text("1 of 1")
    # It is opened, in view and marked, and the next one is asked for without going back.
    leaf = row(page, "leaf 7.3")
    expect(leaf.locator("[data-field=output]")).to_be_in_viewport()
    assert page.evaluate(MARKED) == ["leaf 3 of 7"]
    expect(page.locator("#announcer")).to_have_text("leaf 7.3: leaf 3 of 7")
    expect(find).to_be_focused()
    # Another time, it is the browser's own search.
    page.evaluate(IS_OURS)
    page.keyboard.press("Control+f")
    assert page.evaluate("isOurs") is False
    page.keyboard.press("Escape")
    expect(find).to_have_value("")
    expect(leaf).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("step="))
    page.reload()
    # A link to a step shows it, whatever is folded.
    expect(row(page, "leaf 7.3")).to_be_in_viewport()
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Type").select_option("tool")
    page.keyboard.press("Escape")
    find.fill("leaf 3 of")
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Hide what the words do not find").check()
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1280, "height": 2400})
    expect(page.locator("[data-type=tool] .line-name", has_text="leaf")).to_have_count(25)
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("tree", name="Messages and steps", exact=True)).to_be_visible()


def test_a_step_has_its_events_with_their_ids_and_the_session_its_history(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "hello")["run_id"])
    page = inspector.page
    inspector.open(gateway, session)
    page.locator(".line", has_text="hello").first.click()
    details = page.get_by_role("complementary", name="Details")
    details.get_by_text("Events", exact=True).click()
    kinds = details.locator(".events li summary")
    expect(kinds.first).to_contain_text("step.start")
    cursor = page.locator("[data-part=cursor]").inner_text()
    expect(kinds.first).to_contain_text(cursor.split("-")[0])
    with page.expect_download() as downloading:
        details.get_by_role("button", name="JSON").click()
    step = json.loads(downloading.value.path().read_text())["step"]
    assert (step["name"], step["error"]["type"]) == ("hello", "ValueError")
    page.get_by_role("button", name="More about this session").click()
    page.get_by_role("button", name="History").click()
    slider = page.get_by_role("slider", name="Event")
    last = int(slider.get_attribute("max") or "0")
    assert last == int(cursor.split("-")[1])
    expect(inspector.message("You said: hello")).to_be_visible()
    slider.fill("1")
    expect(inspector.message("You said: hello")).to_have_count(0)
    expect(page.locator("[role=treeitem]")).to_have_count(1)
    expect(page.get_by_label("Message", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Back to now").click()
    expect(inspector.message("You said: hello")).to_be_visible()


def test_a_fault_of_the_page_is_said_on_the_page(gateway: Gateway, inspector: Inspector) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.page.evaluate("() => setTimeout(() => { throw new Error('in the fold'); })")
    said = inspector.page.get_by_role("alert").filter(has_text="in the fold")
    expect(said).to_contain_text("Something in this page has failed.")
    expect(said.get_by_role("button", name="Load it again")).to_be_visible()
    inspector.complaints.clear()


def test_coming_back_runs_the_handler_for_it(gateway: Gateway, inspector: Inspector) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.page.get_by_role("button", name="More about this session").click()
    inspector.page.get_by_role("button", name="Resume").click()
    expect(inspector.message("Welcome back.")).to_be_visible()
    expect(inspector.page.locator("#menu")).to_be_hidden()


def test_a_session_is_deleted_only_when_asked_twice_and_then_gone_for_all(
    gateway: Gateway, inspector: Inspector, other: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    other.open(gateway, session)
    inspector.send("Hello")
    for each in (inspector, other):
        expect(each.message("You said: Hello")).to_be_visible()
        each.expect_complaints("status of 404 (Not Found)")
    page = inspector.page
    menu, dialog = (
        page.get_by_role("button", name="More about this session"),
        page.locator("dialog"),
    )
    for answer in ("Escape", "Enter"):
        menu.click()
        page.get_by_role("button", name="Delete session…").click()
        expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
        page.keyboard.press(answer)
        expect(dialog).to_be_hidden()
    assert gateway.client.get(f"/v1/sessions/{session}").is_success
    menu.click()
    page.get_by_role("button", name="Delete session…").click()

    dialog.get_by_role("button", name="Delete session").click()

    closed = page.get_by_role("alert").filter(has_text="You have deleted this session.")
    expect(closed).to_be_visible()
    inspector.wait_for_connection("closed")
    gone = other.page.get_by_role("alert").filter(has_text="This session is gone.")
    expect(gone).to_be_visible()
    other.wait_for_connection("closed")
    for each in (inspector, other):
        expect(each.page.locator(".talk-box")).to_have_count(0)
        expect(each.message("You said: Hello")).to_be_visible()
    assert gateway.client.get(f"/v1/sessions/{session}").status_code == 404


def test_an_upload_is_shown_and_moves_to_the_message_it_is_sent_with(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    uploads = inspector.page.get_by_role("region", name="Uploaded, not sent with anything yet")
    file = gateway.upload(session, "a.txt", b"hello")
    expect(uploads.get_by_text("a.txt").first).to_be_visible()
    inspector.reload()
    expect(uploads.get_by_text("a.txt").first).to_be_visible()
    gateway.send(session, "look", elements=[file])
    expect(inspector.message("look").get_by_text("a.txt").first).to_be_visible()
    expect(uploads).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_trace_with_its_details(
    gateway: Gateway, inspector: Inspector, scheme: str
) -> None:
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "hello")["run_id"])
    page = inspector.page
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    inspector.open(gateway, session)
    page.locator(".line", has_text="hello").first.click()
    inspector.expand()
    expect(page.get_by_role("complementary", name="Details")).to_be_visible()
    found = "\n".join(violations(page))
    assert not found, found
