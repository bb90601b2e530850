"""``@cl.step`` on everything that can be called."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

import stepwire as cl
from bench import Bench
from documents import a_step
from stepwire._decorating.decorated_call import ignored_outside
from stepwire_core.errors import NoActiveSession

pytestmark = pytest.mark.anyio


async def work(x: int, y: int = 2) -> int:
    async with cl.Step("inside"):
        await asyncio.sleep(0)
    return x + y


def plain(x: int, y: int = 2) -> int:
    with cl.Step("inside"):
        return x + y


@functools.wraps(work)
def around(*args: Any, **kwargs: Any) -> Any:
    return work(*args, **kwargs)


def scheduled(x: int, y: int = 2) -> asyncio.Task[int]:
    return asyncio.ensure_future(work(x, y))


class Called:
    async def __call__(self, x: int, y: int = 2) -> int:
        return await work(x, y)


class Methods:
    @cl.step
    async def method(self, x: int, y: int = 2) -> int:
        return await work(x, y)

    @cl.step
    @staticmethod
    async def static(x: int, y: int = 2) -> int:
        return await work(x, y)

    @staticmethod
    @cl.step
    async def static_too(x: int, y: int = 2) -> int:
        return await work(x, y)

    @cl.step
    @classmethod
    async def of_class(cls, x: int, y: int = 2) -> int:
        return await work(x, y)


CALLABLES: list[tuple[str, Callable[[], Any]]] = [
    ("work", lambda: cl.step(work)(1)),
    ("around", lambda: cl.step(around)(1)),
    ("scheduled", lambda: cl.step(scheduled)(1)),
    ("<lambda>", lambda: cl.step(lambda x, y=2: work(x, y))(1)),
    ("Called", lambda: cl.step(Called())(1)),
    ("work", lambda: cl.step(functools.partial(work, y=2))(1)),
    ("Called", lambda: cl.step(functools.partial(Called(), y=2))(1)),
    ("method", lambda: Methods().method(1)),
    ("static", lambda: Methods.static(1)),
    ("static_too", lambda: Methods().static_too(1)),
    ("of_class", lambda: Methods.of_class(1)),
    ("plain", lambda: cl.step(plain)(1)),
]


@pytest.mark.parametrize(("name", "call"), CALLABLES, ids=[name for name, _ in CALLABLES])
async def test_a_step_lasts_as_long_as_the_work_and_shows_its_result(
    bench: Bench, name: str, call: Callable[[], Any]
) -> None:
    async def handler() -> None:
        result = call()
        assert (await result if hasattr(result, "__await__") else result) == 3
        async with cl.Step("after"):
            pass

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    name = "work" if name == "around" else name
    step = (await bench.steps())[name]
    assert (step.status, step.output) == ("ok", "3")
    assert json.loads(step.input) == {"x": 1, "y": 2}
    ends = [data["name"] for type_, data in await bench.events() if type_ == "step.end"]
    assert ends == ["inside", name, "after"]
    tree = await bench.tree()
    assert tree["after"] is None
    assert tree["inside"] == name


async def test_generators_that_a_plain_function_returns_are_streamed(bench: Bench) -> None:
    def numbers() -> Iterator[int | None]:
        yield from (1, None, 2)

    async def letters() -> AsyncIterator[str | None]:
        for letter in ("a", None, "b"):
            yield letter

    async def handler() -> None:
        assert list(cl.step(name="numbers")(lambda: numbers())()) == [1, None, 2]
        streamed = cl.step(name="letters")(lambda: letters())()
        assert [letter async for letter in streamed] == ["a", None, "b"]

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    # None is an item like any other for the caller, and nothing to read for a person.
    assert (steps["numbers"].output, steps["letters"].output) == ("12", "ab")


async def test_work_that_fails_or_is_cancelled_ends_the_step_so(bench: Bench) -> None:
    async def fails() -> None:
        raise ValueError("inside")

    async def never() -> None:
        await asyncio.Event().wait()

    async def handler() -> None:
        with pytest.raises(ValueError, match="inside"):
            await cl.step(name="fails")(lambda: fails())()
        waiting = asyncio.ensure_future(cl.step(name="cancelled")(lambda: never())())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        task = cl.step(name="task")(lambda: asyncio.ensure_future(never()))()
        assert isinstance(task, asyncio.Task)
        task.cancel()
        await asyncio.wait([task])
        failing = cl.step(name="failing task")(lambda: asyncio.ensure_future(fails()))()
        await asyncio.wait([failing])

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    assert [step.status for step in steps.values()] == ["error", "cancelled", "cancelled", "error"]


async def test_builtins_and_classes_are_called_as_they_are(bench: Bench) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

        def __str__(self) -> str:
            return f"at {self.x}"

    async def handler() -> None:
        assert cl.step(max)(1, 2) == 2
        assert cl.step(len)([1, 2]) == 2
        assert isinstance(cl.step(Point)(5), Point)

    run = await bench.run(handler)
    assert (run.status, run.error) == ("ok", None)
    steps = await bench.steps()
    assert {name: step.output for name, step in steps.items()} == {
        "max": "2",
        "len": "2",
        "Point": "at 5",
    }
    assert json.loads(steps["max"].input) == {"args": [1, 2]}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"nme": "typo"}, TypeError),
        ({"tags": [1]}, cl.InvalidArgument),
        ({"metadata": [1]}, cl.InvalidArgument),
        ({"elements": cl.Text}, cl.InvalidArgument),
        ({"id": "no id"}, cl.InvalidId),
    ],
)
def test_a_mistake_is_said_by_the_decorator(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        cl.step(**options)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(cl.InvalidArgument, match=r"@cl\.step takes a function, not int"):
        cl.step(5)  # type: ignore[call-overload]


async def test_an_argument_called_self_is_dropped_of_methods_alone(bench: Bench) -> None:
    @cl.step
    def function(self: int, cls: int) -> int:
        return self + cls

    async def handler() -> None:
        function(1, 2)
        await Methods().method(3)

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    assert json.loads(steps["function"].input) == {"self": 1, "cls": 2}
    assert json.loads(steps["method"].input) == {"x": 3, "y": 2}


async def test_uuids_are_ids_of_a_decorated_function(bench: Bench) -> None:
    own, parent = uuid4(), uuid4()

    async def handler() -> None:
        cl.step(id=own, parent_id=parent)(plain)(1)

    assert (await bench.run(handler)).status == "ok"
    step = (await bench.steps())["plain"]
    assert (step.id, step.parent_id) == (str(own), str(parent))


async def test_steps_messages_and_elements_are_shown_without_a_repr(bench: Bench) -> None:
    @cl.step
    async def image() -> cl.Image:
        return cl.Image("a cat", content=b"x")

    @cl.step
    async def images() -> list[cl.Image]:
        return [cl.Image("a cat", content=b"x")]

    @cl.step
    async def main(message: cl.Message, picture: cl.Image) -> cl.Message:
        return await cl.Message("the answer").send()

    async def handler(message: cl.Message) -> None:
        await image()
        await images()
        await main(message, await image())

    message = a_step(bench.session_id, "hello", type="user_message", output="hello")
    run = await bench.run(handler, message=message)
    assert (run.status, run.error) == ("ok", None)
    steps = await bench.steps()
    assert (steps["image"].output, steps["images"].output) == ("", "")
    assert json.loads(steps["main"].input) == {"message": "hello", "picture": "a cat"}
    assert steps["main"].output == ""
    assert " object at 0x" not in str(await bench.events())


@pytest.mark.parametrize("decorated", [False, True])
def test_a_handler_that_is_a_generator_is_refused_when_it_is_registered(decorated: bool) -> None:
    async def streams() -> AsyncIterator[str]:
        yield "a"

    handler = cl.step(streams) if decorated else streams
    with pytest.raises(cl.InvalidArgument, match="without 'yield', which 'streams' has"):
        cl.on_chat_start(handler)


def test_make_async_takes_functions_that_block() -> None:
    with pytest.raises(cl.InvalidArgument, match="'work' is a coroutine function already: await"):
        cl.make_async(work)
    with pytest.raises(cl.InvalidArgument, match="make_async takes a function, not int"):
        cl.make_async(5)  # type: ignore[arg-type]


def test_a_bare_thread_is_told_how_to_have_the_session() -> None:
    said: list[str] = []

    def emit() -> None:
        try:
            cl.Step("s").__enter__()
        except cl.NoActiveSession as error:
            said.append(str(error))

    emit()
    thread = threading.Thread(target=emit)
    thread.start()
    thread.join(10)
    here, there = said
    assert "make_async" not in here
    assert "cl.make_async(function)" in there
    assert "contextvars.copy_context().run(function)" in there


async def test_an_id_of_an_action_may_be_a_uuid() -> None:
    id_ = uuid4()
    assert cl.Action("a", id=id_).id == str(id_)  # type: ignore[arg-type]


# -- outside any session ------------------------------------------------------------------------


@cl.step
def letters(text: str) -> Iterator[str]:
    yield from text


@cl.step
async def doubled(numbers: list[int]) -> AsyncIterator[int]:
    for number in numbers:
        yield number * 2


@pytest.fixture
def outside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("STEPWIRE_ENV_FILE", "")
    monkeypatch.setenv("STEPWIRE_STEPS_OUTSIDE_SESSIONS", request.param)
    ignored_outside.cache_clear()
    yield
    ignored_outside.cache_clear()


@pytest.mark.parametrize("outside", ["ignore"], indirect=True)
@pytest.mark.usefixtures("outside")
async def test_outside_any_session_a_call_only_runs_where_the_setting_says_so(
    bench: Bench,
) -> None:
    async_work, plain_work = cl.step(asyncio.sleep), cl.step(type="tool")(max)
    assert await async_work(0, "slept") == "slept"
    assert plain_work(1, 2) == 2
    assert await cl.step(lambda: asyncio.sleep(0, 3))() == 3
    assert await cl.step(lambda: asyncio.ensure_future(asyncio.sleep(0, 4)))() == 4
    assert list(letters("ab")) == ["a", "b"]
    assert [number async for number in doubled([1, 2])] == [2, 4]
    with pytest.raises(ZeroDivisionError):
        cl.step(divmod)(1, 0)

    # Inside a session the same functions show what they do.
    async def task() -> None:
        plain_work(1, 2)
        list(letters("ab"))

    await bench.run(task)
    assert list(await bench.steps()) == ["max", "letters"]


@pytest.mark.parametrize("outside", ["error"], indirect=True)
@pytest.mark.usefixtures("outside")
def test_else_it_raises() -> None:
    with pytest.raises(NoActiveSession):
        cl.step(max)(1, 2)
