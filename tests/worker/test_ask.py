"""Questions to the person: what they take, and code that asks without a worker around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import stepwire as cl
from bench import Bench
from stepwire_core.log import answers
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import AskDocument

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: cl.AskUserMessage("?", timeout=0), "timeout takes a number of seconds above zero"),
        (lambda: cl.AskUserMessage("?", timeout=True), "not True"),
        (lambda: cl.AskUserMessage("?", author=7), "must be a string, not int"),  # type: ignore[arg-type]
        (lambda: cl.AskActionMessage("?", actions=[]), "a list of actions, at least one"),
        (lambda: cl.AskActionMessage("?", actions=["yes"]), "is a cl.Action, not str"),  # type: ignore[list-item]
        (
            lambda: cl.AskActionMessage(
                "?", actions=[cl.Action("a", id="x"), cl.Action("b", id="x")]
            ),
            "two actions have the same id",
        ),
        (lambda: cl.Action(""), "an Action needs a name"),
        (lambda: cl.Action("a", payload="value"), "payload of an Action is a dict, not str"),  # type: ignore[arg-type]
        (lambda: cl.Action("a", label=3), "label of an Action is text, not int"),  # type: ignore[arg-type]
        (lambda: cl.Action("a", id="no id"), "action id 'no id' is not usable"),
        (lambda: cl.AskFileMessage("?", accept="text/plain"), "accept takes a list"),
        (lambda: cl.AskFileMessage("?", accept=[]), "accept takes a list"),
        (lambda: cl.AskFileMessage("?", accept=["png"]), "'png' is neither a media type"),
        (lambda: cl.AskFileMessage("?", accept=[".png"], max_files=0), "max_files takes"),
        (lambda: cl.AskFileMessage("?", accept=[".png"], max_size_mb=-1), "max_size_mb takes"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_when_it_is_made(
    make: Callable[[], object], what: str
) -> None:
    with pytest.raises(cl.InvalidArgument, match=what):
        make()


def test_accept_takes_media_types_with_their_extensions() -> None:
    ask = cl.AskFileMessage("?", accept={"text/plain": [".txt", ".log"], "image/*": []})
    assert ask.accept == ["text/plain", "image/*", ".txt", ".log"]


async def test_a_question_outside_any_session_says_what_to_do() -> None:
    with pytest.raises(cl.NoActiveSession, match=r"with cl.session\(id\)"):
        await cl.AskUserMessage("?").send()


async def answer_next(bench: Bench, **given: Any) -> None:
    async with asyncio.timeout(15):
        ask = await open_ask(bench)
    answer = answers.Answer(id=new_id(), **given)
    await bench.log.answer(answers.answer_batch(ask, answer, answers.ended(ask, answer)))


async def open_ask(bench: Bench) -> AskDocument:
    looked = 0
    while not (found := [a for a in (await bench.snapshot()).asks if a.status == "open"]):
        looked += 1
        assert looked < 10_000
    return found[0]


async def test_a_script_can_ask(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWIRE_REDIS_URL", bench.settings.redis_url)
    async with cl.session(bench.session_id):
        asked = asyncio.create_task(cl.AskUserMessage("Name?").send())
        await answer_next(bench, content="Ada")
        answer = await asked
    assert answer is not None
    assert (answer["output"], answer["run_id"]) == ("Ada", None)


async def test_a_synchronous_handler_asks_through_run_sync(bench: Bench) -> None:
    def handler() -> None:
        answer = cl.run_sync(cl.AskUserMessage("Name?").send())
        assert answer is not None
        cl.run_sync(cl.Message(answer["output"]).send())

    running = asyncio.create_task(bench.run(handler))
    await answer_next(bench, content="Ada")
    assert (await running).status == "ok"
    assert [step.output for step in (await bench.snapshot()).steps] == ["Name?", "Ada", "Ada"]


async def test_a_loop_of_its_own_can_ask_too(bench: Bench) -> None:
    results: list[Any] = []

    def handler() -> None:
        context = cl.current().export()

        def other() -> None:
            async def ask() -> None:
                async with cl.attach(context):
                    results.append(await cl.AskUserMessage("Name?").send())

            asyncio.run(ask())

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    from stepwire._transport.process_publisher import used_as_process_publisher

    with used_as_process_publisher(bench.publisher):
        running = asyncio.create_task(bench.run(handler))
        await answer_next(bench, content="Ada")
        await running
    assert results[0]["output"] == "Ada"


async def test_a_question_that_nobody_awaits_ends_with_its_run(bench: Bench) -> None:
    async def handler() -> None:
        background.append(asyncio.create_task(cl.AskUserMessage("?", timeout=30).send()))
        await open_ask(bench)

    background: list[asyncio.Task[Any]] = []
    assert (await bench.run(handler)).status == "ok"
    [ask] = (await bench.snapshot()).asks
    assert ask.status == "cancelled"
    types = await bench.types()
    assert types[-2:] == ["ask.end", "run.end"]
    async with asyncio.timeout(15):
        assert await background[0] is None


async def test_an_answer_in_the_last_moment_counts(bench: Bench) -> None:
    """The handler's time is up while an answer is stored: one of both ends the ask."""
    results: list[Any] = []

    async def handler() -> None:
        for timeout_ms in range(1, 31):
            asked = asyncio.create_task(cl.AskUserMessage("?", timeout=timeout_ms / 1000).send())
            ask = await newest_ask(bench, len(results) + 1)
            answer = answers.Answer(id=new_id(), content="now")
            batch = answers.answer_batch(ask, answer, answers.ended(ask, answer))
            try:
                await bench.log.answer(batch)
                taken = True
            except cl.AskEnded:
                taken = False
            results.append((taken, await asked is not None))

    await bench.run(handler)
    assert all(taken == answered for taken, answered in results), results
    ended = [event for event in await bench.types() if event == "ask.end"]
    assert len(ended) == 30


async def test_a_removed_question_is_answered_by_nobody(bench: Bench) -> None:
    async def handler() -> None:
        question = cl.AskUserMessage("?", timeout=30)
        asked = asyncio.create_task(question.send())
        ask = await open_ask(bench)
        await question.remove()
        await gone(bench, ask)
        answer = answers.Answer(id=new_id(), content="x")
        batch = answers.answer_batch(ask, answer, answers.ended(ask, answer))
        with pytest.raises(cl.AskEnded):
            await bench.log.answer(batch)
        async with asyncio.timeout(15):
            assert await asked is None

    assert (await bench.run(handler)).status == "ok"
    snapshot = await bench.snapshot()
    assert (snapshot.asks, snapshot.steps) == ([], [])


async def gone(bench: Bench, ask: AskDocument) -> None:
    looked = 0
    while ask.step_id in [step.id for step in (await bench.snapshot()).steps]:
        looked += 1
        assert looked < 10_000


async def newest_ask(bench: Bench, number: int) -> AskDocument:
    looked = 0
    while len(found := (await bench.snapshot()).asks) < number:
        looked += 1
        assert looked < 10_000
    return found[-1]
