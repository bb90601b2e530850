"""Handlers that do what they should not: each ends its own run, once, and hurts no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import EmbeddedServer

ENDS = """
    import argparse, asyncio, sys, threading
    import stepwire as cl

    @cl.task
    async def good():
        await cl.Message("good").send()

    @cl.task
    async def exits():
        sys.exit(3)

    @cl.task
    def exits_in_thread():
        sys.exit("no")

    @cl.task
    def parses_arguments():
        argparse.ArgumentParser("tool").parse_args(["--nope"])

    @cl.task
    async def interrupts():
        raise KeyboardInterrupt

    @cl.task
    async def leaves_a_generator():
        raise GeneratorExit

    class Own(BaseException):
        pass

    @cl.task
    async def raises_a_base_exception():
        raise Own("mine")

    async def inner():
        await asyncio.sleep(0)
        sys.exit(4)

    @cl.task
    async def awaits_one_that_exits():
        await asyncio.create_task(inner())

    @cl.task
    async def gathers_some_that_exit():
        await asyncio.gather(*(inner() for _ in range(3)))

    @cl.task
    async def exits_in_make_async():
        await cl.make_async(sys.exit)(5)

    @cl.task
    async def a_part_exits():
        await cl.enqueue(exits)

    @cl.task
    async def cancels_and_awaits():
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    @cl.task
    async def raises_a_cancellation():
        raise asyncio.CancelledError("of its own")

    @cl.task
    async def recurses():
        def deeper(n): return deeper(n + 1)
        deeper(0)

    @cl.task
    async def has_no_memory():
        raise MemoryError

    @cl.task
    async def closes_the_loop():
        asyncio.get_running_loop().close()

    class Unreadable(Exception):
        def __str__(self):
            raise ValueError("no text")

    @cl.task
    async def raises_the_unreadable():
        raise Unreadable

    @cl.task
    def yields():
        yield 1

    @cl.task
    async def yields_asynchronously():
        yield 1

    @cl.task
    async def exits_beside():
        # Nobody awaits these: they go through the loop.
        asyncio.create_task(inner())
        asyncio.get_running_loop().call_soon(sys.exit, 6)
        await asyncio.sleep(0.05)

    @cl.task
    async def stops_the_loop():
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.05)

    @cl.task
    async def cancels_all_others():
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    @cl.task
    async def replaces_the_policy():
        asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
        asyncio.set_event_loop(None)

    @cl.task
    async def shuts_the_executor_down():
        await asyncio.get_running_loop().shutdown_default_executor()

    @cl.task
    async def returns_what_has_no_end():
        value = []
        value.append(value)
        return value

    @cl.task
    async def awaits_what_has_no_end():
        await cl.enqueue(returns_what_has_no_end)

    @cl.task
    async def cannot_be_shown():
        for name in ("first", "second"):
            step = await cl.Step(name).send()
            await step.stream_token(f"text of {name}")
            if name == "first":
                step.metadata = None

    @cl.task
    class Meta(type):
        def __instancecheck__(cls, instance):
            raise LookupError("we cannot even ask")

    class Strange(Exception, metaclass=Meta):
        pass

    @cl.task(retry_on=Strange, max_attempts=3)
    async def breaks_what_is_around_it():
        step = await cl.Step("open").send()
        await step.stream_token("half")
        raise ValueError("x")

    @cl.on_stop
    async def stopped():
        sys.exit(7)

    @cl.on_message
    async def waits(message):
        async with cl.Step("waits"):
            await asyncio.Event().wait()

    @cl.on_chat_end
    async def farewell():
        sys.exit(8)

    @cl.on_feedback
    async def rated(feedback):
        sys.exit(9)
"""


@pytest.fixture(scope="module")
def ends(
    tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer
) -> Iterator[tuple[Child, Gateway, Stack]]:
    with Stack(tmp_path_factory.mktemp("ends"), server.url) as stack:
        yield stack.worker(ENDS), stack.gateway(), stack


def assert_unhurt(worker: Child, gateway: Gateway) -> None:
    session = gateway.create_session()
    run = gateway.wait_for_end(session, gateway.start(session, "good"))
    assert run["status"] == "ok"
    assert worker.exit_code is None


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ("exits", "SystemExit"),
        ("exits_in_thread", "SystemExit"),
        ("parses_arguments", "SystemExit"),
        ("interrupts", "KeyboardInterrupt"),
        ("leaves_a_generator", "GeneratorExit"),
        ("raises_a_base_exception", "Own"),
        ("awaits_one_that_exits", "SystemExit"),
        ("gathers_some_that_exit", "SystemExit"),
        ("exits_in_make_async", "SystemExit"),
        ("a_part_exits", "TaskFailed"),
        ("cancels_and_awaits", "CancelledError"),
        ("raises_a_cancellation", "CancelledError"),
        ("recurses", "RecursionError"),
        ("has_no_memory", "MemoryError"),
        ("closes_the_loop", "RuntimeError"),
        ("raises_the_unreadable", "Unreadable"),
        ("yields", "InvalidArgument"),
        ("yields_asynchronously", "InvalidArgument"),
        ("awaits_what_has_no_end", "TaskFailed"),
    ],
)
def test_whatever_a_handler_raises_ends_its_run_as_an_error(
    ends: tuple[Child, Gateway, Stack], task: str, error: str
) -> None:
    worker, gateway, _ = ends
    session = gateway.create_session()
    run = gateway.wait_for_end(session, gateway.start(session, task))
    assert (run["status"], run["error"]["type"], run["attempt"]) == ("error", error, 1)
    assert_unhurt(worker, gateway)


@pytest.mark.parametrize(
    "task",
    [
        "exits_beside",
        "stops_the_loop",
        "cancels_all_others",
        "replaces_the_policy",
        "shuts_the_executor_down",
    ],
)
def test_what_a_handler_does_to_the_loop_is_survived(
    ends: tuple[Child, Gateway, Stack], task: str
) -> None:
    worker, gateway, _ = ends
    session = gateway.create_session()
    other = gateway.create_session()
    waiting = gateway.send(other, "go")["run_id"]
    wait_until(lambda: len(gateway.snapshot(other)["steps"]) == 2, "another run is under way")
    run = gateway.wait_for_end(session, gateway.start(session, task))
    assert (run["status"], run["attempt"]) == ("ok", 1)
    assert_unhurt(worker, gateway)
    untouched = gateway.run(other, waiting)
    assert untouched is not None
    assert untouched["status"] == "running"
    assert gateway.client.post(f"/v1/sessions/{other}/runs/{waiting}/cancel").is_success
    assert gateway.wait_for_end(other, waiting)["status"] == "cancelled"


def test_a_step_that_cannot_be_shown_ends_and_so_does_all_that_is_open_beside_it(
    ends: tuple[Child, Gateway, Stack],
) -> None:
    worker, gateway, _ = ends
    session = gateway.create_session()
    run = gateway.wait_for_end(session, gateway.start(session, "cannot_be_shown"))
    assert (run["status"], run["attempt"]) == ("ok", 1)
    steps = gateway.snapshot(session)["steps"]
    assert [(s["name"], s["status"], s["output"]) for s in steps] == [
        ("first", "ok", "text of first"),
        ("second", "ok", "text of second"),
    ]
    assert_unhurt(worker, gateway)


def test_what_goes_wrong_around_a_handler_still_ends_its_run_once(
    ends: tuple[Child, Gateway, Stack],
) -> None:
    worker, gateway, stack = ends
    session = gateway.create_session()
    run = gateway.start(session, "breaks_what_is_around_it")
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["error"]["type"]) == ("error", "InternalError")
    [step] = gateway.snapshot(session)["steps"]
    assert (step["status"], step["output"]) == ("interrupted", "half")
    queue = stack.env["STEPWIRE_QUEUE_NAME"]
    wait_until(lambda: stack.redis.zscore(f"{queue}:dead", run) is not None, "its letter is there")
    wait_until(lambda: stack.redis.zcard(queue) == 0, "its job is over")
    assert gateway.run(session, run) == ended
    assert_unhurt(worker, gateway)


def test_an_on_stop_that_exits_leaves_its_run_cancelled(
    ends: tuple[Child, Gateway, Stack],
) -> None:
    worker, gateway, _ = ends
    session = gateway.create_session()
    run = gateway.send(session, "go")["run_id"]
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 2, "it runs")
    assert gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel").is_success
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    assert_unhurt(worker, gateway)


def test_handlers_of_what_follows_may_exit_as_well(ends: tuple[Child, Gateway, Stack]) -> None:
    worker, gateway, stack = ends
    session = gateway.create_session()
    gateway.wait_for_end(session, gateway.start(session, "good"))
    [step] = gateway.snapshot(session)["steps"]
    path = f"/v1/sessions/{session}/steps/{step['id']}/feedback"
    response = gateway.client.put(path, json={"value": 1})
    assert response.is_success, response.text
    wait_until(
        lambda: [r["status"] for r in gateway.snapshot(session)["runs"]][-1] == "error",
        "on_feedback has ended",
    )
    assert gateway.client.delete(f"/v1/sessions/{session}").is_success
    queue = stack.env["STEPWIRE_QUEUE_NAME"]
    wait_until(lambda: stack.redis.zcard(queue) == 0, "on_chat_end is over")
    assert "sys.exit(8) ends the run" in worker.output
    assert_unhurt(worker, gateway)


SWALLOWS = """
    import asyncio, os, pathlib
    import stepwire as cl

    GATE = pathlib.Path(os.environ["GATE"])

    async def never_lets_go():
        async with cl.Step("holds"):
            while not GATE.exists():
                try:
                    await asyncio.sleep(0.05)
                except BaseException:
                    pass
        return "went on"

    @cl.task(timeout_s=0.5)
    async def late():
        return await never_lets_go()

    @cl.task
    async def stubborn():
        return await never_lets_go()

    @cl.task
    async def good():
        pass
"""


@pytest.fixture
def gate(stack: Stack, tmp_path: Path) -> Path:
    stack.env["GATE"] = str(tmp_path / "gate")
    return tmp_path / "gate"


def test_a_handler_that_swallows_the_end_of_its_time_has_taken_too_long(
    stack: Stack, gate: Path
) -> None:
    worker = stack.worker(SWALLOWS, STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.wait_for_end(session, gateway.start(session, "late"))
    assert not gate.exists()
    assert (run["status"], run["error"]["type"], run["attempt"]) == ("error", "RunTimeout", 1)
    step = gateway.snapshot(session)["steps"][0]
    assert step["status"] == "interrupted"
    assert "left behind" in worker.output
    # It is not in the way of other runs, even with one slot; what it does now has no effect.
    assert_unhurt(worker, gateway)
    wait_until(lambda: of_workers(stack, "left_behind") == [1], "the worker says so")
    gate.touch()
    wait_until(lambda: of_workers(stack, "left_behind") == [0], "it has ended")
    assert gateway.run(session, run["run_id"]) == run


def test_a_handler_that_swallows_its_cancellation_is_cancelled(stack: Stack, gate: Path) -> None:
    worker = stack.worker(SWALLOWS)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.start(session, "stubborn")
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 1, "it runs")
    assert gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel").is_success
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    assert_unhurt(worker, gateway)


def of_workers(stack: Stack, what: str) -> list[int]:
    keys = stack.redis.scan_iter(f"{stack.env['STEPWIRE_QUEUE_NAME']}:worker:*")
    contents = [stack.redis.get(key) for key in keys]
    return [json.loads(content)[what] for content in contents if isinstance(content, bytes)]


SLOTS = """
    import asyncio, os, pathlib
    import stepwire as cl

    GATE = pathlib.Path(os.environ["GATE"])
    running = most = 0

    @cl.task
    async def fails():
        raise ValueError("x")

    @cl.task
    async def slow():
        while not GATE.exists():
            await asyncio.sleep(0.01)

    @cl.task(max_attempts=2, retry_on=cl.TaskFailed, backoff_s=0.01, max_running=1)
    async def parent():
        await asyncio.gather(cl.enqueue(fails), cl.enqueue(slow))

    @cl.task
    async def probe():
        global running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= 1
        await cl.Message(str(most)).send()
"""


def test_a_job_frees_its_slot_once_whatever_its_handler_leaves_behind(
    stack: Stack, gate: Path
) -> None:
    stack.worker(SLOTS, STEPWIRE_MAX_JOBS="2", STEPWIRE_LEASE_S="2")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    # Their other parts wait for the gate, with no slot, so what awaits them outlives each run.
    helper = stack.worker(SLOTS, STEPWIRE_MAX_JOBS="50")
    for _ in range(3):
        run = gateway.wait_for_end(session, gateway.start(session, "parent"))
        assert (run["status"], run["attempt"]) == ("error", 2)
    gate.touch()
    wait_until(
        lambda: all(run["status"] != "running" for run in gateway.snapshot(session)["runs"]),
        "all parts have ended",
    )
    helper.stop()
    probes = [gateway.start(session, "probe") for _ in range(12)]
    for probe in probes:
        assert gateway.wait_for_end(session, probe)["status"] == "ok"
    steps = gateway.snapshot(session)["steps"]
    said = [int(step["output"]) for step in steps if step["name"] == "Assistant"]
    assert max(said) == 2
    wait_until(lambda: of_workers(stack, "running") == [0], "the worker says that it runs nothing")
    # Nor does a limit hold anything: the next one is executed.
    assert gateway.wait_for_end(session, gateway.start(session, "parent"))["attempt"] == 2
