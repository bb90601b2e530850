"""Handlers that do what they should not: each ends its own run, once, and hurts no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import EmbeddedServer

ENDS = Path(__file__).parent / "apps" / "hostile.py"


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


SLOTS = Path(__file__).parent / "apps" / "slots.py"


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
