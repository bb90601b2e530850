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
from stack import Stack, wait_until

AGENT = Path(__file__).parents[2] / "examples" / "agent.py"
QUESTION = "Who gets a snapshot after a reconnect?"
DURATION = re.compile(r"\d+ ms|\d+(\.\d+)? s")

# Streams until it is told to finish, so that nothing here depends on how fast a machine is.
UNTIL_FINISH = """
    import asyncio
    import stepwire as cl

    finish = asyncio.Event()

    @cl.on_message(concurrency="parallel")
    async def main(message):
        if message.content == "finish":
            finish.set()
            return
        async with cl.Step("agent", type="run"):
            async with cl.Step("outer"):
                async with cl.Step("inner", type="llm") as inner:
                    for number in range(10_000):
                        await inner.stream_token(f"{number} ")
                        await asyncio.sleep(0.01)
                        if finish.is_set():
                            break
            async with cl.Step("after", type="tool") as after:
                after.output = {"numbers": number}
        await cl.Message("All counted.").send()
"""

ECHO = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        said = message.content
        try:
            async with cl.Step(said, tags=[said], metadata={said: said}, language="html") as step:
                step.input = said
                step.output = said
                raise ValueError(said)
        except ValueError:
            await cl.Message(f"You said: {said}").send()
"""

MANY_STEPS = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        for number in range(25):
            async with cl.Step(f"branch {number}"):
                for leaf in range(9):
                    async with cl.Step(f"leaf {number}.{leaf}", type="tool") as step:
                        step.input = {"leaf": leaf}
                        await step.stream_token(f"leaf {leaf} of {number}")
"""


STOPPABLE = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main():
        async with cl.Step("endless") as step:
            await step.stream_token("begun")
            await asyncio.Event().wait()

    @cl.on_stop
    async def stopped():
        await cl.Message("Stopped.").send()
"""


ELEMENTS = """
    import base64
    import stepwire as cl

    DOT = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4"
        "z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
    )

    @cl.on_message
    async def main():
        elements = [
            cl.Image(name="dot.png", content=DOT),
            cl.Text(name="notes", content="<b>only text</b>"),
            cl.Pdf(name="elsewhere", url="https://example.com/x.pdf"),
        ]
        async with cl.Step("shows", elements=elements):
            pass
"""


DEEP = """
    import stepwire as cl

    async def nest(level):
        async with cl.Step(f"level {level}", type="tool") as step:
            step.output = f"output of level {level}"
            if level < 25:
                await nest(level + 1)
            else:
                raise ValueError("the bottom")

    @cl.on_message
    async def main():
        await nest(1)
"""


def history(seen: list[list[Shown]], step_id: str, key: str) -> list[str]:
    """What a step has shown there, one after another."""
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
    stack: Stack, inspector: Inspector
) -> None:
    stack.worker(UNTIL_FINISH)
    gateway = stack.gateway()
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
    stack: Stack, inspector: Inspector, ending: signal.Signals
) -> None:
    """The browser's own EventSource comes back with its cursor: no gap, and no snapshot again."""
    stack.worker(UNTIL_FINISH)
    gateway = stack.gateway()
    session = gateway.create_session()
    inspector.open(gateway, session)
    run = gateway.send(session, "count")["run_id"]
    inspector.wait_for_more("inner")

    inspector.expect_complaints("Failed to load resource: net::ERR_")
    gateway.child.signal(ending)

    wait_until(lambda: gateway.child.exit_code is not None, "the gateway is gone", LIMIT_S)
    inspector.wait_for_connection("reconnecting")
    again = stack.gateway(port=gateway.port)
    inspector.wait_for_connection("live")
    inspector.wait_for_more("inner")
    inspector.send("finish")
    again.wait_for_end(session, run)
    inspector.assert_same_as(again.snapshot(session))
    assert inspector.recorded("connections") == ["connecting", "live", "reconnecting", "live"]
    assert (inspector.recorded("streams"), inspector.recorded("snapshots")) == (1, 1)


def test_a_message_from_the_box_is_answered_and_stays_text(
    stack: Stack, inspector: Inspector
) -> None:
    stack.worker(ECHO)
    gateway = stack.gateway()
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


def test_a_long_session_starts_folded_and_opens_whole(stack: Stack, inspector: Inspector) -> None:
    stack.worker(MANY_STEPS)
    gateway = stack.gateway()
    session = gateway.create_session()
    run = gateway.send(session, "go")["run_id"]
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


def test_an_unknown_session_says_what_is_wrong(stack: Stack, inspector: Inspector) -> None:
    gateway = stack.gateway()
    problem = gateway.client.get("/v1/sessions/nobody-knows").json()
    inspector.expect_complaints("status of 404 (Not Found)")

    inspector.page.goto(f"{gateway.url}/?session=nobody-knows")

    closed = inspector.page.get_by_role("alert").filter(has_text=problem["title"])
    expect(closed).to_contain_text(problem["detail"])
    expect(closed).to_contain_text(f"404 {problem['code']}")
    inspector.wait_for_connection("closed")
    expect(inspector.page.get_by_label("Message", exact=True)).to_be_hidden()


def test_a_new_session_begins_on_the_start_screen(stack: Stack, inspector: Inspector) -> None:
    stack.worker(ECHO)
    gateway = stack.gateway()
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


def test_the_page_lets_no_inline_code_in(stack: Stack, inspector: Inspector) -> None:
    gateway = stack.gateway()
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


def test_the_stop_button_cancels_the_run(stack: Stack, inspector: Inspector) -> None:
    stack.worker(STOPPABLE)
    gateway = stack.gateway()
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.send("go")
    page = inspector.page
    expect(page.locator(".step-output").filter(has_text="begun")).to_be_visible()

    page.get_by_role("button", name="Stop on_message").click()

    expect(page.locator(".run[data-status=cancelled]")).to_be_visible()
    expect(page.get_by_text("Stopped.", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Stop on_message")).to_be_hidden()
    statuses = {step["name"]: step["status"] for step in gateway.snapshot(session)["steps"]}
    assert statuses["endless"] == "cancelled"
    assert inspector.complaints == []


def test_elements_are_shown_with_their_step(stack: Stack, inspector: Inspector) -> None:
    stack.worker(ELEMENTS)
    gateway = stack.gateway()
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.send("go")
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
    stack: Stack, inspector: Inspector
) -> None:
    stack.worker(ELEMENTS)
    gateway = stack.gateway(STEPWIRE_AUTH_SECRETS=tokens.SECRET)
    value = tokens.token("{sub}:*", rights=("read", "write"))
    gateway.client.headers = tokens.bearer(value)
    session = gateway.create_session()
    inspector.open(gateway, session, value)
    page = inspector.page
    assert value not in page.url
    inspector.send("go")
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
    stack: Stack, inspector: Inspector
) -> None:
    gateway = stack.gateway(STEPWIRE_AUTH_SECRETS=tokens.SECRET)
    inspector.expect_complaints("the server responded with a status of 40")
    page = inspector.page
    page.goto(f"{gateway.url}/?session=ada:1")
    expect(page.locator("#closed")).to_contain_text("401 unauthenticated")
    expect(page.locator("#closed")).to_contain_text("“#token=…”")
    # A new fragment alone loads no page: it has to notice.
    page.evaluate("(value) => { location.hash = `token=${value}`; }", tokens.token("bob:1"))
    expect(page.locator("#closed")).to_contain_text("403 forbidden")
    page.goto(f"{gateway.url}/")
    page.get_by_role("button", name="New session").click()
    expect(page.locator("#start .problem")).to_contain_text("this token")


@pytest.mark.parametrize("width", [1280, 360])
def test_a_deep_tree_stays_on_the_page_and_its_error_is_said_once_in_a_message(
    stack: Stack, inspector: Inspector, width: int
) -> None:
    stack.worker(DEEP)
    gateway = stack.gateway()
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "go")["run_id"])
    page = inspector.page
    page.set_viewport_size({"width": width, "height": 800})
    inspector.open(gateway, session)
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
