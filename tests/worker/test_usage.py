"""What steps use: with each step, summed for its run over all attempts, and for the session."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import stepwire as cl
from bench import Bench
from stepwire._runs.outcome import RetryLater
from stepwire._scope.context import current_frame
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import UsageSum

pytestmark = pytest.mark.anyio


async def test_a_step_tells_what_it_has_used_and_its_run_the_sum(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("agent") as agent:
            async with cl.Step("first", type="llm") as first:
                first.usage(input_tokens=10, output_tokens=4, cost=0.1, model="small")
            with cl.Step("second", type="llm") as second:
                second.usage(input_tokens=3, cost=Decimal("0.2"))
            agent.usage(output_tokens=1)

    run = await bench.run(handler)
    steps = await bench.steps()
    first, second = steps["first"].usage, steps["second"].usage
    assert first is not None
    assert second is not None
    assert (first.input_tokens, first.output_tokens, first.cost, first.model) == (
        10,
        4,
        0.1,
        "small",
    )
    assert (second.input_tokens, second.output_tokens, second.cost) == (3, None, 0.2)
    # 0.1 + 0.2 is what people expect it to be.
    assert run.usage == UsageSum(input_tokens=13, output_tokens=5, cost=0.3)
    assert (await bench.snapshot()).usage == run.usage
    sums = [
        data["usage"]["input_tokens"]
        for type_, data in await bench.events()
        if type_ == "run.update"
    ]
    assert sums == [10, 13, 13]


async def test_what_a_step_says_again_replaces_what_it_said(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("a") as step:
            step.usage(input_tokens=1, model="small")
            await step.update()
            await step.update()
            step.usage(input_tokens=5, output_tokens=2)
            await step.update()
        step.usage(output_tokens=1)
        await step.update()

    run = await bench.run(handler)
    assert run.usage == UsageSum(input_tokens=5, output_tokens=1)
    usage = (await bench.steps())["a"].usage
    assert usage is not None
    assert usage.model == "small"
    assert (await bench.types()).count("run.update") == 3


async def test_what_was_removed_or_failed_was_used(bench: Bench) -> None:
    async def handler() -> None:
        async with cl.Step("a") as step:
            step.usage(input_tokens=7)
        await step.remove()
        with suppress(ValueError):
            async with cl.Step("b") as failing:
                failing.usage(input_tokens=2)
                raise ValueError("broken")

    run = await bench.run(handler)
    assert run.usage == UsageSum(input_tokens=9)
    assert (await bench.snapshot()).usage.input_tokens == 9


async def test_the_sum_goes_on_over_attempts_and_a_reused_result_uses_nothing(bench: Bench) -> None:
    bench.settings.max_attempts = 3
    run_id = new_id()

    @cl.step(durable=True)
    async def ask_model() -> str:
        step = cl.context.current_step
        assert isinstance(step, cl.Step)
        step.usage(input_tokens=100, cost=1.5)
        return "answer"

    async def handler(last: bool) -> None:
        await ask_model()
        async with cl.Step("check") as check:
            check.usage(input_tokens=1)
        if not last:
            raise cl.Retry(after=0)

    for last in (False, False, True):
        try:
            run = await bench.run(handler, run_id=run_id, last=last)
        except RetryLater:
            continue
    assert run.usage == UsageSum(input_tokens=103, cost=1.5)


async def test_an_attempt_that_is_lost_has_told_what_it_used(bench: Bench) -> None:
    run_id = new_id()

    async def handler() -> None:
        async with cl.Step("a") as step:
            step.usage(input_tokens=5)
        await current_frame("a test").scope.producer.flush()
        await bench.log.begin_run(bench.session_id, run_id, "another worker")
        async with cl.Step("b") as outdated:
            outdated.usage(input_tokens=50)

    with pytest.raises(cl.RunFenced):
        await bench.run(handler, run_id=run_id)

    async def again() -> None:
        pass

    bench.settings.max_attempts = 5
    run = await bench.run(again, run_id=run_id)
    assert (run.status, run.usage) == ("ok", UsageSum(input_tokens=5))


async def test_steps_outside_of_runs_count_for_the_session(bench: Bench) -> None:
    with used_as_process_publisher(bench.publisher):
        async with cl.session(bench.session_id), cl.Step("import") as step:
            step.usage(input_tokens=4, cost=1)
    snapshot = await bench.snapshot()
    assert snapshot.usage == UsageSum(input_tokens=4, cost=1.0)
    assert snapshot.runs == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": -1},
        {"input_tokens": 1.5},
        {"output_tokens": True},
        {"output_tokens": 2**54},
        {"input_tokens": "5"},
        {"cost": -0.1},
        {"cost": float("nan")},
        {"cost": float("inf")},
        {"cost": "1"},
        {"cost": 10**400},
        {"cost": 10**5000},
        {"cost": Fraction(10**400, 3)},
        {"cost": Decimal("sNaN")},
        {"input_tokens": 10**5000},
        {"model": 5},
    ],
)
def test_what_is_no_usage_is_refused(wrong: dict[str, Any]) -> None:
    step = cl.Step("a")
    with pytest.raises(cl.InvalidArgument, match=next(iter(wrong))):
        step.usage(**wrong)
