"""``cl.chat_context``: the conversation, from what the session shows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import stepwire as cl
from stepwire_core.errors import InvalidArgument, NoActiveSession
from stepwire_core.log.event_log import Batch
from stepwire_core.values.ids import message_producer, new_id
from stepwire_core.wire.user_messages import message_events, user_message
from stepwire_core.wire.words import REPLACES

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue

    from bench import Bench
    from stepwire.testing import App
    from stepwire_core.wire.documents import StepDocument

ASKS = """
import stepwire as cl

@cl.on_message
async def main(message):
    before = cl.chat_context.to_openai()
    await cl.AskUserMessage("Your name?").send()
    async with cl.Step("seen") as step:
        step.output = [before, cl.chat_context.to_openai()]
"""

pytestmark = pytest.mark.anyio


async def asked(bench: Bench, text: str, replaces: str | None = None) -> StepDocument:
    """A person's message, stored as a gateway stores it; its run waits."""
    metadata: dict[str, JsonValue] = {} if replaces is None else {REPLACES: replaces}
    message = user_message(bench.session_id, new_id(), text, run_id=new_id(), metadata=metadata)
    await bench.log.append(
        Batch(
            bench.session_id,
            message_events(message),
            producer=message_producer(message.id),
            run_id=message.run_id or "",
        )
    )
    return message


async def answered(
    bench: Bench, message: StepDocument, *, again: str | None = None, trigger: str = "submit"
) -> list[str]:
    """What the context is in the run that answers a message, before it does; ``again`` is the run
    that has answered it before."""
    seen: list[str] = []

    async def main(message: cl.Message) -> None:
        assert message.trigger == trigger
        seen.extend(said())
        suffix = "" if again is None else " again"
        await cl.Message(message.content.upper() + suffix).send()

    run_id = message.run_id if again is None else f"{again}again"
    run = await bench.run(main, message=message, run_id=run_id, retry_of=again)
    assert run.status == "ok", run.error
    return seen


def said() -> list[str]:
    return [f"{each['role']}: {each['content']}" for each in cl.chat_context.to_openai()]


async def test_each_run_has_what_was_said_before_it(bench: Bench) -> None:
    assert await answered(bench, await asked(bench, "a")) == ["user: a"]
    second = await answered(bench, await asked(bench, "b"))
    assert second == ["user: a", "assistant: A", "user: b"]


async def test_a_changed_message_takes_the_place_of_the_old_one_and_of_what_followed(
    bench: Bench,
) -> None:
    first = await asked(bench, "a")
    await answered(bench, first)
    second = await asked(bench, "b")
    await answered(bench, second)
    await answered(bench, await asked(bench, "c"))
    changed = await asked(bench, "B", replaces=second.id)
    seen = await answered(bench, changed, trigger="edit")
    assert seen == ["user: a", "assistant: A", "user: B"]
    # The client knows it by the id of the first version.
    once_more = await asked(bench, "d", replaces=second.id)
    seen = await answered(bench, once_more, trigger="edit")
    assert seen == ["user: a", "assistant: A", "user: d"]
    assert (await answered(bench, await asked(bench, "e")))[2:] == [
        "user: d",
        "assistant: D",
        "user: e",
    ]


async def test_of_several_answers_to_one_message_the_last_one_counts(bench: Bench) -> None:
    first = await asked(bench, "a")
    await answered(bench, first)
    assert first.run_id is not None
    again = await answered(bench, first, again=first.run_id, trigger="regenerate")
    assert again == ["user: a"]
    next_one = await answered(bench, await asked(bench, "b"))
    assert next_one == ["user: a", "assistant: A again", "user: b"]
    last = await answered(bench, first, again=f"{first.run_id}again", trigger="regenerate")
    assert last == ["user: a"]


async def test_a_message_that_waits_for_its_turn_is_not_there_yet(bench: Bench) -> None:
    one, two, three = [await asked(bench, text) for text in "abc"]
    assert await answered(bench, one) == ["user: a"]
    assert await answered(bench, two) == ["user: a", "user: b", "assistant: A"]
    # As one that is answered at the same time has begun.
    assert await answered(bench, two.model_copy(update={"run_id": new_id()})) != []
    assert (await answered(bench, three))[:3] == ["user: a", "user: b", "user: c"]


async def test_what_the_run_itself_says_is_there_at_once_and_as_it_is_now(bench: Bench) -> None:
    async def task() -> None:
        before = cl.Message("before")
        await before.send()
        assert said() == ["assistant: before"]
        streamed = cl.Message()
        await streamed.stream_token("half")
        assert said() == ["assistant: before"]
        await streamed.send()
        before.content = "changed"
        await before.update()
        async with cl.Step("tool", type="tool"):
            await cl.Message("inside").send()
        assert said() == ["assistant: changed", "assistant: half", "assistant: inside"]
        await streamed.remove()
        assert said() == ["assistant: changed", "assistant: inside"]
        await cl.ErrorMessage("broken").send()
        await cl.Message("rules", type="system_message").send()
        assert said()[2:] == ["system: rules"]

    run = await bench.run(task)
    assert run.status == "ok", run.error


async def test_errors_and_what_an_earlier_attempt_said_are_left_out(bench: Bench) -> None:
    seen: list[list[str]] = []

    async def fails() -> None:
        await cl.Message("half an answer").send()
        raise ValueError("broken")

    async def task() -> None:
        seen.append(said())

    await bench.run(fails)
    await bench.run(task)
    run_id = new_id()
    await bench.log.register_run(bench.session_id, run_id, "")
    producer = bench.publisher.producer(
        (await bench.log.begin_run(bench.session_id, run_id, "t")).producer,
        bench.session_id,
        run_id,
        1,
    )
    message = user_message(bench.session_id, new_id(), "lost", run_id=run_id, attempt=1)
    lost = message.model_copy(update={"type": "assistant_message"})
    producer.publish(*message_events(lost))
    await producer.flush()
    await bench.run(task)
    again = replace(bench, settings=bench.settings.model_copy(update={"max_attempts": 2}))
    await again.run(task, run_id=run_id)
    assert seen == [
        ["assistant: half an answer"],
        ["assistant: half an answer", "assistant: lost"],
        ["assistant: half an answer"],
    ]


async def test_what_is_added_removed_and_cleared_is_kept_for_later_runs(bench: Bench) -> None:
    prompt = cl.Message("be brief", type="system_message")

    async def begin() -> None:
        assert cl.chat_context.add(prompt) is prompt
        cl.chat_context.add(prompt)
        await cl.Message("hello").send()
        cl.chat_context.add(cl.Message("note", type="system_message"))

    async def later() -> None:
        expected = ["system: be brief", "assistant: hello", "system: note"]
        assert said() == expected
        hello = cl.chat_context.get()[1]
        assert cl.chat_context.remove(hello)
        assert not cl.chat_context.remove(hello)
        assert cl.chat_context.remove(cl.chat_context.get()[-1])
        assert said() == ["system: be brief"]
        cl.chat_context.add(hello)
        assert said() == expected[:2]

    async def cleared() -> None:
        assert said() == ["system: be brief", "assistant: hello"]
        cl.chat_context.clear()
        await cl.Message("new").send()

    async def last() -> None:
        assert said() == ["assistant: new"]

    for task in (begin, later, cleared, last):
        run = await bench.run(task)
        assert run.status == "ok", run.error
    # Nobody sees what is only there for the model.
    assert [step.output for step in (await bench.snapshot()).steps] == ["hello", "new"]


async def test_its_own_value_of_the_user_session_is_hidden_and_taken(bench: Bench) -> None:
    async def task() -> None:
        cl.chat_context.add(cl.Message("x"))
        assert cl.user_session.get(".chat_context") is None
        with pytest.raises(InvalidArgument):
            cl.user_session.set(".chat_context", {})

    run = await bench.run(task)
    assert run.status == "ok", run.error


async def test_a_message_of_it_can_be_changed_and_keeps_its_id(bench: Bench) -> None:
    async def task() -> None:
        await cl.Message("one", id="m1").send()

    async def later() -> None:
        [message] = cl.chat_context.get()
        assert (message.id, message.author) == ("m1", "Assistant")
        message.content = "two"
        await message.update()
        assert said() == ["assistant: two"]

    for each in (task, later):
        run = await bench.run(each)
        assert run.status == "ok", run.error
    assert [step.output for step in (await bench.snapshot()).steps] == ["two"]


async def test_a_long_session_is_read_in_pieces(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwire_core.log.pieces._PIECE_FIELDS", 10)

    async def task() -> None:
        for number in range(600):
            async with cl.Step(f"step {number}"):
                pass
            if number % 100 == 0:
                await cl.Message(str(number)).send()

    async def later() -> None:
        numbers = [each.content for each in cl.chat_context.get()]
        assert numbers == ["0", "100", "200", "300", "400", "500"]

    for each in (task, later):
        run = await bench.run(each)
        assert run.status == "ok", run.error


async def test_a_question_and_its_answer_are_messages(stepwire_app: App, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ASKS)
    stepwire_app.load(str(tmp_path / "app.py"))
    stepwire_app.reply("Ada")
    assert (await stepwire_app.message("hello")).status == "ok"
    spoken = [("user", "hello"), ("assistant", "Your name?"), ("user", "Ada")]
    expected = [{"role": role, "content": content} for role, content in spoken]
    assert json.loads(stepwire_app.tree["seen"].output) == [expected[:1], expected]


async def test_wrong_use_says_what_it_takes(bench: Bench) -> None:
    with pytest.raises(NoActiveSession, match="chat_context"):
        cl.chat_context.get()

    async def task() -> None:
        for call in (cl.chat_context.add, cl.chat_context.remove):
            with pytest.raises(InvalidArgument, match=r"takes a cl\.Message, not str"):
                call("hello")  # type: ignore[arg-type]

    run = await bench.run(task)
    assert run.status == "ok", run.error
