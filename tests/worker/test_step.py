"""Steps and messages through the public API: what is stored for what a handler does."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest

import stepwire as cl
from bench import Bench
from documents import a_step
from stepwire_core.errors import InvalidArgument
from stepwire_core.wire.documents import ErrorInfo

pytestmark = pytest.mark.anyio


async def test_what_is_known_of_a_models_call_is_in_its_metadata(bench: Bench) -> None:
    async def task() -> None:
        asked = cl.GenerationMessage(role="user", content="Hi")
        async with cl.Step("chat", type="llm", metadata={"a": 1}) as step:
            assert step.generation is None
            step.generation = cl.ChatGeneration(model="small", messages=[asked])
            step.generation.output_token_count = 2
            # It cannot be copied, and is shown as far as it can be.
            step.generation.settings = {"lock": threading.Lock()}
            assert "lock" in step.generation.to_dict()["settings"]
            step.generation.settings = None
        async with cl.Step("text") as step:
            step.generation = cl.CompletionGeneration(prompt="a", completion="b")
            with pytest.raises(InvalidArgument, match="must be a ChatGeneration or"):
                step.generation = {"model": "small"}  # type: ignore[assignment]

    assert (await bench.run(task)).status == "ok"
    steps = await bench.steps()
    message = {"role": "user", "content": "Hi"}
    chat = {"type": "CHAT", "model": "small", "messages": [message], "output_token_count": 2}
    assert steps["chat"].metadata == {"a": 1, "generation": chat}
    text = {"type": "COMPLETION", "prompt": "a", "completion": "b"}
    assert steps["text"].metadata == {"generation": text}


async def test_a_step_starts_streams_and_ends(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step(name="gpt4", type="llm", tags=["a"], show_input=True) as step:
            step.input = "question"
            await step.stream_token("Hel")
            await step.stream_token("lo")

    run = await bench.run(handler)
    events = await bench.events()
    assert [type_ for type_, _ in events if type_ != "step.delta"] == [
        "run.start",
        "step.start",
        "step.end",
        "run.end",
    ]
    deltas = [data["text"] for type_, data in events if type_ == "step.delta"]
    assert "".join(deltas) == "Hello"
    [step] = (await bench.snapshot()).steps
    assert step.model_dump(exclude={"id", "ts", "started_at", "ended_at"}) == {
        "session_id": bench.session_id,
        "run_id": run.run_id,
        "attempt": 1,
        "parent_id": None,
        "name": "gpt4",
        "type": "llm",
        "status": "ok",
        "input": "question",
        "output": "Hello",
        "language": None,
        "show_input": True,
        "disable_feedback": True,
        "default_open": False,
        "auto_collapse": False,
        "icon": None,
        "tags": ["a"],
        "metadata": {},
        "elements": [],
        "error": None,
    }
    assert step.started_at <= (step.ended_at or "")
    assert run.status == "ok"


async def test_steps_nest_where_they_are_opened(bench: Bench) -> None:
    async def branch(name: str) -> None:
        async with cl.Step(name):
            await asyncio.sleep(0)
            async with cl.Step(f"{name}.leaf"):
                pass

    async def handler() -> None:
        async with cl.Step("outer"):
            async with cl.Step("root", root=True), cl.Step("below root"):
                pass
            await asyncio.gather(branch("a"), branch("b"))
            async with asyncio.TaskGroup() as group:
                group.create_task(branch("c"))
            with cl.Step("sync"):
                await asyncio.to_thread(in_thread)
        async with cl.Step("after"):
            pass

    def in_thread() -> None:
        with cl.Step("thread"):
            pass

    await bench.run(handler)
    assert await bench.tree() == {
        "outer": None,
        "root": None,
        "below root": "root",
        "a": "outer",
        "b": "outer",
        "a.leaf": "a",
        "b.leaf": "b",
        "c": "outer",
        "c.leaf": "c",
        "sync": "outer",
        "thread": "sync",
        "after": None,
    }


async def test_a_task_that_outlives_its_step_still_nests_under_it(bench: Bench) -> None:
    async def handler() -> None:
        left = asyncio.Event()

        async def late() -> None:
            await left.wait()
            async with cl.Step("late"):
                pass

        async with cl.Step("first"):
            task = asyncio.create_task(late())
        left.set()
        await task

    await bench.run(handler)
    assert (await bench.tree())["late"] == "first"


async def test_the_message_that_started_the_run_is_the_default_parent(bench: Bench) -> None:
    message = a_step(
        bench.session_id,
        "question",
        run_id="r",
        name="User",
        type="user_message",
        status="ok",
        output="hi",
        metadata={"from": "test"},
    )
    seen: list[tuple[str, str, str, dict[str, Any]]] = []

    async def handler(message: cl.Message) -> None:
        seen.append((message.content, message.author, message.id, message.metadata))
        async with cl.Step("step"):
            pass
        await cl.Message("answer").send()
        async with cl.Step("explicit", parent_id="elsewhere"):
            pass

    run = await bench.run(handler, message=message)
    steps = await bench.steps()
    assert seen == [("hi", "User", "question", {"from": "test"})]
    assert run.message_id == "question"
    assert steps["step"].parent_id == "question"
    assert steps["Assistant"].parent_id == "question"
    assert steps["explicit"].parent_id == "elsewhere"


async def test_an_exception_ends_the_step_as_an_error_and_keeps_what_was_streamed(
    bench: Bench,
) -> None:
    async def handler() -> None:
        async with cl.Step("outer"), cl.Step("inner") as step:
            await step.stream_token("so far")
            raise ValueError("boom")

    run = await bench.run(handler)
    steps = await bench.steps()
    for name in ("inner", "outer"):
        assert steps[name].status == "error"
        assert steps[name].error == ErrorInfo(type="ValueError", message="boom")
    assert steps["inner"].output == "so far"
    assert (run.status, run.will_retry) == ("error", False)


async def test_a_cancellation_ends_the_step_as_cancelled_and_goes_on(bench: Bench) -> None:
    async def handler() -> None:
        entered = asyncio.Event()

        async def work() -> None:
            async with cl.Step("work") as step:
                await step.stream_token("half")
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run = await bench.run(handler)
    step = (await bench.steps())["work"]
    assert (step.status, step.output, step.error) == ("cancelled", "half", None)
    assert run.status == "ok"


async def test_a_step_can_be_updated_after_it_has_ended(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("parent") as step:
            step.output = "first"
        step.output = "second"
        await step.update()

    await bench.run(handler)
    assert await bench.types() == ["run.start", "step.start", "step.end", "step.update", "run.end"]
    step = (await bench.steps())["parent"]
    assert (step.output, step.status) == ("second", "ok")


async def test_a_removed_step_takes_its_children_with_it(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("parent") as step, cl.Step("child"):
            pass
        await step.remove()

    await bench.run(handler)
    assert await bench.steps() == {}
    assert (await bench.types())[-2:] == ["step.remove", "run.end"]


async def test_a_step_can_be_removed_from_inside_its_block(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("parent") as step, cl.Step("child") as child:
            await step.remove()
            await child.stream_token("unseen")

    assert (await bench.run(handler)).status == "ok"
    assert await bench.steps() == {}
    assert (await bench.types())[-2:] == ["step.remove", "run.end"]


async def test_a_character_that_is_cut_in_two_is_whole_in_the_end(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("s", metadata={"k\ud83d": "\ude00"}) as step:
            await step.stream_token("half \ud83d")
            await step.stream_token("\ude00 whole, lone \ud83d")
            step.input = ["\ud83d"]

    assert (await bench.run(handler)).status == "ok"
    step = (await bench.steps())["s"]
    assert step.output == "half 😀 whole, lone \ufffd"
    assert step.metadata == {"k\ufffd": "\ufffd"}


async def test_sending_twice_sends_once(bench: Bench) -> None:
    async def handler() -> None:
        step = cl.Step("by hand")
        await step.send()
        await step.send()
        message = cl.Message("hello", author="Bot")
        await message.send()
        await message.send()

    await bench.run(handler)
    assert (await bench.types()).count("step.start") == 2
    assert (await bench.types()).count("step.end") == 2
    steps = await bench.steps()
    assert steps["by hand"].status == "ok"
    assert (steps["Bot"].type, steps["Bot"].output) == ("assistant_message", "hello")


@pytest.mark.parametrize("is_nested", [True, False])
async def test_entering_a_step_again_is_refused_and_changes_nothing(
    bench: Bench, is_nested: bool
) -> None:
    async def handler() -> None:
        step = cl.Step(name="first")
        async with step:
            if is_nested:
                await again(step)
            await step.stream_token("kept")
        if not is_nested:
            await again(step)

    async def again(step: cl.Step) -> None:
        with pytest.raises(cl.InvalidArgument, match="step 'first' has been entered before"):
            async with step:
                raise AssertionError("it was entered")
        with pytest.raises(cl.InvalidArgument, match="make another"), step:
            raise AssertionError("it was entered")

    assert (await bench.run(handler)).status == "ok"
    types = [type_ for type_, _ in await bench.events() if type_ != "step.delta"]
    assert types == ["run.start", "step.start", "step.end", "run.end"]
    [step] = (await bench.snapshot()).steps
    assert (step.status, step.output) == ("ok", "kept")


async def test_a_step_that_could_not_be_entered_can_be_entered_later(bench: Bench) -> None:
    step = cl.Step(name="early")
    with pytest.raises(cl.NoActiveSession), step:
        raise AssertionError("it was entered")

    async def handler() -> None:
        async with step:
            step.output = "now"

    assert (await bench.run(handler)).status == "ok"
    [shown] = (await bench.snapshot()).steps
    assert (shown.status, shown.output) == ("ok", "now")


async def test_a_step_that_was_sent_before_can_be_entered(bench: Bench) -> None:
    async def handler() -> None:
        step = await cl.Step(name="first").send()
        async with step, cl.Step(name="inside"):
            pass

    assert (await bench.run(handler)).status == "ok"
    first, inside = (await bench.snapshot()).steps
    assert (first.status, inside.parent_id) == ("ok", first.id)


async def test_a_message_streams_and_is_complete_when_sent(bench: Bench) -> None:
    async def handler() -> None:
        message = cl.Message()
        for token in ("a", "", "b"):
            await message.stream_token(token)
        await message.stream_token("abc", is_sequence=True)
        await message.send()
        message.content = {"changed": True}
        await message.update()

    await bench.run(handler)
    message = (await bench.steps())["Assistant"]
    assert (message.status, message.language) == ("ok", "json")
    assert message.output == '{\n    "changed": true\n}'


async def test_a_handler_that_raises_leaves_an_error_message(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("work"):
            raise ValueError("no such order")

    await bench.run(handler)
    message = (await bench.steps())["Error"]
    assert (message.type, message.status, message.output) == (
        "assistant_message",
        "error",
        "no such order",
    )
    assert message.error == ErrorInfo(type="ValueError", message="no such order")
    assert message.parent_id is None


async def test_an_error_message_can_be_sent_by_hand(bench: Bench) -> None:
    async def handler() -> None:
        await cl.ErrorMessage(content="sold out", author="Shop").send()

    assert (await bench.run(handler)).status == "ok"
    message = (await bench.steps())["Shop"]
    assert (message.status, message.output) == ("error", "sold out")


@pytest.mark.parametrize("piece", ["x" * 300, "é" * 300])
async def test_text_beyond_the_limit_is_cut_off_with_a_mark(bench: Bench, piece: str) -> None:
    limit = {"max_text_chars": 1000}
    bench.publisher.calls.settings = bench.settings.model_copy(update=limit)

    async def handler() -> None:
        async with cl.Step("set") as step:
            step.input = piece * 4
            step.output = piece * 4
        async with cl.Step("streamed") as step:
            for _ in range(40):
                await step.stream_token(piece)
        async with cl.Step("short") as step:
            step.output = piece * 3
        async with cl.Step("replaced") as step:
            await step.stream_token(piece * 4)
            await step.stream_token("new", is_sequence=True)

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    cut = (piece * 4)[:1000]
    assert steps["set"].output == f"{cut}\n… [cut off after 1000 characters]"
    assert steps["set"].input == steps["set"].output
    assert steps["streamed"].output == f"{cut}\n… [cut off after 1000 characters]"
    assert steps["short"].output == piece * 3
    assert steps["replaced"].output == "new"
    streamed = [
        data["text"]
        for type_, data in await bench.events()
        if type_ == "step.delta" and data["id"] == steps["streamed"].id
    ]
    assert "".join(streamed) == steps["streamed"].output


async def test_tokens_stream_into_the_input_too_and_replace(bench: Bench) -> None:
    async def handler() -> None:
        step = cl.Step("s")
        await step.stream_token("question", is_input=True)
        await step.stream_token("draft")
        await step.stream_token("final", is_sequence=True)

    await bench.run(handler)
    step = (await bench.steps())["s"]
    assert (step.input, step.output) == ("question", "final")


async def test_a_step_left_open_is_interrupted_when_its_run_fails(bench: Bench) -> None:
    async def handler() -> None:
        await cl.Step("outer").send()
        await cl.Step("later").send()
        raise RuntimeError

    await bench.run(handler)
    ended = [data["name"] for type_, data in await bench.events() if type_ == "step.end"]
    assert ended == ["later", "outer", "Error"]
    steps = await bench.steps()
    assert (steps["outer"].status, steps["later"].status) == ("interrupted", "interrupted")


async def test_a_step_after_the_end_of_its_run_is_an_error_and_changes_nothing(
    bench: Bench,
) -> None:
    go, tasks = asyncio.Event(), []

    async def stray() -> None:
        await go.wait()
        await cl.Step("too late").send()

    async def handler() -> None:
        tasks.append(asyncio.create_task(stray()))

    await bench.run(handler)
    before = await bench.snapshot()
    go.set()
    with pytest.raises(cl.RunEnded, match="await the tasks"):
        await asyncio.wait_for(tasks[0], 10)
    assert await bench.snapshot() == before


async def test_the_context_names_session_run_and_step(bench: Bench) -> None:
    seen: list[Any] = []

    async def handler() -> None:
        seen.append((cl.context.session.id, cl.context.run_id, cl.context.current_step))
        async with cl.Step("s") as step:
            seen.append(cl.context.current_step is step)

    run = await bench.run(handler)
    assert seen == [(bench.session_id, run.run_id, None), True]


@pytest.mark.parametrize(
    "use",
    [
        lambda: cl.context.session,
        lambda: cl.Step("s").__enter__(),
        lambda: asyncio.run(cl.Message("m").send()),
        lambda: asyncio.run(cl.Step("s").stream_token("t")),
    ],
)
def test_outside_any_session_the_error_says_what_to_do(use: Any) -> None:
    with pytest.raises(cl.NoActiveSession, match="use it inside a handler"):
        use()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: cl.Step(name=cast("Any", 7)), "the name of a step must be a string, not int"),
        (lambda: cl.Step("s", id="no spaces"), "step id 'no spaces' is not usable"),
        (lambda: cl.Step("s", parent_id="{x}"), "parent id '{x}' is not usable"),
        (lambda: cl.Step("s", type=cast("Any", None)), "the type of a step must be a string"),
    ],
)
def test_a_wrong_parameter_is_refused_when_the_step_is_made(make: Any, said: str) -> None:
    with pytest.raises(cl.InvalidArgument) as raised:
        make()
    assert said in str(raised.value)


async def test_a_token_that_is_no_text_is_refused_and_costs_nothing(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("s") as step:
            with pytest.raises(cl.InvalidArgument, match="takes text, not int"):
                await step.stream_token(7)  # type: ignore[arg-type]
            await step.stream_token("fine")

    assert (await bench.run(handler)).status == "ok"
    assert (await bench.steps())["s"].output == "fine"


# -- the decorator ------------------------------------------------------------------------------


async def test_a_decorated_coroutine_is_a_step_with_its_arguments_and_result(bench: Bench) -> None:
    @cl.step
    async def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    @cl.step(name="zero", type="tool")
    async def nothing() -> int:
        return 0

    async def handler() -> None:
        assert await add(1, b=3) == 4
        assert await nothing() == 0

    assert (add.__name__, add.__doc__) == ("add", "Adds.")
    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    assert steps["add"].input == '{\n    "a": 1,\n    "b": 3\n}'
    assert (steps["add"].output, steps["zero"].output) == ("4", "0")
    assert steps["zero"].type == "tool"


async def test_a_decorated_function_works_in_its_own_thread(bench: Bench) -> None:
    @cl.step
    def work(x: int) -> dict[str, int]:
        return {"x": x}

    async def handler() -> None:
        async with cl.Step("outer"):
            await asyncio.to_thread(work, 5)
            work(6)

    await bench.run(handler)
    assert (await bench.tree())["work"] == "outer"
    assert (await bench.steps())["work"].language == "json"


async def test_a_decorated_generator_streams_and_its_caller_stays_outside(bench: Bench) -> None:
    @cl.step
    def count(n: int) -> Iterator[int]:
        for number in range(n):
            with cl.Step(f"inside {number}"):
                pass
            yield number

    async def handler() -> None:
        for number in count(2):
            async with cl.Step(f"caller {number}"):
                pass

    assert (await bench.run(handler)).status == "ok"
    tree = await bench.tree()
    assert tree["inside 0"] == tree["inside 1"] == "count"
    assert tree["caller 0"] == tree["caller 1"] is None
    assert (await bench.steps())["count"].output == "01"


async def test_a_decorated_async_generator_ends_when_it_is_closed(bench: Bench) -> None:
    closed = []

    @cl.step
    async def tokens() -> AsyncIterator[str]:
        try:
            for token in ("a", "b", "c"):
                yield token
        finally:
            closed.append(True)

    async def handler() -> None:
        stream = tokens()
        async for token in stream:
            async with cl.Step(f"caller {token}"):
                pass
            if token == "b":
                break
        await stream.aclose()  # type: ignore[attr-defined]

    assert (await bench.run(handler)).status == "ok"
    assert closed == [True]
    step = (await bench.steps())["tokens"]
    assert (step.status, step.output) == ("ok", "ab")
    assert (await bench.tree())["caller a"] is None


async def test_the_step_of_a_generator_that_is_dropped_ends_when_it_is_collected(
    bench: Bench,
) -> None:
    @cl.step
    def sync_tokens() -> Iterator[str]:
        yield "a"
        yield "b"

    @cl.step
    async def async_tokens() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async def handler() -> None:
        next(iter(sync_tokens()))
        async for _ in async_tokens():
            break
        gc.collect()
        # The event loop closes a dropped async generator in a task of its own.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with cl.Step("after"):
            pass

    run = await bench.run(handler)
    assert run.error is None
    ends = [data["name"] for type_, data in await bench.events() if type_ == "step.end"]
    assert ends == ["sync_tokens", "async_tokens", "after"]
    assert {step.status for step in (await bench.snapshot()).steps} == {"ok"}


async def test_an_error_inside_a_decorated_generator_is_its_steps_error(bench: Bench) -> None:
    @cl.step
    async def tokens() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("inside")

    async def handler() -> None:
        with pytest.raises(ValueError, match="inside"):
            async for _ in tokens():
                pass

    assert (await bench.run(handler)).status == "ok"
    step = (await bench.steps())["tokens"]
    assert (step.status, step.output) == ("error", "a")


async def test_a_call_with_wrong_arguments_fails_as_it_would_undecorated(bench: Bench) -> None:
    @cl.step
    async def f(a: int) -> None: ...

    async def handler() -> None:
        with pytest.raises(TypeError, match="missing 1 required"):
            await f()  # type: ignore[call-arg]

    await bench.run(handler)
    assert (await bench.steps())["f"].status == "error"


async def test_what_surrounds_the_text_of_a_step_is_bounded_with_marks(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("n" * 5_000, metadata={"model": "m", "raw": "x" * 200_000}) as step:
            step.tags = ["t" * 5_000]
        raise ValueError("e" * 50_000)

    run = await bench.run(handler)
    [step, message] = (await bench.snapshot()).steps
    assert step.name == "n" * 1_000 + "…"
    assert step.tags == ["t" * 1_000 + "…"]
    assert step.metadata == {"model": "m", "raw": "[left out: more than 100000 characters]"}
    for error in (run.error, message.error):
        assert error is not None
        assert error.message == "e" * 10_000 + "\n… [cut off after 10000 characters]"


async def test_a_message_survives_the_way_through_a_dict(bench: Bench) -> None:
    async def handler() -> None:
        message = cl.Message("hello", author="Ada", tags=["t"], metadata={"a": {1}}, language="md")
        assert (message.created_at, message.is_error) == (None, False)
        await message.send()
        assert message.created_at is not None
        stored = json.loads(json.dumps(message.to_dict()))
        again = cl.Message.from_dict(stored)
        assert again.to_dict() == stored
        assert again.created_at == message.created_at
        again.content = "goodbye"
        await again.send()
        failed = await cl.ErrorMessage("no").send()
        assert failed.is_error
        assert cl.Message.from_dict(failed.to_dict()).is_error

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    ada, _ = (await bench.snapshot()).steps
    assert (ada.name, ada.output, ada.metadata, ada.tags) == ("Ada", "goodbye", {"a": [1]}, ["t"])
    # A step of a thread has more fields than a message takes.
    assert cl.Message.from_dict(ada.model_dump()).content == "goodbye"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "takes a dict, not list"),
        ({"id": "a", "name": "b"}, "lacks output"),
        ({"id": "a b", "name": "b", "output": ""}, "id 'a b' is not usable"),
        ({"id": "a", "name": "b", "output": "", "status": "done"}, "the status of a message is"),
        ({"id": "a", "name": "b", "output": "", "status": ["ok"]}, "the status of a message is"),
        ({"id": "a", "name": "b", "output": "", "started_at": 5}, "the started_at of a message"),
    ],
)
def test_what_is_not_the_dict_of_a_message_is_refused(values: Any, said: str) -> None:
    with pytest.raises(cl.InvalidArgument, match=said):
        cl.Message.from_dict(values)
