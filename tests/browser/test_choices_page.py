"""What people choose on the page: settings, a profile, a question to begin with, elements."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser.tab import Tab, said
from stack import Gateway, Stack, wait_until

APP = """
    import stepwire as cl
    from stepwire.input_widget import (
        DatePicker, MultiSelect, NumberInput, Select, Slider, Switch, Tab, Tags, TextInput,
    )

    @cl.on_chat_start
    async def begin():
        await cl.ChatSettings([
            Tab("model", "Model", [
                Select("model", "Model", values=["small", "large"], initial_value="small"),
                Slider("temperature", "Temperature", initial=0.5, min=0, max=2, step=0.1),
                NumberInput("most", "Most", initial=3),
            ]),
            Tab("style", "Style", [
                Switch("loud", "Loud"),
                TextInput("name", "Name", description="As people call you."),
                Tags("tags", "Tags", initial=["a"]),
                MultiSelect("kinds", "Kinds", values=["x", "y"]),
                DatePicker("day", "Day"),
                TextInput("version", "Version", initial="1", disabled=True),
            ]),
        ]).send()
        await cl.Message(f"profile {cl.user_session.get('chat_profile')}").send()

    @cl.on_settings_update
    async def changed(settings):
        await cl.Message(f"told {settings}").send()

    @cl.on_message
    async def main(message):
        if message.content == "beside":
            await cl.ElementSidebar.set_title("Notes")
            await cl.ElementSidebar.set_elements([cl.CustomElement("Note", props={"text": "hi"})])
        elif message.content == "ask":
            props = {"city": "Rome", "big": False, "zip": 1}
            element = cl.CustomElement("Address", props=props)
            answer = await cl.AskElementMessage("Where?", element, timeout=60).send()
            await cl.Message(f"got {answer}").send()
        else:
            await cl.Message(f"{message.content} {message.metadata}").send()

    @cl.set_chat_profiles
    async def profiles(user, language):
        return [
            cl.ChatProfile("fast", "**Fast** answers"),
            cl.ChatProfile("deep", "Thinks *long*", display_name="Deep", default=True,
                           starters=[cl.Starter("Why?", "Why is it so?", command="think")]),
        ]

    @cl.set_starters
    def starters(user):
        return [cl.Starter("Hello", "Hello!")]
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


def begin(gateway: Gateway, tab: Tab) -> str:
    session = gateway.create_session()
    tab.open(gateway, session)
    tab.says("profile deep")
    return session


def test_settings_are_changed_in_their_form(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    opener = tab.button("Settings")
    opener.click()
    dialog = tab.page.get_by_role("dialog", name="Settings")
    dialog.get_by_role("combobox", name="Model").select_option("large")
    dialog.get_by_role("slider").fill("1.5")
    dialog.get_by_label("Most").fill("many")
    assert tab.violations(".talk-dialog") == []
    dialog.get_by_role("tab", name="Model").press("ArrowRight")
    expect(dialog.get_by_role("tab", name="Style")).to_be_focused()
    dialog.get_by_role("switch", name="Loud").check()
    dialog.get_by_label("Name").fill("Ada")
    dialog.get_by_label("Tags").fill("b")
    dialog.get_by_label("Tags").press("Enter")
    dialog.get_by_label("y", exact=True).check()
    dialog.get_by_label("Day").fill("2026-11-29")
    expect(dialog.get_by_label("Version")).to_be_disabled()
    assert tab.violations(".talk-dialog") == []
    tab.expected = "422"
    dialog.get_by_role("button", name="Save").click()
    # The gateway's words stand at the input, in its tab.
    expect(dialog.locator("[data-input=most]")).to_contain_text("takes a number or null")
    expect(dialog.get_by_label("Most")).to_be_focused()
    dialog.get_by_label("Most").fill("4")
    # Changed values stay while the form is closed.
    tab.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()
    opener.click()
    expect(dialog.get_by_label("Most")).to_have_value("4")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(tab.page.get_by_text("told {'model': 'large', 'temperature': 1.5")).to_be_visible()
    [form] = [e for e in gateway.snapshot(session)["elements"] if e["type"] == "settings"]
    assert form["props"]["values"] == {
        "model": "large",
        "temperature": 1.5,
        "most": 4,
        "loud": True,
        "name": "Ada",
        "tags": ["a", "b"],
        "kinds": ["y"],
        "day": "2026-11-29",
        "version": "1",
    }
    opener.click()
    expect(dialog.get_by_label("Most")).to_have_value("4")


def test_a_profile_is_chosen_and_its_starters_are_sent(gateway: Gateway, tab: Tab) -> None:
    tab.page.goto(gateway.url)
    deep = tab.page.get_by_role("radio", name="Deep Thinks long")
    expect(deep).to_be_checked()
    fast = tab.page.get_by_role("radio", name="fast Fast answers")
    fast.check()
    tab.page.get_by_role("main").get_by_role("button", name="New session").click()
    tab.says("profile fast")
    expect(tab.button("Hello")).to_be_visible()
    session = tab.page.url.split("session=")[1]

    other = gateway.create_session()
    tab.open(gateway, other)
    starter = tab.button("Why?")
    expect(tab.page.get_by_role("region", name="To begin with")).to_contain_text("Deep")
    assert tab.violations(".talk-starters") == []
    starter.dblclick()
    tab.says("Why is it so? {'command': 'think'}")
    expect(starter).to_have_count(0)
    assert said(gateway, other) == ["Why is it so?"]
    assert said(gateway, session) == []


def test_the_sidebar_stands_beside_the_conversation(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    gateway.send(session, "beside")
    sidebar = tab.page.get_by_role("complementary", name="Notes")
    expect(sidebar).to_contain_text("hi")
    assert tab.violations(".talk-sidebar") == []
    sidebar.get_by_role("button", name="Close the sidebar").click()
    expect(sidebar).to_have_count(0)
    expect(tab.box).to_be_focused()
    # A new element opens it again.
    gateway.send(session, "beside")
    expect(sidebar).to_be_visible()


def test_an_element_that_asks_is_filled_in(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    tab.send("ask")
    form = tab.page.get_by_role("form", name="Address")
    expect(form.get_by_label("city")).to_have_value("Rome")
    form.get_by_label("city").fill("Oslo")
    form.get_by_label("zip").fill("22")
    assert tab.violations() == []
    form.get_by_role("button", name="Submit").click()
    expect(tab.page.get_by_text("got {", exact=False)).to_contain_text("'city': 'Oslo'")
    expect(tab.ask).to_contain_text("Answered")
    [ask] = gateway.snapshot(session)["asks"]
    assert ask["answer"]["submission"]["props"] == {"city": "Oslo", "big": False, "zip": 22}
    tab.send("ask")
    expect(form).to_be_visible()
    form.get_by_role("button", name="Cancel").click()
    expect(tab.ask.last).to_contain_text("Cancelled")
    wait_until(
        lambda: gateway.snapshot(session)["asks"][1]["status"] == "answered", "it is cancelled"
    )
