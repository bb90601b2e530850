"""``stepwire.testing``: what users test their handlers with."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

import stepwire as cl
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire._transport.publisher import Publisher
from stepwire.testing import App
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.log.event_log import open_log
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id

pytestmark = pytest.mark.anyio

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def app(stepwire_app: App) -> App:
    stepwire_app.load(str(APPS / "small_chat.py"))
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


@pytest.fixture
def personal(stepwire_app: App) -> App:
    stepwire_app.load(str(APPS / "personal_chat.py"))
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
    assert sys.modules["personal_chat"].ENDED == ["Ada"]
    assert personal.tree.children == []


IMPORTED = """
import stepwire as cl

@cl.task
async def there():
    pass
"""

IMPORTING = """
import stepwire as cl
import beside_the_app

@cl.task
async def here():
    pass
"""


async def test_a_second_load_has_the_handlers_of_imported_modules(
    stepwire_app: App, tmp_path: Path
) -> None:
    (tmp_path / "beside_the_app.py").write_text(IMPORTED)
    (tmp_path / "imports_another.py").write_text(IMPORTING)
    for _ in range(2):
        stepwire_app.load(str(tmp_path / "imports_another.py"))
        for task in ("here", "there"):
            assert (await stepwire_app.task(task)).status == "ok"


async def test_a_session_block_in_a_test_goes_where_the_handlers_go(app: App) -> None:
    await app.message("go")
    with cl.session(app.session_id), cl.Step("by the test"):
        pass
    await app.message("again")
    assert "by the test" in app.tree


async def test_a_later_session_block_has_a_publisher_that_is_open(server: EmbeddedServer) -> None:
    """As a run with sub-tasks may end in another order than it began."""
    settings = Settings(redis_url=server.url)
    publisher = Publisher(settings)
    with used_as_process_publisher(publisher):
        app = App()
        app.load(str(APPS / "flaky_parts.py"))
        assert (await app.message("go")).status == "ok"
        app.close()
        async with cl.session(session_id := new_id()):
            await cl.Message("later").send()
    await asyncio.to_thread(publisher.close)
    async with open_log(settings) as log:
        assert [step.output for step in (await log.snapshot(session_id)).steps] == ["later"]


async def test_a_failing_assertion_shows_a_run_and_steps_as_sentences(app: App) -> None:
    run = await app.message("boom")
    assert repr(run) == "<the run of on_message ended as error: ValueError: as asked>"
    assert repr(app.tree["agent"]) == "<agent (run) ok with search, Assistant>"
    assert repr(app.tree) == "<the steps User>"
