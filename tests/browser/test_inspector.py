"""The inspector in a real browser, against real processes: what is streamed is what is seen."""

from __future__ import annotations

import re
import signal
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from playwright.sync_api import expect

import tokens
from browser.inspector import LIMIT_S, Inspector, Shown, depth
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
        if len(outputs) >= 4:
            streamed += 1
    assert streamed >= 2
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
    run = gateway.send(session, "count")["run_id"]
    inspector.wait_for_more("inner")
    before = inspector.output("inner")

    inspector.reload()

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
    """The browser's own EventSource comes back with its cursor: no gap, and no snapshot again."""
    doomed = serving.gateway()
    session = doomed.create_session()
    inspector.open(doomed, session)
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
    assert inspector.recorded("connections") == ["connecting", "live", "reconnecting", "live"]
    assert (inspector.recorded("streams"), inspector.recorded("snapshots")) == (1, 1)


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
    expect(inspector.page.locator(".step-preview")).to_have_text(hostile)
    expect(inspector.page.locator("#timeline :is(img, script)")).to_have_count(0)


def test_a_long_session_starts_folded_and_opens_whole(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    run = gateway.send(session, "many steps")["run_id"]
    gateway.wait_for_end(session, run)
    snapshot = gateway.snapshot(session)

    inspector.open(gateway, session)

    expect(inspector.page.locator("[data-step-id]")).to_have_count(len(snapshot["steps"]))
    folded = inspector.page.locator("[aria-expanded=false]")
    expect(folded).to_have_count(250)
    branch = inspector.page.locator(".step", has=inspector.page.get_by_text("branch 7", exact=True))
    branch.locator("> .step-toggle").click()
    leaf = branch.locator(".step-toggle", has_text="leaf 7.3")
    expect(leaf.locator(".step-preview")).to_have_text("leaf 3 of 7")
    leaf.click()
    expect(branch.locator(".step-output:visible", has_text="leaf 3 of 7")).to_be_visible()

    inspector.page.get_by_role("button", name="Expand all").click()

    expect(folded).to_have_count(0)
    inspector.assert_same_as(snapshot)


def test_an_unknown_session_says_what_is_wrong(gateway: Gateway, inspector: Inspector) -> None:
    problem = gateway.client.get("/v1/sessions/unknown").json()
    inspector.expect_complaints("status of 404 (Not Found)")

    inspector.page.goto(f"{gateway.url}/?session=unknown")

    closed = inspector.page.get_by_role("alert").filter(has_text=problem["title"])
    expect(closed).to_contain_text(problem["detail"])
    expect(closed).to_contain_text(f"404 {problem['code']}")
    inspector.wait_for_connection("closed")
    expect(inspector.page.get_by_label("Message", exact=True)).to_be_hidden()


def test_a_new_session_begins_on_the_start_screen(gateway: Gateway, inspector: Inspector) -> None:
    page = inspector.page
    page.goto(gateway.url)

    page.get_by_role("button", name="New session").click()

    page.wait_for_url("**/?session=*")
    inspector.wait_for_snapshot()
    session = page.locator("#session-name").inner_text()
    inspector.send("Hello")
    expect(inspector.message("You said: Hello")).to_be_visible()
    inspector.assert_same_as(gateway.snapshot(session))

    page.go_back()

    page.get_by_role("link", name=session).click()
    expect(inspector.message("You said: Hello")).to_be_visible()


def test_the_page_lets_no_inline_code_in(gateway: Gateway, inspector: Inspector) -> None:
    answer = inspector.page.goto(gateway.url)
    assert answer is not None
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    expect(inspector.page.get_by_role("button", name="New session")).to_be_visible()
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
    expect(page.locator(".step-output").filter(has_text="begun")).to_be_visible()

    page.get_by_role("button", name="Stop on_message").click()

    expect(page.locator(".run[data-status=cancelled]")).to_be_visible()
    expect(page.get_by_text("Stopped.", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Stop on_message")).to_be_hidden()
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
    page.locator("summary", has_text="notes").click()
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
    page.locator("summary", has_text="notes").click()
    expect(page.get_by_text("<b>only text</b>")).to_be_visible()

    inspector.reload()

    expect(page.get_by_role("img", name="dot.png")).to_be_visible()
    page.get_by_role("link", name="another session").click()
    page.get_by_role("button", name="New session").click()
    inspector.wait_for_snapshot()
    assert "session=ada" in page.url
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
    page.get_by_role("button", name="New session").click()
    expect(page.locator("#start .problem")).to_contain_text("this token")


@pytest.mark.parametrize("width", [1280, 360])
def test_a_deep_tree_stays_on_the_page_and_its_error_is_said_once_in_a_message(
    gateway: Gateway, inspector: Inspector, width: int
) -> None:
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "deep")["run_id"])
    page = inspector.page
    page.set_viewport_size({"width": width, "height": 800})
    inspector.open(gateway, session)
    bar = [
        box
        for button in page.locator("#session-actions > :visible").all()
        if (box := button.bounding_box())
    ]
    assert max(box["y"] for box in bar) < min(box["y"] + box["height"] for box in bar)
    page.get_by_role("button", name="Expand all").click()
    deepest = page.get_by_text("level 25", exact=True)
    deepest.scroll_into_view_if_needed()
    for shown in (deepest, page.get_by_text("output of level 25", exact=True)):
        box = shown.bounding_box()
        assert box is not None
        assert 0 < box["x"] < box["x"] + min(box["width"], 60) <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    card = page.locator(".message-card", has_text="the bottom")
    expect(card.locator(".error")).to_have_text("ValueError")
    expect(card.get_by_text("the bottom")).to_have_count(1)


def test_progress_usage_and_reused_results_are_to_be_seen_and_heard(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    run = gateway.send(session, "tracks")["run_id"]
    page = inspector.page
    bar = page.get_by_role("progressbar", name="Progress of import")
    expect(bar).to_have_attribute("aria-valuenow", "3", timeout=LIMIT_S * 1000)
    expect(bar).to_have_attribute("aria-valuemax", "12")
    expect(bar).to_have_attribute("aria-valuetext", "3 of 12 (25%) · customers")
    expect(page.locator(".tag.reused")).to_have_text("result of attempt 1")
    expect(page.locator(".step .tag.usage")).to_have_text("used 1,200 in · 34 out · cost 0.5")
    page.set_viewport_size({"width": 360, "height": 800})
    time = page.locator(".run-line > .step-time").first.bounding_box()
    assert time is not None
    assert time["x"] + time["width"] <= 360
    expect(page.locator(".run .tag.usage")).to_have_text("used 1,200 in · 34 out · cost 0.5")
    expect(page.locator("[data-part=usage]")).to_have_text("1,200 in · 34 out · cost 0.5")
    # A bar in a folded step can be seen and heard, too: it stands beside its button.
    page.locator("#collapse-all").evaluate("button => button.click()")
    expect(bar).to_be_visible()
    inspector.send("finish")
    gateway.wait_for_end(session, run)
    expect(bar).to_have_count(0)
