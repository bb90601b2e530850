"""Durable steps: what has ended well in an earlier attempt of its run is not done again."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import AnyUrl, BaseModel

import stepwire as cl
from bench import Bench
from stepwire._decorating.call_identity import identity
from stepwire._runs.outcome import RetryLater
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire.testing import App
from stepwire_core.redis.commands import command
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import StepDocument

pytestmark = pytest.mark.anyio


class Attempts:
    """Runs a handler once more and once more, as attempts of one run that fail but for the last."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._run_id = new_id()
        self.calls: list[Any] = []

    async def run(self, *handlers: Callable[[], Any]) -> list[StepDocument]:
        """Each handler is an attempt; the steps of the last one."""
        for number, handler in enumerate(handlers, 1):
            more = number < len(handlers)
            failing = cl_retried(handler) if more else handler
            if more:
                with pytest.raises(RetryLater):
                    await self._bench.run(failing, run_id=self._run_id)
            else:
                run = await self._bench.run(failing, run_id=self._run_id)
                assert (run.status, run.error) == ("ok", None)
        attempt = (await self._bench.snapshot()).run(self._run_id)
        assert attempt is not None
        steps = (await self._bench.snapshot()).steps
        return [step for step in steps if step.attempt == attempt.attempt]


def cl_retried(handler: Callable[[], Any]) -> Callable[[], Any]:
    """Fails when the handler has done its work."""

    async def retried() -> None:
        await handler()
        raise cl.Retry(after=0)

    return retried


@pytest.fixture
def attempts(bench: Bench) -> Attempts:
    bench.settings.max_attempts = 3
    return Attempts(bench)


async def test_a_step_that_has_ended_well_gives_its_result_again_and_says_so(
    attempts: Attempts,
) -> None:
    @cl.step(durable=True, type="llm")
    async def ask_model(prompt: str) -> dict[str, Any]:
        attempts.calls.append(prompt)
        async with cl.Step("inside"):
            pass
        return {"answer": prompt.upper()}

    answers = []

    async def handler() -> None:
        answers.append(await ask_model("hello"))

    steps = await attempts.run(handler, handler, handler)
    assert attempts.calls == ["hello"]
    assert answers == [{"answer": "HELLO"}] * 3
    # What it did inside is not done, so it is not shown again.
    assert [step.name for step in steps] == ["ask_model"]
    assert (steps[0].status, steps[0].from_attempt, steps[0].attempt) == ("ok", 1, 3)
    assert json.loads(steps[0].output) == {"answer": "HELLO"}
    assert json.loads(steps[0].input) == {"prompt": "hello"}
    assert steps[0].language == "json"


async def test_a_plain_function_is_durable_in_a_thread_and_on_the_loop(attempts: Attempts) -> None:
    @cl.step(durable=True)
    def work(x: int) -> int:
        attempts.calls.append(x)
        return x * 2

    async def handler() -> None:
        assert work(1) == 2
        assert await cl.make_async(work)(2) == 4

    steps = await attempts.run(handler, handler)
    assert attempts.calls == [1, 2]
    assert [step.from_attempt for step in steps] == [1, 1]


async def test_a_step_that_failed_or_was_cancelled_is_done_again(attempts: Attempts) -> None:
    @cl.step(durable=True)
    async def work() -> int:
        attempts.calls.append("work")
        if len(attempts.calls) == 1:
            raise ValueError("not yet")
        return 7

    async def failing() -> None:
        with pytest.raises(ValueError, match="not yet"):
            await work()

    async def handler() -> None:
        assert await work() == 7

    [step] = await attempts.run(failing, handler, handler)
    assert len(attempts.calls) == 2
    assert step.from_attempt == 2


async def test_calls_of_one_function_are_told_apart_by_arguments_and_then_by_order(
    attempts: Attempts,
) -> None:
    @cl.step(durable=True)
    async def work(x: object) -> object:
        attempts.calls.append(x)
        return [x, len(attempts.calls)]

    results: list[list[object]] = []

    def handler(*order: str) -> Callable[[], Any]:
        async def run() -> None:
            results.append([await work(x) for x in order])

        return run

    # A task that wins the race in one attempt may lose it in the next.
    await attempts.run(handler("a", "b", "a"), handler("b", "a", "a", "c"))
    assert attempts.calls == ["a", "b", "a", "c"]
    assert results[0] == [["a", 1], ["b", 2], ["a", 3]]
    assert results[1] == [["b", 2], ["a", 1], ["a", 3], ["c", 4]]


async def test_a_call_that_is_repeated_until_it_succeeds_is_the_first_one_later(
    attempts: Attempts,
) -> None:
    @cl.step(durable=True)
    async def flaky() -> str:
        attempts.calls.append(1)
        if len(attempts.calls) < 3:
            raise ConnectionError("away")
        return "there"

    async def handler() -> None:
        while True:
            try:
                assert await flaky() == "there"
            except ConnectionError:
                continue
            break

    [step] = await attempts.run(handler, handler)
    assert (len(attempts.calls), step.from_attempt) == (3, 1)


async def test_calls_side_by_side_have_their_own_results(attempts: Attempts) -> None:
    @cl.step(durable=True)
    async def work(x: int) -> int:
        await asyncio.sleep(0)
        attempts.calls.append(x)
        return x

    async def handler() -> None:
        assert await asyncio.gather(*(work(x) for x in (1, 2, 1, 3))) == [1, 2, 1, 3]

    await attempts.run(handler, handler)
    assert sorted(attempts.calls) == [1, 1, 2, 3]


class Query(BaseModel):
    text: str


@dataclass
class Options:
    names: set[str]


class Connection:
    pass


async def test_objects_that_are_no_data_do_not_tell_calls_apart(attempts: Attempts) -> None:
    class Agent:
        @cl.step(durable=True)
        async def search(self, client: Connection, query: Query, options: Options) -> int:
            attempts.calls.append((client, query.text, sorted(options.names)))
            return len(attempts.calls)

    def handler(text: str) -> Callable[[], Any]:
        async def run() -> None:
            names = {f"{number}" for number in range(20)}
            await Agent().search(Connection(), Query(text=text), Options(names))

        return run

    await attempts.run(handler("a"), handler("a"), handler("b"))
    assert [text for _, text, _ in attempts.calls] == ["a", "b"]


async def test_with_a_key_the_place_counts_and_not_the_arguments(attempts: Attempts) -> None:
    @cl.step(key="now")
    async def now(at: float) -> float:
        attempts.calls.append(at)
        return at

    async def first() -> None:
        assert [await now(1.0), await now(2.0)] == [1.0, 2.0]

    async def second() -> None:
        assert [await now(3.0), await now(4.0), await now(5.0)] == [1.0, 2.0, 5.0]

    await attempts.run(first, second)
    assert attempts.calls == [1.0, 2.0, 5.0]


@pytest.mark.parametrize("result", [None, 0, False, "", [], {"a": [1, None]}, "ä€😀"])
async def test_a_block_has_the_result_of_an_earlier_one_whatever_it_is(
    attempts: Attempts, result: object
) -> None:
    async def handler() -> None:
        async with cl.Step("search", key="search") as step:
            if not step.is_reused:
                attempts.calls.append("search")
                step.result = result
        assert step.result == result
        assert type(step.result) is type(result)
        with cl.Step("again", key="search") as again:
            if not again.is_reused:
                attempts.calls.append("again")
                again.result = "second"
        assert again.result == "second"

    steps = await attempts.run(handler, handler)
    assert attempts.calls == ["search", "again"]
    assert [step.from_attempt for step in steps] == [1, 1]
    assert steps[1].output == "second"


async def test_a_block_that_sets_its_result_again_has_done_the_work_again(
    attempts: Attempts,
) -> None:
    async def handler() -> None:
        attempts.calls.append("work")
        async with cl.Step("work", key="work") as step:
            step.result = len(attempts.calls)

    [step] = await attempts.run(handler, handler, handler)
    assert (step.from_attempt, step.output) == (None, "3")


async def test_a_block_without_a_result_or_that_fails_stores_none(attempts: Attempts) -> None:
    async def handler() -> None:
        async with cl.Step("none", key="none") as none:
            pass
        assert not none.is_reused
        with suppress(ValueError):
            async with cl.Step("fails", key="fails") as fails:
                assert not fails.is_reused
                fails.result = 1
                raise ValueError("late")

    steps = await attempts.run(handler, handler)
    assert [step.from_attempt for step in steps] == [None, None]


async def test_a_result_is_the_same_in_the_first_attempt_as_in_later_ones(
    attempts: Attempts,
) -> None:
    @cl.step(durable=True)
    async def pair() -> tuple[int, dict[Any, int]]:
        return 1, {2: 3}

    results: list[object] = []

    async def handler() -> None:
        results.append(await pair())

    await attempts.run(handler, handler)
    assert results == [[1, {"2": 3}]] * 2


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (object(), "InvalidArgument", "must be JSON"),
        (float("nan"), "InvalidArgument", "must be JSON"),
        (Query(text="a"), "InvalidArgument", "model_dump"),
        ("x" * 2000, "ValueTooLarge", "STEPWIRE_MAX_EVENT_BYTES"),
    ],
)
async def test_a_result_that_cannot_be_stored_is_said_at_the_end_of_the_step_which_shows_it(
    bench: Bench, value: object, error: str, says: str
) -> None:
    bench.settings.max_event_bytes = 1024

    @cl.step(durable=True)
    async def work() -> object:
        return value

    async def handler() -> None:
        with pytest.raises(cl.InvalidArgument, match=says):
            await work()
        async with cl.Step("block", key="block") as step:
            with pytest.raises(cl.InvalidArgument, match=says):
                step.result = value

    assert (await bench.run(handler)).status == "ok"
    steps = await bench.steps()
    assert steps["work"].status == "error"
    assert steps["work"].error is not None
    assert steps["work"].error.type == error
    assert steps["work"].output
    assert steps["block"].status == "ok"


async def test_what_cannot_be_durable_is_refused_at_the_decorator() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def letters() -> AsyncIterator[str]:
        yield "a"

    for generator in (numbers, letters):
        with pytest.raises(cl.InvalidArgument, match="is a generator"):
            cl.step(durable=True)(generator)
        with pytest.raises(cl.InvalidArgument, match="is a generator"):
            cl.step(key="k")(generator)
    for key in ("", 5, "x" * 1001, "\ud83d"):
        with pytest.raises(cl.InvalidArgument, match="key"):
            cl.step(key=key)  # type: ignore[arg-type]
        with pytest.raises(cl.InvalidArgument, match="key"):
            cl.Step(key=key)  # type: ignore[arg-type]
    with pytest.raises(cl.InvalidArgument, match="durable"):
        cl.step(durable="yes")  # type: ignore[call-overload]
    with pytest.raises(cl.InvalidArgument, match="no key"):
        cl.Step("a").result = 1


async def test_work_that_a_plain_function_returns_is_refused_and_not_stored(bench: Bench) -> None:
    async def later() -> int:
        return 1

    async def handler() -> None:
        with pytest.raises(cl.InvalidArgument, match="async def"):
            await cl.step(durable=True)(lambda: later())()
        # Of a partial of a coroutine function it is known beforehand.
        assert await cl.step(durable=True)(functools.partial(later))() == 1

    assert (await bench.run(handler)).status == "ok"


async def test_outside_of_runs_a_durable_step_is_a_step(bench: Bench) -> None:
    calls = []

    @cl.step(durable=True)
    async def work() -> int:
        calls.append(1)
        return len(calls)

    async def handler() -> None:
        for number in (1, 2):
            async with cl.session(bench.session_id):
                assert await work() == number

    with used_as_process_publisher(bench.publisher):
        assert (await bench.run(handler)).status == "ok"
    assert [step.from_attempt for step in (await bench.snapshot()).steps] == [None, None]


async def test_an_outdated_attempt_stores_nothing_and_is_told_at_the_step(
    attempts: Attempts, bench: Bench
) -> None:
    run_id = new_id()

    @cl.step(durable=True)
    async def work() -> str:
        await bench.log.begin_run(bench.session_id, run_id, "another worker")
        return "of the old attempt"

    async def handler() -> None:
        await work()
        attempts.calls.append("went on")

    with pytest.raises(cl.RunFenced):
        await bench.run(handler, run_id=run_id)
    assert attempts.calls == []
    key = SessionKeys.of(bench.session_id).durable(run_id)
    assert await bench.log.store.read(command("EXISTS", key)) == [0]


async def test_a_handler_under_test_pays_once(stepwire_app: App) -> None:
    calls: list[int] = []
    tried: list[int] = []

    @cl.step(durable=True)
    async def pay(amount: int) -> str:
        calls.append(amount)
        return f"paid {amount}"

    @cl.on_message(max_attempts=3, retry_on=ConnectionError, backoff_s=0)
    async def main() -> None:
        await pay(5)
        async with cl.Step("send"):
            tried.append(1)
            if len(tried) == 1:
                raise ConnectionError("away")

    assert (await stepwire_app.message("go")).status == "ok"
    assert calls == [5]
    paid = [step for step in stepwire_app.tree.children[0].children if step.name == "pay"]
    assert [step.step.from_attempt for step in paid if step.step is not None] == [None, 1]


async def test_a_result_that_is_assigned_before_the_block_is_stored_and_has_its_limit(
    attempts: Attempts,
) -> None:
    async def handler() -> None:
        step = cl.Step("early", key="early")
        if not attempts.calls:
            step.result = {"found": 2}
        async with step:
            attempts.calls.append(step.result)
        large = cl.Step("large", key="large")
        large.result = "x" * 2_000_000
        with pytest.raises(cl.ValueTooLarge, match="large"):
            async with large:
                raise AssertionError

    await attempts.run(handler, handler)
    assert attempts.calls == [{"found": 2}] * 2


class Page(BaseModel):
    at: datetime
    link: AnyUrl


IDENTITY = """
from pydantic import BaseModel
from stepwire._decorating.call_identity import identity

class Query(BaseModel):
    words: set[str]

print(identity(print, "name", {"query": Query(words={"a", "b", "c", "d"})}))
"""


def test_the_identity_of_a_call_is_the_same_in_every_process() -> None:
    def of_process(seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", IDENTITY],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    assert len({of_process(seed) for seed in "123"}) == 1


def test_a_model_that_holds_what_only_pydantic_can_express_has_an_identity() -> None:
    def of(link: str) -> str:
        page = Page(at=datetime(2026, 1, 1, tzinfo=UTC), link=AnyUrl(link))
        return identity(print, "name", {"page": page})

    assert of("https://a.example") == of("https://a.example") != of("https://b.example")
