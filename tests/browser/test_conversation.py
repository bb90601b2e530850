"""What people do in the inspector: answer, send files, rate, and delete."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from browser.inspector import Inspector, choose
from stack import Gateway, Stack

APP = """
    import base64
    import stepwire as cl

    @cl.on_message
    async def main(message):
        for file in message.elements:
            await cl.Message(f"{file.name}: {file.path.read_text()}").send()
        if ask := getattr(Asks, message.content, None):
            await ask()

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

        async def rated():
            async with cl.Step("rated", disable_feedback=False) as step:
                step.output = "x"
            async with cl.Step("private"):
                pass

        async def tasks():
            search = cl.Task("Search <b>all</b>", cl.TaskStatus.RUNNING)
            tasks = cl.TaskList([search, cl.Task("Write")], status="Busy")
            await tasks.send()
            await cl.AskUserMessage("Go on?", timeout=300).send()
            search.status = cl.TaskStatus.DONE
            tasks.status = "Half done"
            await tasks.send()

        async def buttons():
            count = cl.Action("count", label="Count <b>up</b>", tooltip="Adds one")
            await cl.Message("Click one.", actions=[count, cl.Action("go")]).send()

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

    @cl.on_chat_resume
    async def back(thread):
        await cl.Message("Welcome back.").send()
"""


@pytest.fixture
def other(browser: Browser) -> Iterator[Inspector]:
    """A second person."""
    with browser.new_context() as context:
        other = Inspector(context.new_page())
        yield other
        assert other.complaints == []


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


def begin(gateway: Gateway, inspector: Inspector, content: str) -> str:
    """A session that is shown, with a handler that asks."""
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.send(content)
    expect(inspector.ask).to_be_visible()
    return session


# -- questions ----------------------------------------------------------------------------------


def test_a_question_is_answered_in_the_box_also_after_a_reload(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = begin(gateway, inspector, "text")
    box = inspector.page.locator("#composer")
    expect(box).to_contain_text("Answering Your name?")
    expect(inspector.ask).to_contain_text("Answer in the box below")
    expect(inspector.ask.get_by_role("timer")).to_have_text("5 min left")

    inspector.reload()

    expect(box).to_contain_text("Answering Your name?")
    inspector.answer("Ada")
    expect(inspector.message("Hello Ada")).to_be_visible()
    expect(inspector.ask).to_have_text("Answered", use_inner_text=True)
    expect(box.get_by_label("Message", exact=True)).to_have_value("")
    inspector.assert_same_as(gateway.snapshot(session))
    [asked] = gateway.snapshot(session)["asks"]
    [answer] = [s for s in gateway.snapshot(session)["steps"] if s["output"] == "Ada"]
    assert (asked["answer"]["message_id"], asked["step_id"]) == (answer["id"], answer["parent_id"])


def test_an_action_is_chosen_by_one_and_seen_by_the_other(
    gateway: Gateway, inspector: Inspector, other: Inspector
) -> None:
    session = begin(gateway, inspector, "action")
    other.open(gateway, session)
    yes, no = (other.ask.get_by_role("button", name=name) for name in ("Yes, <b>go</b>", "no"))
    expect(yes).to_have_attribute("title", "Goes on")

    inspector.ask.get_by_role("button", name="Yes, <b>go</b>").focus()
    inspector.page.keyboard.press("Enter")

    for _ in range(2):
        expect(yes).to_have_accessible_name("Yes, <b>go</b> (chosen)")
        for button in (yes, no):
            expect(button).to_be_disabled()
        expect(no).to_have_accessible_name("no")
        expect(other.ask).to_contain_text("Answered")
        expect(other.message("Chosen: yes")).to_be_visible()
        other.reload()


def test_a_button_of_a_message_is_clicked_again_and_again_until_it_is_gone_for_all(
    gateway: Gateway, inspector: Inspector, other: Inspector
) -> None:
    session = gateway.create_session()
    for one in (inspector, other):
        one.open(gateway, session)
    inspector.send("buttons")
    count, go = (
        other.page.get_by_role("button", name=name, exact=True)
        for name in ("Count <b>up</b>", "go")
    )
    expect(count).to_have_attribute("title", "Adds one")
    count.focus()
    other.page.keyboard.press("Enter")
    expect(inspector.message("Counted to 1")).to_be_visible()
    other.reload()
    count.click()
    expect(inspector.message("Counted to 2")).to_be_visible()
    inspector.page.get_by_role("button", name="go", exact=True).click()
    expect(go).to_have_count(0)
    expect(count).to_be_enabled()
    inspector.assert_same_as(gateway.snapshot(session))


def test_a_list_of_tasks_changes_where_it_stands(gateway: Gateway, inspector: Inspector) -> None:
    begin(gateway, inspector, "tasks")
    tasks = inspector.page.get_by_role("region", name="Tasks")
    expect(tasks).to_have_text("BusySearch <b>all</b> (running)Write (ready)")
    inspector.answer("yes")
    expect(tasks).to_have_text("Half doneSearch <b>all</b> (done)Write (ready)")


def test_files_are_chosen_looked_at_and_sent(gateway: Gateway, inspector: Inspector) -> None:
    session = begin(gateway, inspector, "file")
    ask, picker = inspector.ask, inspector.ask.locator("input[type=file]")
    expect(ask).to_contain_text("Up to 2 files of at most 1.0 kB: text/plain, .csv")
    expect(picker).to_have_attribute("accept", "text/plain,.csv")
    assert picker.evaluate("(it) => it.multiple")
    send = ask.get_by_role("button", name="Send", exact=True)
    expect(send).to_be_hidden()
    for name, content, problem in (
        ("big.txt", b"x" * 1049, "big.txt has 1.0 kB: at most 1.0 kB are asked for."),
        ("cat.png", b"x", "cat.png does not have a type that is asked for: text/plain, .csv."),
    ):
        choose(picker, (name, content))
        expect(ask.get_by_role("alert")).to_have_text(problem)
        expect(send).to_be_disabled()
        ask.get_by_role("button", name=f"Remove {name}").click()
        expect(ask.get_by_role("alert")).to_be_hidden()
    choose(picker, ("a.txt", b"hello"), ("b.csv", b"1,2"), ("c.txt", b"c"))
    expect(ask.get_by_role("alert")).to_have_text("These are 3 files: at most 2 can be sent.")
    ask.get_by_role("button", name="Remove c.txt").click()
    assert gateway.snapshot(session)["elements"] == [], "uploaded before it was sent"

    send.click()

    expect(inspector.message("Files: [('a.txt', 5), ('b.csv', 3)]")).to_be_visible()
    for _ in range(2):
        expect(ask).to_have_text("Answered with 2 files", use_inner_text=True)
        question = inspector.message("Your texts?")
        expect(question.get_by_role("link", name="a.txt")).to_be_visible()
        expect(question.get_by_role("link", name="b.csv")).to_be_visible()
        inspector.reload()


def test_files_that_are_dropped_go_where_they_are_asked_for(
    gateway: Gateway, inspector: Inspector
) -> None:
    begin(gateway, inspector, "file")
    inspector.drop("#timeline", "a.txt", "hello")
    inspector.drop("#composer textarea", "b.txt", "for the message")
    expect(inspector.ask.locator(".chip")).to_have_text(["a.txt5 B"])
    expect(inspector.page.locator("#composer .chip")).to_have_text(["b.txt15 B"])
    expect(inspector.page.locator("#drop")).to_be_hidden()
    inspector.ask.get_by_role("button", name="Send", exact=True).click()
    expect(inspector.message("Files: [('a.txt', 5)]")).to_be_visible()


def test_who_answers_too_late_is_told_and_keeps_what_they_wrote(
    gateway: Gateway, inspector: Inspector, other: Inspector
) -> None:
    session = begin(gateway, inspector, "text")
    other.open(gateway, session)
    box = other.page.get_by_label("Your answer", exact=True)
    box.fill("Bob")
    # Held back, so that the other's answer comes first without the page knowing of it.
    held: list[Route] = []
    other.page.route("**/asks/*", lambda route: held.append(route))
    with other.page.expect_request("**/asks/*"):
        box.press("Enter")

    inspector.answer("Ada")

    expect(other.message("Hello Ada")).to_be_visible()
    other.expect_complaints("status of 409 (Conflict)")
    held[0].continue_()
    late = "Your answer came too late: another person was quicker and has answered."
    expect(other.page.locator("#composer").get_by_role("alert")).to_contain_text(late)
    expect(box).to_have_value("Bob")
    # It does not become a message by itself.
    box.press("Enter")
    expect(other.page.get_by_role("button", name="Answer", exact=True)).to_be_disabled()
    other.page.get_by_role("button", name="Write a message instead").click()
    other.page.keyboard.press("Enter")
    expect(inspector.message("Bob")).to_be_visible()
    assert [s["output"] for s in gateway.snapshot(session)["steps"] if s["name"] == "User"] == [
        "text",
        "Ada",
        "Bob",
    ]


def test_a_question_does_not_take_over_what_is_being_written(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    box = inspector.page.locator("#composer textarea")
    box.fill("a message")

    gateway.send(session, "text")

    answer = inspector.ask.get_by_role("button", name="Answer")
    expect(answer).to_be_visible()
    expect(box).to_have_accessible_name("Message")
    box.press("Enter")
    expect(inspector.message("a message")).to_be_visible()
    expect(box).to_have_accessible_name("Your answer")
    inspector.page.get_by_role("button", name="Write a message instead").click()
    expect(box).to_have_accessible_name("Message")
    answer.click()
    inspector.answer("Ada")
    expect(inspector.message("Hello Ada")).to_be_visible()


def test_questions_that_nobody_answers_say_so_also_after_a_reload(
    gateway: Gateway, inspector: Inspector
) -> None:
    begin(gateway, inspector, "impatient")
    for _ in range(2):
        expect(inspector.ask).to_have_text("No answer came in time", use_inner_text=True)
        expect(inspector.page.get_by_label("Message", exact=True)).to_be_visible()
        inspector.reload()
    inspector.send("text")
    expect(inspector.ask.last).to_contain_text("Answer in the box below")
    inspector.page.get_by_role("button", name="Stop on_message").click()
    expect(inspector.ask.last).to_have_text(
        "Cancelled before anybody answered", use_inner_text=True
    )


# -- files --------------------------------------------------------------------------------------


def test_files_go_with_a_message(gateway: Gateway, inspector: Inspector) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.attach(("a.txt", b"hello"), ("not this.txt", b"secret"))
    inspector.drop("#timeline", "b.txt", "dropped")
    page = inspector.page
    page.get_by_role("button", name="Remove not this.txt").click()
    inspector.send("look")
    expect(inspector.message("a.txt: hello")).to_be_visible()
    expect(inspector.message("b.txt: dropped")).to_be_visible()
    expect(page.locator("#composer .chip")).to_have_count(0)
    for _ in range(2):
        expect(inspector.message("look").get_by_role("link")).to_have_text(
            [re.compile(r"^a\.txt"), re.compile(r"^b\.txt")]
        )
        inspector.reload()
    # Also without a word.
    inspector.attach(("c.txt", b"alone"))
    page.get_by_role("button", name="Send", exact=True).click()
    expect(inspector.message("c.txt: alone")).to_be_visible()
    assert [item["name"] for item in gateway.snapshot(session)["elements"]] == [
        "a.txt",
        "b.txt",
        "c.txt",
    ]


def test_what_could_not_be_sent_stays_and_is_sent_once(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.expect_complaints("Failed to load resource: net::ERR_FAILED")
    page = inspector.page
    lost = []

    def lose(route: Route) -> None:
        lost.append(route.fetch())
        route.abort()

    # It arrives, and its answer does not.
    page.route("**/messages", lose, times=1)
    inspector.attach(("a.txt", b"hello"))
    inspector.send("once")
    problem = page.locator("#composer").get_by_role("alert")
    expect(problem).to_contain_text("The gateway does not answer. Press Enter to try again.")
    expect(page.locator("#composer .chip")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(problem).to_be_hidden()
    expect(page.locator("#composer .chip")).to_have_count(0)
    snapshot = gateway.snapshot(session)
    assert [s["output"] for s in snapshot["steps"]].count("once") == 1
    assert len(snapshot["elements"]) == 1


def test_an_upload_is_shown_and_moves_to_the_message_it_is_sent_with(
    gateway: Gateway, inspector: Inspector
) -> None:
    session = gateway.create_session()
    inspector.open(gateway, session)
    uploads = inspector.page.get_by_role("region", name="Uploaded, not sent with anything yet")
    file = gateway.upload(session, "a.txt", b"hello")
    expect(uploads.get_by_role("link", name="a.txt")).to_be_visible()
    inspector.reload()
    expect(uploads.get_by_role("link", name="a.txt")).to_be_visible()
    gateway.send(session, "look", elements=[file])
    expect(inspector.message("look").get_by_role("link", name="a.txt")).to_be_visible()
    expect(uploads).to_be_hidden()
    expect(inspector.page.get_by_role("link", name="a.txt")).to_have_count(1)


# -- feedback -----------------------------------------------------------------------------------


def test_thumbs_are_seen_by_all_and_can_be_taken_back(
    gateway: Gateway, inspector: Inspector, other: Inspector
) -> None:
    session = gateway.create_session()
    run = gateway.send(session, "rated")["run_id"]
    gateway.wait_for_end(session, run)
    for page in (inspector, other):
        page.open(gateway, session)
        expect(page.page.get_by_role("group", name="Feedback")).to_have_count(1)
    mine, theirs = (
        page.page.locator(".step", has_text="rated").get_by_role("group", name="Feedback")
        for page in (inspector, other)
    )
    for label, pressed in (("Good", "Good"), ("Not good", "Not good"), ("Not good", None)):
        mine.get_by_role("button", name=label, exact=True).click()
        for thumb in ("Good", "Not good"):
            for thumbs in (mine, theirs):
                expect(thumbs.get_by_role("button", name=thumb, exact=True)).to_have_attribute(
                    "aria-pressed", "true" if thumb == pressed else "false"
                )
        values = [item["value"] for item in gateway.snapshot(session)["feedback"]]
        assert values == {"Good": [1], "Not good": [0], None: []}[pressed]
    theirs.get_by_role("button", name="Good", exact=True).click()
    expect(mine.locator("[aria-pressed=true]")).to_have_count(1)
    inspector.reload()
    good = mine.get_by_role("button", name="Good", exact=True)
    expect(good).to_have_attribute("aria-pressed", "true")
    inspector.page.get_by_role("button", name="Collapse all").click()
    expect(inspector.page.get_by_title("rated good")).to_be_visible()


# -- the session --------------------------------------------------------------------------------


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
    session = begin(gateway, inspector, "text")
    other.open(gateway, session)
    other.expect_complaints("status of 404 (Not Found)")
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
    for each in (page, other.page):
        expect(each.locator("#composer")).to_be_hidden()
        expect(each.locator(".message-card", has_text="Your name?")).to_be_visible()
        expect(each.get_by_role("button", name="Stop on_message")).to_be_hidden()
    assert gateway.client.get(f"/v1/sessions/{session}").status_code == 404
    page.get_by_role("link", name="Open another session").click()
    expect(page.get_by_role("link", name=session)).to_have_count(0)


PARTS = """
    import asyncio
    import stepwire as cl

    @cl.task
    async def part(fails):
        async with cl.Step("part"):
            pass
        if fails:
            raise ValueError("no luck")

    @cl.on_message
    async def main(message):
        async with cl.Step("plan"):
            await cl.enqueue(part, fails=False)
            try:
                await cl.enqueue(part, fails=True)
            except cl.TaskFailed:
                pass
        await cl.Message("done").send()
"""


def test_sub_tasks_show_as_steps_and_as_runs_only_when_they_fail(
    stack: Stack, inspector: Inspector
) -> None:
    stack.worker(PARTS)
    gateway = stack.gateway()
    session = gateway.create_session()
    inspector.open(gateway, session)
    inspector.send("go")
    expect(inspector.message("done")).to_be_visible()
    expect(inspector.page.locator("li.run:visible .run-handler")).to_have_text(
        ["on_message", "part"]
    )
    failed = inspector.page.locator("li.run:visible", has_text="no luck")
    expect(failed).to_have_count(1)
    inspector.reload()
    expect(failed).to_have_count(1)
