"""Emitting from anywhere: scripts, threads, tasks, forked and spawned processes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Final, cast

import pytest

import stepwire as cl
from bench import Bench
from event_log import client_of
from stepwire._scope.context import current_frame
from stepwire._transport.process_publisher import used_as_process_publisher
from stepwire._transport.producer import Producer, Put
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.ids import new_id

pytestmark = pytest.mark.anyio

LIMIT_S = 60
POOL: Final = Path(__file__).parent / "apps/pool_of_processes.py"


@pytest.fixture
async def here(bench: Bench) -> AsyncIterator[Bench]:
    """This process emits as the bench does."""
    with used_as_process_publisher(bench.publisher):
        yield bench


async def test_a_session_block_emits_without_any_handler(here: Bench) -> None:
    async with cl.session(here.session_id):
        async with cl.Step("outer"):
            await cl.Message("hello").send()
        assert cl.current() == cl.Current(here.session_id, None, None)
    assert await here.tree() == {"outer": None, "Assistant": "outer"}
    assert {step.run_id for step in (await here.snapshot()).steps} == {None}


async def test_what_a_block_has_emitted_is_stored_when_it_is_left(here: Bench) -> None:
    with cl.session(here.session_id):
        step = cl.Step("by hand")
        await step.send()
        await step.stream_token("half")
    stored = (await here.steps())["by hand"]
    assert (stored.status, stored.output) == ("ok", "half")


async def numbers(here: Bench) -> int:
    """Of how many producers the log remembers where they were."""
    reply = client_of(here.log.store).hkeys(SessionKeys.of(here.session_id).meta)
    fields = await cast("Awaitable[list[bytes]]", reply)
    return sum(field.startswith(b"p:") for field in fields)


async def test_blocks_that_were_left_leave_no_number_in_their_session(here: Bench) -> None:
    for number in range(20):
        with cl.session(here.session_id), cl.Step(f"sync {number}"):
            pass
        async with cl.session(here.session_id), cl.Step(f"async {number}"):
            pass
        with cl.session(here.session_id):
            pass
    assert len((await here.snapshot()).steps) == 40
    await asyncio.to_thread(here.publisher.close)
    assert await numbers(here) == 0


async def test_a_task_that_outlives_its_block_goes_on_emitting(here: Bench) -> None:
    left = asyncio.Event()

    async def work() -> None:
        async with cl.Step("outlives") as step:
            await step.stream_token("before ")
            await left.wait()
            await step.stream_token("after")

    async with cl.session(here.session_id), cl.Step("first"):
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
    # When this one is stored, the first block is forgotten.
    with cl.session(here.session_id), cl.Step("another"):
        pass
    left.set()
    async with asyncio.timeout(LIMIT_S):
        await task
    with cl.session(here.session_id), cl.Step("last"):
        pass
    assert set(await here.tree()) == {"first", "outlives", "another", "last"}
    assert (await here.steps())["outlives"].output == "before after"


async def test_a_session_is_made_by_its_first_step(here: Bench) -> None:
    fresh = new_id()
    with cl.session(fresh), cl.Step("first"):
        pass
    assert [step.name for step in (await here.log.snapshot(fresh)).steps] == ["first"]


async def test_blocks_in_threads_stand_side_by_side(here: Bench) -> None:
    def work(name: str) -> None:
        with cl.session(here.session_id), cl.Step(name), cl.Step(f"{name}.leaf"):
            pass

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    tree = await here.tree()
    assert len(tree) == 6
    assert all(tree[f"t{n}.leaf"] == f"t{n}" for n in range(3))


async def test_an_exception_in_the_block_goes_on_and_open_steps_are_interrupted(
    here: Bench,
) -> None:
    async def emit() -> None:
        async with cl.session(here.session_id):
            await cl.Step("open").send()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await emit()
    assert (await here.steps())["open"].status == "interrupted"


async def test_a_context_travels_as_json_and_its_steps_nest_where_it_was_taken(
    here: Bench,
) -> None:
    travelled: list[str] = []

    async def handler() -> None:
        async with cl.Step("asks"):
            travelled.append(json.dumps(cl.current().export()))

    await here.run(handler)
    async with cl.attach(json.loads(travelled[0])), cl.Step("elsewhere"):
        pass
    assert await here.tree() == {"asks": None, "elsewhere": "asks"}
    assert (await here.steps())["elsewhere"].run_id is None


@pytest.mark.parametrize(
    "context", [None, "x", {}, {"v": 1}, {"v": 2, "session_id": "s", "parent_id": None}]
)
def test_attaching_to_something_else_is_refused(context: object) -> None:
    with pytest.raises(cl.InvalidArgument, match="export"):
        cl.attach(context)  # type: ignore[arg-type]


async def test_attaching_to_a_session_that_is_gone_does_not_bring_it_back(here: Bench) -> None:
    gone = {"v": 1, "session_id": new_id(), "parent_id": None}
    with pytest.raises(cl.SessionNotFound), cl.attach(gone), cl.Step("late"):
        pass


def test_a_session_id_that_cannot_be_is_refused() -> None:
    with pytest.raises(cl.InvalidId):
        cl.session("no spaces")


async def test_a_block_is_used_once_at_a_time(here: Bench) -> None:
    block = cl.session(here.session_id)
    with block, pytest.raises(cl.InvalidArgument, match="in use"), block:
        pass
    with block, cl.Step("again"):
        pass
    assert list(await here.steps()) == ["again"]


SCRIPT = """
import json, sys
import stepwire as cl

with cl.attach(json.loads(sys.argv[1])):
    with cl.Step("in another process", type="tool") as step:
        step.output = "done"
"""


async def test_a_plain_script_continues_the_tree(
    here: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWIRE_REDIS_URL", here.settings.redis_url)

    async def handler() -> None:
        async with cl.Step("starts a script"):
            context = json.dumps(cl.current().export())
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SCRIPT, context, stdin=subprocess.DEVNULL
            )
            assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0

    assert (await here.run(handler)).status == "ok"
    assert await here.tree() == {"starts a script": None, "in another process": "starts a script"}


FIRST_USE: Final = """
import sys, threading
import stepwire as cl

assert "pydantic" not in sys.modules
threads, together = 8, threading.Barrier(8)

def emit(number):
    together.wait(30)
    try:
        with cl.session(sys.argv[1]), cl.Step(f"step {number}") as step:
            step.progress(number)
            step.usage(input_tokens=1)
            raise ValueError(f"fault {number}")
    except ValueError:
        pass

sys.setswitchinterval(1e-6)
started = [threading.Thread(target=emit, args=(number,)) for number in range(threads)]
for thread in started:
    thread.start()
for thread in started:
    thread.join(60)
"""
"""What importing leaves out is loaded by whichever thread comes first; all of them wait for it."""


async def test_the_first_steps_of_a_process_may_come_from_many_threads_at_once(
    here: Bench,
) -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FIRST_USE, here.session_id),
        env=os.environ | {"STEPWIRE_REDIS_URL": here.settings.redis_url, "STEPWIRE_ENV_FILE": ""},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(program.communicate(), LIMIT_S)
    assert (program.returncode, said.decode()) == (0, "")
    steps = await here.steps()
    assert {
        name: (step.status, step.error and step.error.message) for name, step in steps.items()
    } == {f"step {number}": ("error", f"fault {number}") for number in range(8)}
    progress = {name: step.progress and step.progress.done for name, step in steps.items()}
    assert progress == {f"step {number}": number for number in range(8)}


@pytest.mark.parametrize(
    ("method", "parents_step"), [("fork", "ForkedProcess"), ("spawn", "NoActiveSession")]
)
async def test_a_multiprocessing_pool_continues_the_tree(
    here: Bench, method: str, parents_step: str
) -> None:
    """In a program of its own: this process may have threads, and a fork copies their locks."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, POOL, method, here.session_id),
        env=os.environ | {"STEPWIRE_REDIS_URL": here.settings.redis_url, "STEPWIRE_ENV_FILE": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(program.communicate(), LIMIT_S)
    assert program.returncode == 0
    assert set(json.loads(output)) == {parents_step}
    assert await here.tree() == {"fans out": None} | {f"part {n}": "fans out" for n in range(4)}


def _in_fork() -> None:
    try:
        with cl.Step("of the parent"):
            pass
    except cl.StepwireError as error:
        sys.exit(type(error).__name__)


async def test_a_fork_is_told_so_while_a_thread_of_its_parent_emits(
    here: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    held, release, codes = threading.Event(), threading.Event(), list[int | None]()

    def emit(producer: Producer) -> None:
        def hold(_put: Put) -> None:
            held.set()
            release.wait(LIMIT_S)

        producer.atomically(hold)

    def fork() -> None:
        child = multiprocessing.get_context("fork").Process(target=_in_fork)
        child.start()
        child.join(LIMIT_S)
        codes.append(child.exitcode)
        child.kill()

    async def handler() -> None:
        emitting = asyncio.to_thread(emit, current_frame("the test").scope.producer)
        async with asyncio.TaskGroup() as group:
            group.create_task(emitting)
            await asyncio.to_thread(held.wait)
            await asyncio.to_thread(fork)
            release.set()

    assert (await here.run(handler)).status == "ok"
    assert codes == [1]
    assert "ForkedProcess" in capfd.readouterr().err
