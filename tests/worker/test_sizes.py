"""A value that is too large for an event is refused at the call; everything else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import stepwire as cl
from stepwire._handlers.registry import collecting
from stepwire._runs.runner import Runner
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench import Bench

pytestmark = pytest.mark.anyio

LARGE = "ä" * (600 * 1024)


async def sets_a_value() -> None:
    cl.user_session.set("key", "small")
    cl.user_session.set("key", LARGE)


async def asks() -> None:
    action = cl.Action(name="a", payload={"text": LARGE}, label="A")
    await cl.AskActionMessage("Which?", actions=[action], timeout=5).send()


async def sends_an_element() -> None:
    await cl.Text(LARGE, content="short").send()


async def shows_an_element_with_a_step() -> None:
    async with cl.Step("with it", elements=[cl.Text(LARGE, content="short")]):
        pass


async def wants_a_part() -> None:
    await cl.enqueue("part", text=LARGE)


@pytest.mark.parametrize(
    "handler", [sets_a_value, asks, sends_an_element, shows_an_element_with_a_step, wants_a_part]
)
async def test_what_is_too_large_is_refused_with_the_setting_that_says_so(
    bench: Bench, handler: Callable[[], Awaitable[None]]
) -> None:
    caught: list[cl.ValueTooLarge] = []

    async def careful() -> None:
        try:
            await handler()
        except cl.ValueTooLarge as error:
            caught.append(error)
        async with cl.Step("goes on"):
            pass

    run = await bench.run(careful)
    assert run.status == "ok", run.error
    [error] = caught
    assert error.size > error.limit == bench.settings.max_event_bytes
    assert "STEPWIRE_MAX_EVENT_BYTES" in str(error)
    assert len(str(error)) < 1_000
    steps = await bench.steps()
    assert {step.status for step in steps.values()} <= {"ok", "error"}
    assert steps["goes on"].status == "ok"


async def test_a_value_that_was_refused_leaves_the_one_before_it(bench: Bench) -> None:
    async def handler() -> None:
        with pytest.raises(cl.ValueTooLarge):
            await sets_a_value()
        assert cl.user_session.get("key") == "small"

    run = await bench.run(handler)
    assert run.status == "ok", run.error


async def test_a_result_that_is_too_large_is_an_error_for_who_awaits_it(bench: Bench) -> None:
    with collecting() as handlers:
        handlers.add("part", lambda: LARGE)
    runner = Runner(handlers, bench.log, bench.publisher, bench.settings)
    request = RunRequest(session_id=bench.session_id, run_id=new_id(), handler="part", awaited=True)
    await runner.execute(request)
    run: Any = (await bench.snapshot()).run(request.run_id)
    assert (run.status, run.error.type) == ("error", "ValueTooLarge")
    assert "the result of task 'part'" in run.error.message
