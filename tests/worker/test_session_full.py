"""A session that is full: the error that a handler gets, and the view of its readers."""

from __future__ import annotations

import asyncio

import pytest

import stepwire as cl
from bench import Bench
from event_log import client_of, counted
from stepwire._scope.emitter import session
from stepwire_core.errors import SessionFull
from stepwire_core.wire.documents import RunDocument

pytestmark = pytest.mark.anyio


def limited(bench: Bench, **limits: int) -> None:
    """Set limits far below what a user may set."""
    bench.settings = bench.settings.model_copy(update=limits)
    bench.publisher.calls.settings = bench.settings


async def assert_closed(bench: Bench, run: RunDocument, status: str = "error") -> None:
    """One end of the run, the last of its events, and no step open."""
    assert run.status == status
    events = await bench.events()
    assert [type_ for type_, _ in events].count("run.end") == 1
    assert events[-1][0] == "run.end"
    assert {step.status for step in (await bench.snapshot()).steps} <= {"ok", "error", "cancelled"}


async def test_a_run_that_fills_its_session_ends_as_an_error_that_says_so(bench: Bench) -> None:
    limited(bench, session_max_steps=50)
    emitted = 0

    async def runaway() -> None:
        nonlocal emitted
        async with cl.Step("outer"):
            while True:
                async with cl.Step(f"step {emitted}"):
                    emitted += 1
                await asyncio.sleep(0)

    run = await bench.run(runaway)
    await assert_closed(bench, run)
    assert run.error is not None
    assert run.error.type == "SessionFull"
    assert "STEPWIRE_SESSION_MAX_STEPS" in run.error.message
    assert (await counted(client_of(bench.log.store), bench.session_id))[0] <= 50


async def test_text_without_end_is_refused_and_its_step_keeps_what_there_is(bench: Bench) -> None:
    limited(bench, session_max_bytes=100_000)

    async def runaway() -> None:
        async with cl.Step("endless") as step:
            while True:
                await step.stream_token("token ")
                await asyncio.sleep(0)

    run = await bench.run(runaway)
    await assert_closed(bench, run)
    assert run.error is not None
    assert run.error.type == "SessionFull"
    [step] = (await bench.snapshot()).steps
    assert step.status == "error"
    assert len(step.output) > 50_000


async def test_a_run_that_returns_before_the_refusal_does_not_end_well(bench: Bench) -> None:
    """All of it is one batch, with the end of the run in it: nothing tells the handler."""
    limited(bench, session_max_steps=2)

    async def handler() -> None:
        for number in range(3):
            async with cl.Step(str(number)):
                pass

    run = await bench.run(handler)
    await assert_closed(bench, run)
    assert run.error is not None
    assert run.error.type == "SessionFull"


async def test_a_handler_that_hides_the_refusal_does_not_hide_it_from_the_person(
    bench: Bench,
) -> None:
    limited(bench, session_max_steps=3)

    async def handler() -> None:
        seen = 0
        while seen < 3:
            try:
                async with cl.Step("one more"):
                    await asyncio.sleep(0)
            except SessionFull:
                seen += 1

    run = await bench.run(handler)
    await assert_closed(bench, run)
    assert run.error is not None
    assert run.error.type == "SessionFull"


async def test_a_handler_can_still_remove_what_it_has_made(bench: Bench) -> None:
    limited(bench, session_max_steps=2)

    async def handler() -> None:
        step = cl.Step("first")
        await step.send()
        try:
            while True:
                await cl.Message("more").send()
                await asyncio.sleep(0)
        except SessionFull:
            await step.remove()

    await assert_closed(bench, await bench.run(handler))
    assert "first" not in await bench.steps()


async def test_one_full_session_does_not_hold_up_the_others(bench: Bench) -> None:
    limited(bench, session_max_steps=1)
    await bench.log.create("other-" + bench.session_id, "run")
    other = bench.publisher.producer("other", "other-" + bench.session_id)

    async def handler() -> None:
        for _ in range(5):
            await cl.Message("one").send()

    await bench.run(handler)
    await other.flush()
    assert other.full is None


async def test_a_run_in_a_session_that_is_full_already_has_its_beginning_and_its_end(
    bench: Bench,
) -> None:
    limited(bench, session_max_bytes=1)

    async def handler() -> None:
        await cl.Message("hello").send()

    await assert_closed(bench, await bench.run(handler))
    assert await bench.types() == ["run.start", "run.end"]


async def test_leaving_a_block_in_a_full_session_says_so_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(bench, session_max_steps=1)
    monkeypatch.setattr("stepwire._scope.emitter.process_publisher", lambda: bench.publisher)

    async def emit() -> None:
        async with session(bench.session_id):
            await cl.Message("one").send()
            await cl.Message("two").send()

    with pytest.raises(SessionFull):
        await emit()
    with pytest.raises(SessionFull):
        await emit()


async def test_no_sub_task_is_started_from_a_full_session(bench: Bench) -> None:
    limited(bench, session_max_bytes=1)

    async def handler() -> None:
        with pytest.raises(SessionFull):
            await cl.enqueue("sub_task")

    assert (await bench.run(handler)).status == "ok"
