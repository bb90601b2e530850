"""What people do on the page: write, answer, click, rate, run tasks, stop and repeat."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, expect

import tokens
from browser.inspector import choose
from browser.tab import Tab, said
from stack import Gateway, Stack, wait_until
from tokens import API_KEY, SECRET, bearer

APP = '''
    import asyncio
    from typing import Literal

    from pydantic import BaseModel

    import stepwire as cl


    @cl.on_message
    async def main(message):
        for file in message.elements:
            await cl.Message(f"{file.name}: {file.path.read_text()}").send()
        if ask := getattr(Asks, message.content, None):
            await ask()
        else:
            await cl.Message(f"You said: {message.content}").send()


    class Asks:
        async def text():
            async with cl.Step("agent"):
                answer = await cl.AskUserMessage("Your name?", timeout=300).send()
            await cl.Message(f"Hello {answer['output']}").send()

        async def impatient():
            answer = await cl.AskUserMessage("Anybody?", timeout=0.1).send()
            await cl.Message(f"Got {answer}").send()

        async def action():
            actions = [
                cl.Action("yes", label="Yes, <b>go</b>", tooltip="Goes on", id="a-yes"),
                cl.Action("no", id="a-no"),
            ]
            answer = await cl.AskActionMessage("Go on?", actions=actions, timeout=300).send()
            await cl.Message(f"Chosen: {answer['name']}").send()

        async def file():
            files = await cl.AskFileMessage(
                "Your texts?", accept=["text/plain", ".csv"], max_size_mb=0.001, max_files=2
            ).send()
            await cl.Message(f"Files: {[(file.name, file.size) for file in files]}").send()

        async def buttons():
            count = cl.Action("count", label="Count <b>up</b>", tooltip="Adds one")
            actions = [count, cl.Action("go"), cl.Action("upload")]
            await cl.Message("Click one.", actions=actions).send()

        async def long():
            async with cl.Step("long"):
                await asyncio.Event().wait()


    @cl.action_callback("upload")
    async def upload(action):
        await Asks.file()


    @cl.action_callback("count")
    async def count(action):
        number = cl.user_session.get("count", 0) + 1
        cl.user_session.set("count", number)
        await cl.Message(f"Counted to {number}").send()


    @cl.action_callback("go")
    async def go(action):
        await action.remove()


    @cl.on_feedback
    async def feedback(feedback):
        pass


    class Box(BaseModel):
        width: int
        lid: bool = True


    @cl.task
    async def report(
        city: str,
        days: int = 7,
        unit: Literal["c", "f"] = "c",
        tags: list[str] = [],
        box: Box | None = None,
        options: dict[str, int] | None = None,
    ):
        """Write a report.

        Args:
            city: Where, in any language.
            days: How many.
        """
        await cl.Message(f"{city} {days} {unit} {tags} {box} {options}").send()


    @cl.task
    async def anything(**more):
        await cl.Message(f"Got {sorted(more.items())}").send()
'''


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


@pytest.fixture(scope="module")
def guarded(shared_stack: Stack, gateway: Gateway) -> Gateway:
    """Another one beside the same workers, that asks for tokens."""
    del gateway
    return shared_stack.gateway(STEPWIRE_AUTH_SECRETS=SECRET, STEPWIRE_API_KEYS=API_KEY)


@pytest.fixture
def other(browser: Browser) -> Iterator[Tab]:
    """A second person."""
    with browser.new_context() as context:
        context.set_default_timeout(15_000)
        other = Tab(context.new_page())
        yield other
        assert other.complaints == []


def begin(gateway: Gateway, tab: Tab, content: str = "") -> str:
    session = gateway.create_session()
    tab.open(gateway, session)
    if content:
        tab.send(content)
    return session


# -- the box ------------------------------------------------------------------------------------


def test_a_message_is_sent_once_however_often_enter_is_pressed(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    tab.box.fill("hello")
    # In one task of the page, before it can draw anything.
    tab.box.evaluate(
        """(box) => { for (let i = 0; i < 5; i += 1) box.dispatchEvent(
             new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true})); }"""
    )
    tab.says("You said: hello")
    expect(tab.box).to_have_value("")
    expect(tab.box).to_be_focused()
    assert said(gateway, session) == ["hello"]


def test_enter_belongs_to_the_input_method_while_a_word_is_composed(
    gateway: Gateway, tab: Tab
) -> None:
    session = begin(gateway, tab)
    tab.box.fill("日本")
    for event in ({"isComposing": True}, {"keyCode": 229}):
        tab.box.evaluate(
            """(box, init) => box.dispatchEvent(new KeyboardEvent(
                 "keydown", {key: "Enter", bubbles: true, cancelable: true, ...init}))""",
            event,
        )
    tab.box.press("Shift+Enter")
    expect(tab.box).to_have_value("日本\n")
    tab.box.press("Control+Enter")
    expect(tab.box).to_have_value("")
    wait_until(lambda: said(gateway, session) == ["日本\n"], "it is sent")


def test_what_is_written_outlives_a_reload_in_its_session_alone(gateway: Gateway, tab: Tab) -> None:
    first = begin(gateway, tab)
    text = "half a thought\n" + "long " * 20_000
    tab.box.fill(text)
    tab.reload()
    expect(tab.box).to_have_value(text)
    height = tab.box.evaluate("(box) => box.clientHeight")
    viewport = tab.page.viewport_size
    assert viewport is not None
    assert height <= viewport["height"] * 0.45
    second = gateway.create_session()
    tab.open(gateway, second)
    expect(tab.box).to_have_value("")
    tab.open(gateway, first)
    expect(tab.box).to_have_value(text)
    tab.box.fill("")
    tab.reload()
    expect(tab.box).to_have_value("")


def test_files_that_are_chosen_outlive_a_reload_in_their_session_alone(
    gateway: Gateway, tab: Tab
) -> None:
    first = begin(gateway, tab)
    picker, names = (
        tab.composer.locator("input[type=file]"),
        tab.composer.locator(".talk-file-name"),
    )
    choose(picker, ("a.txt", b"hello"), ("no.txt", b"secret"))
    # A page that is left before the browser has its copies says so when it is there again.
    wait_until(lambda: copies(tab) == ["a.txt", "no.txt"], "the browser keeps them")
    tab.reload()
    expect(names).to_have_text(["a.txt", "no.txt"])
    tab.button("Remove no.txt").click()
    wait_until(lambda: copies(tab) == ["a.txt"], "it keeps one")
    tab.reload()
    expect(names).to_have_text(["a.txt"])
    second = gateway.create_session()
    tab.open(gateway, second)
    expect(tab.box).to_be_visible()
    expect(names).to_have_count(0)
    tab.open(gateway, first)
    expect(names).to_have_text(["a.txt"])
    assert gateway.snapshot(first)["elements"] == [], "uploaded before it was sent"
    tab.send("look")
    tab.says("a.txt: hello")
    expect(names).to_have_count(0)
    tab.reload()
    tab.says("a.txt: hello")
    expect(names).to_have_count(0)


COPIES = """async () => {
    if (!(await indexedDB.databases()).some(({ name }) => name === "stepwire")) return [];
    const answer = (request) => new Promise((resolve) => {
        request.onsuccess = () => resolve(request.result);
    });
    const stored = await answer(indexedDB.open("stepwire", 1));
    const all = await answer(stored.transaction("chosen").objectStore("chosen").getAll());
    stored.close();
    return all.flatMap(({ files }) => files.map(({ name }) => name));
}"""


def copies(tab: Tab) -> list[str]:
    """The names of the files that the browser keeps."""
    names: list[str] = tab.page.evaluate(COPIES)
    return names


def test_files_that_the_browser_does_not_keep_are_named_before_and_after_a_reload(
    gateway: Gateway, tab: Tab
) -> None:
    tab.page.add_init_script("Object.defineProperty(globalThis, 'indexedDB', {value: undefined})")
    begin(gateway, tab)
    choose(tab.composer.locator("input[type=file]"), ("a.txt", b"hello"), ("b.txt", b"there"))
    told = tab.composer.get_by_role("status")
    expect(told).to_contain_text("These files are not kept if the page is loaded again")
    tab.reload()
    expect(told).to_contain_text("a.txt, b.txt. Choose them once more.")
    expect(tab.composer.locator(".talk-file-name")).to_have_count(0)
    choose(tab.composer.locator("input[type=file]"), ("a.txt", b"hello"))
    tab.send("look")
    tab.says("a.txt: hello")
    expect(told).to_have_count(0)


def test_what_could_not_be_sent_stays_and_is_sent_once(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    tab.expected = "net::ERR_FAILED"
    lost = []

    def lose(route: Route) -> None:
        """It arrives, and its answer does not."""
        lost.append(route.fetch())
        route.abort()

    tab.page.route("**/messages", lose, times=1)
    choose(tab.composer.locator("input[type=file]"), ("a.txt", b"hello"))
    tab.send("once")
    problem = tab.composer.get_by_role("alert").last
    expect(problem).to_contain_text("Not sent. The gateway does not answer")
    expect(tab.box).to_have_value("once")
    expect(tab.composer.locator(".talk-file")).to_have_count(1)
    tab.box.press("Enter")
    expect(problem).to_be_hidden()
    expect(tab.box).to_have_value("")
    expect(tab.composer.locator(".talk-file")).to_have_count(0)
    assert said(gateway, session) == ["once"]
    assert len(gateway.snapshot(session)["elements"]) == 1


def test_a_message_that_is_refused_stays_in_the_box_alone(
    gateway: Gateway, tab: Tab, shared_stack: Stack
) -> None:
    session = begin(gateway, tab)
    tab.expected = "413"
    tab.page.route(
        "**/messages",
        lambda route: route.fulfill(
            status=413,
            content_type="application/problem+json",
            body=json.dumps({"code": "message_too_large", "detail": "too long", "status": 413}),
        ),
        times=1,
    )
    tab.send("x" * 1000)
    expect(tab.composer.get_by_role("alert").last).to_contain_text("too long")
    expect(tab.box).to_have_value("x" * 1000)
    expect(tab.page.locator(".trace")).not_to_contain_text("xxxx")
    assert said(gateway, session) == []


def test_files_come_by_button_by_drop_and_from_the_clipboard(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    choose(tab.composer.locator("input[type=file]"), ("a.txt", b"hello"), ("no.txt", b"secret"))
    drop(tab, ".trace", "b.txt", "dropped")
    # A file manager puts its name beside a file; a spreadsheet puts a picture beside its cells.
    paste(tab, {"c.txt": "pasted"}, {"text/plain": "c.txt"})
    paste(tab, {"cells.png": "picture"}, {"text/plain": "1\t2", "text/html": "<table>"})
    expect(tab.composer.locator(".talk-file-name")).to_have_text(
        ["a.txt", "no.txt", "b.txt", "c.txt"]
    )
    tab.button("Remove no.txt").click()
    expect(tab.button("Remove b.txt")).to_be_focused()
    assert gateway.snapshot(session)["elements"] == [], "uploaded before it was sent"
    tab.send("look")
    for text in ("a.txt: hello", "b.txt: dropped", "c.txt: pasted"):
        tab.says(text)
    # Also without a word.
    choose(tab.composer.locator("input[type=file]"), ("d.txt", b"alone"))
    tab.button("Send").click()
    tab.says("d.txt: alone")


def drop(tab: Tab, selector: str, name: str, content: str) -> None:
    tab.page.evaluate(
        """([selector, name, content]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([content], name, {type: "text/plain"}));
          const init = {dataTransfer: transfer, bubbles: true, cancelable: true};
          const at = document.querySelector(selector);
          at.dispatchEvent(new DragEvent("dragover", init));
          at.dispatchEvent(new DragEvent("drop", init));
        }""",
        [selector, name, content],
    )


def paste(tab: Tab, files: dict[str, str], texts: dict[str, str]) -> None:
    tab.box.evaluate(
        """(box, [files, texts]) => {
          const transfer = new DataTransfer();
          for (const [name, content] of Object.entries(files)) {
            transfer.items.add(new File([content], name, {type: "text/plain"}));
          }
          for (const [type, text] of Object.entries(texts)) transfer.setData(type, text);
          const init = {clipboardData: transfer, bubbles: true, cancelable: true};
          box.dispatchEvent(new ClipboardEvent("paste", init));
        }""",
        [files, texts],
    )


def test_stop_ends_the_run_and_the_focus_goes_to_the_box(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab, "long")
    stop = tab.composer.get_by_role("button", name="Stop")
    # It is there while something else is written, which stays.
    expect(stop).to_be_visible()
    tab.box.fill("next")
    stop.focus()
    tab.page.keyboard.press("Enter")
    expect(stop).to_have_count(0)
    expect(tab.box).to_be_focused()
    expect(tab.box).to_have_value("next")
    expect(tab.page.locator("#announcer")).to_have_text("The answer was stopped")
    assert gateway.snapshot(session)["runs"][-1]["status"] == "cancelled"


# -- questions ----------------------------------------------------------------------------------


def test_a_question_is_answered_in_the_box_also_after_a_reload(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab, "text")
    expect(tab.composer).to_contain_text("Answering Your name?")
    expect(tab.ask).to_contain_text("Answer in the box below")
    expect(tab.ask.get_by_role("timer")).to_have_text("5 min left")
    expect(tab.page).to_have_title(re.compile(r"^\(\?\) "))
    tab.box.fill("Ad")
    tab.reload()
    expect(tab.composer).to_contain_text("Answering Your name?")
    expect(tab.box).to_have_value("Ad")
    tab.send("Ada")
    tab.says("Hello Ada")
    expect(tab.ask).to_contain_text("Answered")
    expect(tab.box).to_have_value("")
    expect(tab.page).to_have_title(f"{session} · stepwire")
    assert tab.violations() == []


def test_an_action_is_chosen_by_one_and_seen_by_the_other(
    gateway: Gateway, tab: Tab, other: Tab
) -> None:
    session = begin(gateway, tab, "action")
    other.open(gateway, session)
    yes = tab.ask.get_by_role("button", name="Yes, <b>go</b>")
    expect(yes).to_have_attribute("title", "Goes on")
    assert tab.violations() == []
    yes.focus()
    tab.page.keyboard.press("Enter")
    for one in (tab, other):
        expect(one.ask).to_contain_text("Answered: Yes, <b>go</b>")
        chosen = one.ask.get_by_role("button", name="Yes, <b>go</b> (chosen)")
        expect(chosen).to_have_attribute("aria-disabled", "true")
    # The keyboard's place is where it was.
    expect(tab.ask.locator("[data-chosen]")).to_be_focused()
    other.says("Chosen: yes")


def test_files_that_do_not_fit_are_said_where_they_are(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab, "file")
    ask, picker = tab.ask, tab.ask.locator("input[type=file]")
    expect(ask).to_contain_text("Up to 2 files of at most 1.0 kB: text/plain, .csv")
    send = ask.get_by_role("button", name="Send", exact=True)
    for name, content, problem in (
        ("big.txt", b"x" * 1049, "big.txt has 1.0 kB: at most 1.0 kB are asked for."),
        ("cat.png", b"x", "cat.png does not have a type that is asked for: text/plain, .csv."),
    ):
        choose(picker, (name, content))
        said_there = ask.get_by_role("alert").filter(has_text=problem)
        expect(said_there).to_be_in_viewport()
        expect(send).to_be_disabled()
        ask.get_by_role("button", name=f"Remove {name}").click()
        expect(said_there).to_have_count(0)
    choose(picker, ("a.txt", b"hello"), ("b.csv", b"1,2"), ("c.txt", b"c"))
    expect(ask).to_contain_text("These are 3 files: at most 2 can be sent.")
    ask.get_by_role("button", name="Remove c.txt").click()
    assert tab.violations() == []
    assert gateway.snapshot(session)["elements"] == [], "uploaded before it was sent"
    send.click()
    tab.says("Files: [('a.txt', 5), ('b.csv', 3)]")
    expect(ask).to_contain_text("Answered with 2 files")


def test_files_that_are_dropped_go_where_they_are_asked_for(gateway: Gateway, tab: Tab) -> None:
    begin(gateway, tab, "file")
    expect(tab.ask).to_be_visible()
    drop(tab, ".talk-ask", "a.txt", "hello")
    drop(tab, ".talk-box", "b.txt", "for the message")
    expect(tab.ask.locator(".talk-file-name")).to_have_text(["a.txt"])
    expect(tab.composer.locator(".talk-file-name")).to_have_text(["b.txt"])
    expect(tab.page.locator(".talk-drop")).to_have_count(0)
    tab.ask.get_by_role("button", name="Send", exact=True).click()
    tab.says("Files: [('a.txt', 5)]")


def test_who_answers_too_late_is_told_and_keeps_what_they_wrote(
    gateway: Gateway, tab: Tab, other: Tab
) -> None:
    session = begin(gateway, tab, "text")
    expect(tab.ask).to_be_visible()
    other.open(gateway, session)
    expect(other.composer).to_contain_text("Answering")
    other.box.fill("Bob")
    # Held back, so that the other's answer comes first without the page knowing of it.
    held: list[Route] = []
    other.page.route("**/asks/*", lambda route: held.append(route))
    with other.page.expect_request("**/asks/*"):
        other.box.press("Enter")
    tab.send("Ada")
    other.says("Hello Ada")
    other.expected = "status of 409 (Conflict)"
    held[0].continue_()
    expect(other.composer.get_by_role("alert").last).to_contain_text(
        "Your answer came too late: it was answered elsewhere."
    )
    expect(other.box).to_have_value("Bob")
    # It does not become a message by itself.
    other.box.press("Enter")
    expect(other.button("Answer")).to_be_disabled()
    other.button("Write a message instead").click()
    expect(other.box).to_be_focused()
    other.page.keyboard.press("Enter")
    tab.says("You said: Bob")
    assert said(gateway, session) == ["text", "Ada", "Bob"]


def test_a_question_does_not_take_over_what_is_being_written(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    tab.box.fill("a message")
    gateway.send(session, "text")
    expect(tab.ask.get_by_role("button", name="Answer")).to_be_visible()
    expect(tab.box).to_have_accessible_name("Message")
    tab.box.press("Enter")
    expect(tab.box).to_have_accessible_name("Your answer")
    tab.button("Write a message instead").click()
    expect(tab.box).to_have_accessible_name("Message")
    tab.ask.get_by_role("button", name="Answer").click()
    tab.send("Ada")
    tab.says("Hello Ada")
    assert said(gateway, session) == ["text", "a message", "Ada"]


def test_questions_that_nobody_answers_say_so_also_after_a_reload(
    gateway: Gateway, tab: Tab
) -> None:
    begin(gateway, tab, "impatient")
    for _ in range(2):
        expect(tab.ask).to_contain_text("No answer came in time")
        expect(tab.box).to_have_accessible_name("Message")
        tab.reload()
    tab.send("text")
    expect(tab.ask.last).to_contain_text("Answer in the box below")
    tab.composer.get_by_role("button", name="Stop").click()
    expect(tab.ask.last).to_contain_text("Cancelled before anybody answered")


# -- buttons and feedback -----------------------------------------------------------------------


def test_a_button_is_clicked_again_and_again_until_it_is_gone_for_all(
    gateway: Gateway, tab: Tab, other: Tab
) -> None:
    session = begin(gateway, tab, "buttons")
    other.open(gateway, session)
    count = other.button("Count <b>up</b>")
    expect(count).to_have_attribute("title", "Adds one")
    count.focus()
    other.page.keyboard.press("Enter")
    tab.says("Counted to 1")
    other.reload()
    count.dblclick()
    tab.says("Counted to 2")
    go = tab.button("go")
    go.focus()
    tab.page.keyboard.press("Enter")
    expect(other.button("go")).to_have_count(0)
    expect(go).to_have_count(0)
    assert tab.focused == "BUTTON"
    assert tab.violations() == []


def test_a_rating_and_its_comment_are_seen_by_all_and_can_be_taken_back(
    gateway: Gateway, tab: Tab, other: Tab
) -> None:
    session = begin(gateway, tab, "hello")
    other.open(gateway, session)
    mine, theirs = (
        one.page.get_by_role("group", name="Feedback", exact=True) for one in (tab, other)
    )
    expect(mine).to_have_count(1)
    mine.get_by_role("button", name="Good", exact=True).click()
    expect(theirs.get_by_role("button", name="Good", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    mine.get_by_role("button", name="Comment").click()
    comment = mine.get_by_label("Comment")
    expect(comment).to_be_focused()
    comment.fill("Right, and شكرا")
    assert tab.violations() == []
    mine.get_by_role("button", name="Save").click()
    expect(theirs).to_contain_text("Right, and شكرا")
    expect(mine.get_by_role("button", name="Good", exact=True)).to_be_focused()
    [given] = gateway.snapshot(session)["feedback"]
    assert (given["value"], given["comment"]) == (1, "Right, and شكرا")
    # The other thumb keeps the comment, and the pressed one takes all back.
    theirs.get_by_role("button", name="Not good").click()
    expect(mine.get_by_role("button", name="Not good")).to_have_attribute("aria-pressed", "true")
    assert gateway.snapshot(session)["feedback"][0]["comment"] == "Right, and شكرا"
    theirs.get_by_role("button", name="Not good").click()
    expect(mine.locator("[aria-pressed=true]")).to_have_count(0)
    assert gateway.snapshot(session)["feedback"] == []


def test_a_button_may_ask_for_files_and_the_box_goes_on(gateway: Gateway, tab: Tab) -> None:
    """Chainlit/chainlit#2122."""
    begin(gateway, tab, "buttons")
    tab.button("upload").click()
    choose(tab.ask.locator("input[type=file]"), ("a.txt", b"hello"))
    tab.ask.get_by_role("button", name="Send", exact=True).click()
    tab.says("Files: [('a.txt', 5)]")
    tab.send("and on")
    tab.says("You said: and on")


# -- tasks and runs -----------------------------------------------------------------------------


def test_a_task_is_run_with_what_is_filled_in(gateway: Gateway, tab: Tab) -> None:
    begin(gateway, tab)
    tab.button("Tasks").click()
    form = tab.page.get_by_role("form", name="Run a task")
    form.get_by_label("Task").select_option("report")
    expect(form).to_contain_text("Write a report.")
    expect(form.locator("[data-name=city]")).to_contain_text("Where, in any language.")
    expect(form.get_by_label("days")).to_have_value("7")
    form.get_by_label("days").fill("many")
    form.get_by_role("button", name="Run").click()
    expect(form.locator("[data-name=city]")).to_contain_text("This is needed.")
    expect(form.locator("[data-name=days]")).to_contain_text("This must be a whole number.")
    expect(form.get_by_label("city")).to_be_focused()
    assert tab.violations() == []
    form.get_by_label("city").fill("Rome")
    form.get_by_label("days").fill("3")
    form.get_by_label("unit").select_option("f")
    for word in ("a", "b"):
        form.get_by_role("button", name="Add one").click()
        form.locator(".talk-entry input, .talk-entry textarea").last.fill(word)
    form.get_by_role("group", name="box").get_by_label("Give it").check()
    form.get_by_label("width").fill("5")
    form.get_by_label("options").fill("{")
    form.get_by_role("button", name="Run").click()
    expect(form.locator("[data-name=options]")).to_contain_text("This is not JSON")
    form.get_by_label("options").fill('{"x": 1}')
    # Values in the fields stay while the form is closed.
    form.get_by_role("button", name="Close the form").click()
    expect(tab.box).to_be_focused()
    tab.button("Tasks").click()
    expect(form.get_by_label("city")).to_have_value("Rome")
    form.get_by_role("button", name="Run").click()
    tab.says("Rome 3 f ['a', 'b'] {'width': 5, 'lid': True} {'x': 1}")
    expect(form).to_have_count(0)
    expect(tab.box).to_be_focused()


def test_what_no_field_is_made_for_is_written_as_json(gateway: Gateway, tab: Tab) -> None:
    begin(gateway, tab)
    tab.button("Tasks").click()
    form = tab.page.get_by_role("form", name="Run a task")
    form.get_by_label("Task").select_option("anything")
    form.get_by_role("button", name="As JSON").click()
    text = form.get_by_label("Arguments, as JSON")
    for wrong, problem in (("{", "This is not JSON"), ("[1]", "The arguments are an object")):
        text.fill(wrong)
        form.get_by_role("button", name="Run").click()
        expect(form).to_contain_text(problem)
    text.fill('{"a": [1, null]}')
    text.press("Control+Enter")
    tab.says("Got [('a', [1, None])]")


def test_a_run_is_repeated_as_it_was_and_with_other_arguments(gateway: Gateway, tab: Tab) -> None:
    session = gateway.create_session()
    first = gateway.start(session, "report", city="Rome")
    gateway.wait_for_end(session, first)
    tab.open(gateway, session)
    run = tab.page.locator(f'[data-of-run="{first}"]')
    again = run.get_by_role("button", name="Run again", exact=False).first
    again.dblclick()
    expect(tab.page.get_by_text("Rome 7 c [] None None", exact=True)).to_have_count(2)
    assert tab.focused == "BUTTON"
    run.get_by_role("button", name="Edit and run again…").click()
    form = tab.page.get_by_role("form", name="Run again with other arguments")
    expect(form.get_by_label("city")).to_have_value("Rome")
    form.get_by_label("city").fill("Oslo")
    form.get_by_role("button", name="Run again").click()
    tab.says("Oslo 7 c [] None None")
    runs = [run for run in gateway.snapshot(session)["runs"] if run["handler"] == "report"]
    assert [run.get("retry_of") for run in runs] == [None, first, first]


def test_a_message_is_sent_anew_in_other_words(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab, "hello")
    tab.says("You said: hello")
    run = gateway.snapshot(session)["runs"][-1]["run_id"]
    row = tab.page.locator(f'[data-of-run="{run}"]')
    row.get_by_role("button", name="Edit and run again…").click()
    expect(tab.box).to_have_value("hello")
    expect(tab.composer).to_contain_text("Sends this message anew")
    tab.send("hello there")
    tab.says("You said: hello there")
    expect(tab.composer).not_to_contain_text("Sends this message anew")
    new = gateway.snapshot(session)["runs"][-1]
    assert new["retry_of"] == run
    assert tab.violations() == []


# -- tokens, and where the page looks -----------------------------------------------------------


def test_an_ended_token_is_replaced_and_nothing_is_lost(guarded: Gateway, tab: Tab) -> None:
    response = guarded.client.post("/v1/sessions", json={}, headers=bearer(API_KEY))
    session = response.json()["session_id"]
    rights = ("read", "write", "cancel")
    tab.open(guarded, session, tokens.token(session, rights=rights))
    assert "token" not in tab.page.url
    tab.expected = "401"
    tab.box.fill("do not lose this")
    # The next request finds that it has ended.
    refused = {"code": "unauthenticated", "detail": "the token has ended", "status": 401}
    tab.page.route(
        "**/messages",
        lambda route: route.fulfill(
            status=401, content_type="application/problem+json", body=json.dumps(refused)
        ),
        times=1,
    )
    tab.box.press("Enter")
    prompt = tab.page.locator(".talk-token")
    expect(prompt).to_contain_text("Your token has ended")
    expect(tab.box).to_have_value("do not lose this")
    assert tab.violations() == []
    link = (
        f"{guarded.url}/?session={session}#token={tokens.token(session, rights=rights, ttl_s=900)}"
    )
    prompt.locator("input").fill(link)
    prompt.get_by_role("button", name="Go on").click()
    expect(prompt).to_have_count(0)
    tab.wait_live()
    expect(tab.box).to_have_value("do not lose this")
    tab.box.press("Enter")
    tab.says("You said: do not lose this")


def test_a_token_that_may_only_read_gets_no_box_and_is_told_why(guarded: Gateway, tab: Tab) -> None:
    response = guarded.client.post("/v1/sessions", json={}, headers=bearer(API_KEY))
    session = response.json()["session_id"]
    tab.open(guarded, session, tokens.token(session))
    expect(tab.page.locator(".talk-over")).to_have_text(
        "You can read this session, and not write in it."
    )
    expect(tab.box).to_have_count(0)


def test_a_session_that_is_deleted_takes_no_messages(gateway: Gateway, tab: Tab) -> None:
    session = begin(gateway, tab)
    tab.expected = "404"
    gateway.client.delete(f"/v1/sessions/{session}")
    expect(tab.page.locator(".talk-over")).to_contain_text("This session is gone")
    expect(tab.box).to_have_count(0)


def test_the_box_says_when_no_worker_is_there(stack: Stack, tab: Tab) -> None:
    gateway = stack.gateway()
    begin(gateway, tab)
    expect(tab.composer).to_contain_text("No worker is there: what you send waits for one.")
    expect(tab.box).to_be_enabled()


def test_a_hidden_page_tells_of_questions_and_ends(
    gateway: Gateway, context: BrowserContext, tab: Tab
) -> None:
    context.grant_permissions(["notifications"], origin=gateway.url)
    tab.page.add_init_script(
        """globalThis.told = [];
           globalThis.asked = 0;
           globalThis.hidden = false;
           globalThis.Notification = class {
             static permission = "default";
             static async requestPermission() {
               globalThis.asked += 1;
               return (Notification.permission = "granted");
             }
             constructor(words, {body}) { told.push(`${words}: ${body}`); }
           };
           Object.defineProperty(document, "hidden", {get: () => globalThis.hidden});"""
    )
    session = begin(gateway, tab)
    assert tab.page.evaluate("asked") == 0, "the browser asks without a click"
    tab.page.get_by_role("button", name="Notify me", exact=False).click()
    expect(tab.page.get_by_role("button", name="Notify me", exact=False)).to_have_attribute(
        "aria-pressed", "true"
    )
    assert tab.page.evaluate("asked") == 1
    tab.page.evaluate("hidden = true; document.dispatchEvent(new Event('visibilitychange'))")
    sent = gateway.send(session, "text")
    expect(tab.page).to_have_title(f"(?) {session} · stepwire")
    wait_until(lambda: bool(tab.page.evaluate("told.length")), "it tells of the question")
    ask = gateway.open_ask(session)
    gateway.answer(session, ask["id"], content="Ada")
    gateway.wait_for_end(session, sent["run_id"])
    expect(tab.page).to_have_title(f"✓ {session} · stepwire")
    assert tab.page.evaluate("told") == [
        "A question waits for you: Your name?",
        "The answer is done: ",
    ]
    tab.page.evaluate("hidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(tab.page).to_have_title(f"{session} · stepwire")


def test_the_box_fits_a_telephone_and_writes_from_right_to_left(
    browser: Browser, gateway: Gateway
) -> None:
    with browser.new_context(
        viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True
    ) as context:
        tab = Tab(context.new_page())
        begin(gateway, tab)
        tab.box.fill("مرحبا")
        direction = tab.box.evaluate("(box) => getComputedStyle(box).direction")
        assert direction == "rtl"
        # Without a Shift key to hold, Enter begins a line.
        tab.box.press("Enter")
        expect(tab.box).to_have_value("مرحبا\n")
        choose(tab.composer.locator("input[type=file]"), ("a-very-long-name-" * 12 + ".txt", b"x"))
        tab.button("Tasks").click()
        width = tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320
        for element in (".talk", ".talk-composer", ".talk-task"):
            box = tab.page.locator(element).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 320
        tab.button("Send").tap()
        expect(tab.box).to_have_value("")
        assert tab.complaints == []
