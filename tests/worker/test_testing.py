"""``stepwire.testing``: what users test their handlers with."""

from __future__ import annotations

from pathlib import Path

import pytest

import stepwire as cl
from stepwire.testing import App

pytestmark = pytest.mark.anyio

MODULE = """
import stepwire as cl

@cl.on_chat_start
async def hello():
    await cl.Message("Welcome").send()

@cl.on_message
async def main(message):
    cl.user_session.set("asked", cl.user_session.get("asked", 0) + 1)
    async with cl.Step("agent", type="run") as agent:
        async with cl.Step("search", type="tool") as search:
            search.output = f"{cl.user_session.get('asked')} hits for {message.content}"
        answer = cl.Message()
        for token in ("an", "swer"):
            await answer.stream_token(token)
        await answer.send()
    if message.content == "boom":
        raise ValueError("as asked")

@cl.task
async def add(a, b):
    with cl.Step("sum") as step:
        step.output = a + b
"""


@pytest.fixture
def app(stepwire_app: App, tmp_path: Path) -> App:
    path = tmp_path / "handlers_under_test.py"
    path.write_text(MODULE)
    stepwire_app.load(str(path))
    return stepwire_app


async def test_a_message_leaves_a_tree_to_read(app: App) -> None:
    assert (await app.start()).status == "ok"
    run = await app.message("stepwire", page=1)
    assert (run.status, run.handler) == ("ok", "on_message")
    user = app.tree["User"]
    assert (user.output, user.metadata) == ("stepwire", {"page": 1})
    assert [step.name for step in app.tree.children] == ["Assistant", "User"]
    agent = user["agent"]
    assert [step.name for step in agent.children] == ["search", "Assistant"]
    assert agent["search"].output == "1 hits for stepwire"
    assert agent["Assistant"].output == "answer"


async def test_a_session_remembers_between_messages(app: App) -> None:
    await app.message("a")
    await app.message("b")
    assert [b.output for b in app.tree.walk() if b.step and b.name == "search"] == [
        "1 hits for a",
        "2 hits for b",
    ]


async def test_a_task_runs_with_its_arguments(app: App) -> None:
    assert (await app.task("add", a=1, b=2)).status == "ok"
    assert app.tree["sum"].output == "3"


async def test_a_failing_handler_is_a_failed_run(app: App) -> None:
    run = await app.message("boom")
    assert run.error is not None
    assert (run.status, run.error.message) == ("error", "as asked")


async def test_a_missing_step_is_named_beside_what_there_is(app: App) -> None:
    await app.message("x")
    assert "search" in app.tree
    assert "nope" not in app.tree
    with pytest.raises(KeyError, match="search \\(tool\\) ok"):
        app.tree["nope"]


async def test_a_missing_handler_is_an_error_of_the_test(app: App) -> None:
    with pytest.raises(cl.HandlerNotFound, match="it has: add, on_chat_start, on_message"):
        await app.task("nope")


PERSONAL = """
import stepwire as cl

ENDED = []

@cl.on_message
async def main(message):
    cl.user_session.set("name", "nobody")
    for element in message.elements:
        await cl.Message(element.path.read_text(), author="file").send()
    answer = await cl.AskUserMessage("Your name?").send()
    cl.user_session.set("name", answer["output"])
    chosen = await cl.AskActionMessage("Sure?", actions=[cl.Action("yes"), cl.Action("no")]).send()
    [file] = await cl.AskFileMessage("Text?", accept=["text/plain"]).send()
    await cl.Message(f"{answer['output']} {chosen['name']} {file.path.read_text()}").send()

@cl.on_feedback
async def rated(feedback):
    await cl.Message(f"{feedback.value} {feedback.comment}", author="rated").send()

@cl.on_chat_resume
async def back(thread):
    await cl.Message(f"{len(thread['steps'])} {thread['metadata']}", author="back").send()

@cl.on_chat_end
async def end():
    ENDED.append(cl.user_session.get("name"))
"""


@pytest.fixture
def personal(stepwire_app: App, tmp_path: Path) -> App:
    path = tmp_path / "personal_handlers.py"
    path.write_text(PERSONAL)
    stepwire_app.load(str(path))
    return stepwire_app


async def test_a_test_answers_what_the_handler_asks(personal: App, tmp_path: Path) -> None:
    (tmp_path / "sent.txt").write_text("sent")
    (tmp_path / "later.txt").write_text("later")
    personal.reply("Ada", "yes", [tmp_path / "later.txt"])
    run = await personal.message("hello", files=[tmp_path / "sent.txt"])
    assert (run.status, run.error) == ("ok", None)
    assert personal.tree["file"].output == "sent"
    outputs = [branch.output for branch in personal.tree["User"].children]
    assert outputs == ["sent", "Your name?", "Sure?", "Text?", "Ada yes later"]


async def test_a_question_without_an_answer_is_an_error_of_the_test(personal: App) -> None:
    with pytest.raises(LookupError, match=r"asks for text, and no answer is left: stepwire_app"):
        await personal.message("hello")


async def test_an_answer_that_does_not_fit_is_an_error_of_the_test(personal: App) -> None:
    personal.reply("Ada", "maybe")
    with pytest.raises(cl.InvalidArgument, match="has no action 'maybe'"):
        await personal.message("hello")


async def test_feedback_return_and_end_have_their_handlers(personal: App, tmp_path: Path) -> None:
    (tmp_path / "later.txt").write_text("later")
    personal.reply("Ada", "yes", [tmp_path / "later.txt"])
    await personal.message("hello")
    assert (await personal.feedback(personal.tree["Assistant"], 1, "nice")).status == "ok"
    assert personal.tree["rated"].output == "1 nice"
    with pytest.raises(cl.FeedbackDisabled):
        await personal.feedback(personal.tree["User"], 1)
    await personal.resume()
    assert personal.tree["back"].output == "7 {'name': 'Ada'}"
    await personal.end()
    import sys

    assert sys.modules["personal_handlers"].ENDED == ["Ada"]
    assert personal.tree.children == []
