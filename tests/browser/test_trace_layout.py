"""How the lines of a trace stand: bars where there is little room, and from right to left."""

from __future__ import annotations

from typing import TypedDict

import pytest
from playwright.sync_api import Locator, expect

from browser.axe import violations
from browser.inspector import Inspector, row
from stack import Gateway, Stack, wait_until

APP = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main(message):
        if message.content == "long":
            word = "unbroken" * 60
            async with cl.Step(word, type="tool", tags=[word, word]) as step:
                step.output = word
            async with cl.Step("", type="tool", tags=["short"]):
                pass
            file = cl.File(name=f"{word}.txt", content=b"x")
            return await cl.Message(word, elements=[file]).send()
        async with cl.Step("agent", type="run"):
            async with cl.Step("first", type="tool") as step:
                step.output = "a" * 300
                await asyncio.sleep(0.15)
            async with cl.Step("second", type="tool"):
                await asyncio.sleep(0.15)
        await cl.Message("done").send()
        raise ValueError("\\u05dc\\u05d0 nothing works")
"""
RIGHT_TO_LEFT = "document.documentElement.dir = 'rtl'"


class Box(TypedDict):
    x: float
    y: float
    width: float
    height: float


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP, STEPWIRE_TRACEBACKS="clients")
    return shared_stack.gateway()


@pytest.fixture
def session(gateway: Gateway, inspector: Inspector) -> str:
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.send(session, "go")["run_id"])
    inspector.page.set_viewport_size({"width": 1280, "height": 800})
    inspector.open(gateway, session)
    return session


def box(of: Locator) -> Box:
    found = of.bounding_box()
    assert found is not None
    return Box(x=found["x"], y=found["y"], width=found["width"], height=found["height"])


def bar(inspector: Inspector, name: str) -> Box:
    return box(row(inspector.page, name).locator(".bar-run"))


@pytest.mark.usefixtures("session")
def test_bars_of_durations_are_there_beside_the_details_and_on_a_telephone(
    inspector: Inspector,
) -> None:
    page = inspector.page
    wide = box(row(page, "first").locator(".bar"))
    assert wide["height"] > 8

    row(page, "second").locator(".line").click()

    details = page.get_by_role("complementary", name="Details")
    expect(details.locator(".bar-run")).to_be_visible()
    expect(details.locator(".facts").first).to_contain_text("In its run")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        if width == 390:
            details.get_by_role("button", name="Close details").click()
        line, track = row(page, "first").locator(".line"), row(page, "first").locator(".bar")
        # The lower edge of the line, as wide as the line: as much of time as there is room.
        expect(track).to_be_visible()
        assert box(track)["width"] == pytest.approx(box(line)["width"], abs=1)
        assert box(track)["height"] < 6
        first, second = bar(inspector, "first"), bar(inspector, "second")
        assert first["width"] > 40
        assert second["x"] >= first["x"] + first["width"] - 2
        # Nothing is covered by it.
        name = box(row(page, "first").locator(".line-name"))
        assert name["y"] + name["height"] <= first["y"] + 1
    page.get_by_role("button", name="Waterfall").click()
    expect(page.locator(".line .bar")).to_have_count(0)


@pytest.mark.usefixtures("session")
def test_a_page_from_right_to_left_is_the_same_in_a_mirror(inspector: Inspector) -> None:
    page = inspector.page
    page.evaluate(RIGHT_TO_LEFT)

    agent, first = (box(row(page, name).locator(".line-name")) for name in ("agent", "first"))
    assert first["x"] + first["width"] < agent["x"] + agent["width"], "the child stands in further"
    # Later is further to the left, and a line's time stands left of its name.
    assert bar(inspector, "second")["x"] < bar(inspector, "first")["x"]
    time = row(page, "first").locator(".line-time")
    assert box(time)["x"] < first["x"]
    for words in (time, page.locator(".run .line-time")):
        expect(words).to_have_css("unicode-bidi", "plaintext")
    toggle = row(page, "first").locator(".toggle .icon")
    expect(toggle).to_have_css("rotate", "180deg")
    # The key that leads inward points inward.
    row(page, "agent").focus()
    page.keyboard.press("ArrowLeft")
    expect(row(page, "first")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(row(page, "agent")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(row(page, "first")).to_have_count(0)

    page.locator(".run .line-name").click()

    details = page.get_by_role("complementary", name="Details")
    assert box(details)["x"] == 0
    error = details.get_by_role("region", name="Error")
    # A message in Hebrew is read from the right, and code from the left.
    expect(error.locator("pre").first).to_have_css("direction", "rtl")
    expect(error.locator(".traceback")).to_have_css("direction", "ltr")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = "\n".join(violations(page))
    assert not found, found


def test_long_names_tags_and_files_keep_to_their_row_and_an_empty_name_has_a_word(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    page = inspector.page
    inspector.open(gateway, session)
    gateway.wait_for_end(session, gateway.send(session, "long")["run_id"])
    expect(row(page, "unnamed")).to_be_visible()
    expect(page.get_by_text("undefined")).to_have_count(0)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        expect(inspector.message("unbroken").last).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        list_width = page.locator("#timeline").evaluate(
            "(list) => [list.scrollWidth, list.clientWidth]"
        )
        assert list_width[0] <= list_width[1]
        for line in page.locator(".step .line").all():
            # All of the line is there, behind what is long: its time, too.
            time, whole = box(line.locator(".line-time")), box(line)
            assert box(line)["height"] == 30
            assert time["x"] + time["width"] <= whole["x"] + whole["width"] + 1


def test_the_begin_and_the_end_of_a_run_are_announced(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    page = inspector.page
    page.evaluate(
        """() => {
          globalThis.told = [];
          const announcer = document.getElementById("announcer");
          new MutationObserver(() => told.push(announcer.textContent.trim()))
            .observe(announcer, {childList: true, characterData: true, subtree: true});
        }"""
    )
    inspector.send("go")
    wait_until(
        lambda: {"The answer begins", "The answer has failed"} <= set(page.evaluate("told")),
        "both are announced",
    )
