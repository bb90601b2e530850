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
