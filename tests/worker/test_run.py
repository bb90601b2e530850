"""Runs: every way one can end, and what a later attempt does about an earlier one."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

import stepwire as cl
from bench import Bench
from documents import a_run, a_step
from stepwire._handlers.registry import collecting
from stepwire._runs.runner import Runner
from stepwire_core.errors import RunFenced
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import delta_event, run_start_event, step_event
from stepwire_core.wire.run_request import RunRequest

pytestmark = pytest.mark.anyio


async def test_a_task_gets_its_arguments_by_name(bench: Bench) -> None:
    async def add(a: int, b: int) -> None:
        async with cl.Step("sum") as step:
            step.output = a + b

    assert (await bench.run(add, a=1, b=2)).status == "ok"
    assert (await bench.steps())["sum"].output == "3"


async def test_wrong_arguments_end_the_run_as_an_error(bench: Bench) -> None:
    async def add(a: int) -> None: ...

    run = await bench.run(add, c=1)
    assert run.status == "error"
    assert run.error is not None
    assert "unexpected keyword argument 'c'" in run.error.message


async def test_a_synchronous_handler_runs_in_a_thread_with_its_context(bench: Bench) -> None:
    def handler() -> None:
        with cl.Step("outer"), cl.Step("inner"):
            pass

    assert (await bench.run(handler)).status == "ok"
    assert await bench.tree() == {"outer": None, "inner": "outer"}


async def test_a_missing_handler_ends_the_run_and_names_what_there_is(bench: Bench) -> None:
    with collecting() as handlers:
        handlers.add("known", lambda: None)
    request = RunRequest(session_id=bench.session_id, run_id=new_id(), handler="unknown")
    await Runner(handlers, bench.log, bench.publisher, bench.settings).execute(request)
    [run] = (await bench.snapshot()).runs
    assert run.error is not None
    assert run.error.type == "HandlerNotFound"
    assert "it has: known" in run.error.message


async def test_a_run_that_takes_too_long_is_ended(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"run_timeout_s": 0.05})

    async def handler() -> None:
        async with cl.Step("slow"):
            await asyncio.Event().wait()

    run = await bench.run(handler)
    assert run.status == "error"
    assert run.error is not None
    assert (run.error.type, "STEPWIRE_RUN_TIMEOUT_S" in run.error.message) == ("RunTimeout", True)
    assert (await bench.steps())["slow"].status == "interrupted"


async def test_an_exception_group_says_what_is_in_it(bench: Bench) -> None:
    async def handler() -> None:
        inner = ExceptionGroup("inside", [KeyError("key")])
        raise ExceptionGroup("several", [ValueError("one\ntwo"), inner])

    run = await bench.run(handler)
    assert run.error is not None
    assert run.error.type == "ExceptionGroup"
    assert run.error.message == (
        "several (2 sub-exceptions)\n"
        "- ValueError: one\n  two\n"
        "- ExceptionGroup: inside (1 sub-exception)\n  - KeyError: 'key'"
    )


async def test_a_timeout_of_the_handlers_own_is_its_own_error(bench: Bench) -> None:
    async def handler() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    run = await bench.run(handler)
    assert run.error is not None
    assert run.error.type == "TimeoutError"


@pytest.mark.parametrize(("max_attempts", "will_retry"), [(1, False), (2, True)])
async def test_stopping_the_worker_interrupts_the_run_and_goes_on_stopping(
    bench: Bench, max_attempts: int, will_retry: bool
) -> None:
    bench.settings = bench.settings.model_copy(update={"max_attempts": max_attempts})
    entered = asyncio.Event()

    async def handler() -> None:
        async with cl.Step("work"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(bench.run(handler))
    await asyncio.wait_for(entered.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [run] = (await bench.snapshot()).runs
    assert (run.status, run.will_retry) == ("interrupted", will_retry)
    assert run.error is not None
    assert run.error.type == "WorkerStopped"
    assert (await bench.steps())["work"].status == "interrupted"


async def _lost_attempt(bench: Bench, run_id: str) -> None:
    """The state after a worker has died in a run: two nested steps open, text streaming."""
    begun = await bench.log.begin_run(bench.session_id, run_id, "lost")
    attempt = begun.attempt
    producer = bench.publisher.producer(begun.producer, bench.session_id, run_id, attempt)
    run = {"run_id": run_id, "attempt": attempt}
    outer = a_step(bench.session_id, f"outer-{attempt}", name="outer", **run)
    inner = a_step(bench.session_id, f"inner-{attempt}", name="inner", parent_id=outer.id, **run)
    producer.publish(
        run_start_event(a_run(run_id, attempt=attempt, handler="task")),
        step_event("step.start", outer),
        step_event("step.start", inner),
        delta_event(inner.id, "half"),
    )
    await producer.flush()


async def test_a_later_attempt_first_closes_what_the_dead_one_left_open(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"max_attempts": 2})
    run_id = new_id()
    await _lost_attempt(bench, run_id)
    called = []

    async def handler() -> None:
        called.append(True)

    run = await bench.run(handler, run_id=run_id)
    events = [
        (type_, data.get("name"), data.get("attempt"), data.get("status"), data.get("will_retry"))
        for type_, data in (await bench.events())[4:]
    ]
    assert events == [
        ("step.end", "inner", 1, "interrupted", None),
        ("step.end", "outer", 1, "interrupted", None),
        ("run.end", None, 1, "interrupted", True),
        ("run.start", None, 2, "running", False),
        ("run.end", None, 2, "ok", False),
    ]
    assert (await bench.steps())["inner"].output == "half"
    assert called == [True]
    assert (run.status, run.attempt) == ("ok", 2)


async def test_with_one_attempt_allowed_a_dead_workers_run_ends(bench: Bench) -> None:
    run_id = new_id()
    await _lost_attempt(bench, run_id)

    async def handler() -> None:
        raise AssertionError("must not be called")

    run = await bench.run(handler, run_id=run_id)
    assert (run.status, run.will_retry, run.attempt) == ("interrupted", False, 1)
    assert run.error is not None
    assert run.error.type == "WorkerLost"


@pytest.mark.parametrize("dead", [1, 3])
async def test_a_worker_that_died_before_its_first_event_still_gets_an_end(
    bench: Bench, dead: int
) -> None:
    """Those after the last attempt only close it, and do not count as attempts if they die, too."""
    run_id = new_id()
    for number in range(dead):
        await bench.log.begin_run(bench.session_id, run_id, f"died at once {number}")

    async def handler() -> None:
        raise AssertionError("must not be called")

    run = await bench.run(handler, run_id=run_id)
    assert (run.status, run.will_retry, run.attempt) == ("interrupted", False, 1)
    assert await bench.types() == ["run.end"]


async def test_a_lost_attempt_whose_session_cannot_be_read_is_ended_all_the_same(
    bench: Bench,
) -> None:
    run_id = new_id()
    await _lost_attempt(bench, run_id)
    with Redis.from_url(bench.settings.redis_url) as redis:
        redis.hset(SessionKeys.of(bench.session_id).state, "s:junk", "0000000000000001  {no JSON")
    with collecting() as handlers:
        handlers.add("task", lambda: None)
    request = RunRequest(session_id=bench.session_id, run_id=run_id, handler="task")
    await Runner(handlers, bench.log, bench.publisher, bench.settings).execute(request)
    run = await bench.log.run(bench.session_id, run_id)
    assert run is not None
    assert (run.status in ("error", "interrupted"), run.will_retry) == (True, False)


async def test_a_run_that_is_over_is_not_run_again(bench: Bench) -> None:
    calls = []

    async def handler() -> None:
        calls.append(True)

    run_id = new_id()
    await bench.run(handler, run_id=run_id)
    before = await bench.snapshot()
    await bench.run(handler, run_id=run_id)
    assert calls == [True]
    assert await bench.snapshot() == before


async def test_a_stale_attempt_is_told_that_it_is_fenced(bench: Bench) -> None:
    run_id = new_id()

    async def handler() -> None:
        await bench.log.begin_run(bench.session_id, run_id, "another worker")
        async with cl.Step("stale"):
            pass

    with pytest.raises(RunFenced, match="attempt 2 has begun"):
        await bench.run(handler, run_id=run_id)
    assert "stale" not in await bench.steps()


async def test_sleep_waits_without_blocking(bench: Bench) -> None:
    order = []

    async def handler() -> None:
        async def other() -> None:
            order.append("other")

        task = asyncio.create_task(other())
        await cl.sleep(0.01)
        order.append("slept")
        await task

    await bench.run(handler)
    assert order == ["other", "slept"]


async def test_what_redis_keeps_of_a_session_beside_its_documents_stays_compact(
    bench: Bench,
) -> None:
    async def handler() -> None:
        async with cl.Step("work") as step:
            await step.stream_token("token")

    for _ in range(3):
        assert (await bench.run(handler)).status == "ok"
    # A field longer than hash-max-listpack-value doubles what a session weighs, for good.
    with Redis.from_url(bench.settings.redis_url) as redis:
        assert redis.object("encoding", SessionKeys.of(bench.session_id).meta) == b"listpack"
