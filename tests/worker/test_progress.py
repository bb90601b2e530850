"""How far a step is: shown at once, merged while it waits, and never in the way."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import stepwire as cl
from bench import Bench
from stepwire._scope.context import current_frame
from stepwire_core.wire.documents import Progress

pytestmark = pytest.mark.anyio

ROUNDS = 2_000


def told(events: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    return [data["progress"]["done"] for type_, data in events if type_ == "step.update"]


async def test_progress_is_shown_before_the_step_ends_and_stays(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("import") as step:
            step.progress(3, 12, "customers")
            await current_frame("a test").scope.producer.flush()
            [shown] = (await bench.snapshot()).steps
            assert shown.status == "running"
            assert shown.progress == Progress(done=3, total=12, text="customers")
            step.progress(12, 12)
            step.output = "imported"

    assert (await bench.run(handler)).status == "ok"
    step = (await bench.steps())["import"]
    assert (step.progress, step.output) == (Progress(done=12, total=12), "imported")


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_loop_may_tell_of_each_round(bench: Bench, in_thread: bool) -> None:
    def work(step: cl.Step) -> None:
        for number in range(ROUNDS):
            step.progress(number, ROUNDS)

    async def handler() -> None:
        async with cl.Step("loop") as step:
            if in_thread:
                await cl.make_async(work)(step)
            else:
                work(step)

    assert (await bench.run(handler)).error is None
    events = await bench.events()
    numbers = told(events)
    # How many there are is a matter of speed; they rise, and most were replaced while they waited.
    assert numbers == sorted(set(numbers))
    assert 1 <= len(numbers) < ROUNDS
    [end] = [data for type_, data in events if type_ == "step.end"]
    assert end["progress"]["done"] == ROUNDS - 1


async def test_text_and_progress_that_take_turns_keep_their_order(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("a") as a, cl.Step("b") as b:
            for number in range(20):
                await a.stream_token(f"{number} ")
                a.progress(number)
                b.progress(number)

    assert (await bench.run(handler)).error is None
    whole = "".join(f"{number} " for number in range(20))
    text, last = "", dict[str, int]()
    for type_, data in await bench.events():
        if type_ == "step.delta":
            text += data["text"]
        elif type_ == "step.update":
            last[data["name"]] = data["progress"]["done"]
            # The whole step replaces the text before it: no piece may come again after it.
            assert data["output"] == (text if data["name"] == "a" else "")
    assert text == whole
    assert last == {"a": 19, "b": 19}


async def test_a_step_that_is_not_sent_shows_it_when_it_is_and_one_that_ended_still_does(
    bench: Bench,
) -> None:
    async def handler() -> None:
        step = cl.Step("late")
        step.progress(1, 2)
        async with step:
            pass
        step.progress(2, 2, "behind the end")

    assert (await bench.run(handler)).error is None
    events = await bench.events()
    [start] = [data for type_, data in events if type_ == "step.start"]
    assert start["progress"] == {"done": 1, "total": 2, "text": None}
    step = (await bench.steps())["late"]
    assert (step.status, step.progress) == ("ok", Progress(done=2, total=2, text="behind the end"))


async def test_after_the_run_it_says_that_nothing_more_is_shown(bench: Bench) -> None:
    kept: list[cl.Step] = []

    async def handler() -> None:
        async with cl.Step("a") as step:
            kept.append(step)

    await bench.run(handler)
    with pytest.raises(cl.RunEnded):
        kept[0].progress(1)


@pytest.mark.parametrize(
    ("done", "total"), [(0, 0), (5, 3), (0.5, 1), (Decimal(1), 2), (True + 1, None), (2**53, 1)]
)
async def test_what_happens_to_users_is_taken(bench: Bench, done: Any, total: Any) -> None:
    async def handler() -> None:
        with cl.Step("a") as step:
            step.progress(done, total)

    assert (await bench.run(handler)).error is None
    assert (await bench.steps())["a"].progress == Progress(done=done, total=total)


@pytest.mark.parametrize(
    "wrong",
    [
        (-1,),
        (None,),
        ("3",),
        (True,),
        (float("nan"),),
        (1, float("inf")),
        (1, -1),
        (1, "2"),
        (2**54,),
        (10**400,),
        (1, Fraction(10**400, 3)),
        (Decimal("sNaN"),),
        (1, 2, 5),
    ],
)
def test_what_is_no_progress_is_refused(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(cl.InvalidArgument, match="progress"):
        cl.Step("a").progress(*wrong)
