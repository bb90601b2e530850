"""Code that blocks its threads for ever: it can use up its own, and none of the library's."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from stack import Gateway, Stack, wait_until

BLOCKS = Path(__file__).parent / "apps" / "threads.py"


def assert_unhurt(gateway: Gateway) -> None:
    """A synchronous handler that asks, is answered and shows it: all that needs threads."""
    session = gateway.create_session()
    run = gateway.send(session, "hi")["run_id"]
    assert gateway.answer(
        session, gateway.open_ask(session)["id"], id="a", content="Ada"
    ).is_success
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert gateway.snapshot(session)["steps"][-1]["output"] == "Ada"


def test_synchronous_handlers_that_ask_do_not_use_up_what_they_wait_with(stack: Stack) -> None:
    stack.worker(BLOCKS, STEPWIRE_MAX_JOBS="40")
    gateway = stack.shared_gateway()
    sessions = [gateway.create_session() for _ in range(40)]
    runs = [gateway.send(session, "hi")["run_id"] for session in sessions]
    for session in sessions:
        ask = gateway.open_ask(session)
        assert gateway.answer(session, ask["id"], id=f"a{session}", content="Ada").is_success
    for session, run in zip(sessions, runs, strict=True):
        assert gateway.wait_for_end(session, run)["status"] == "ok"


@pytest.mark.parametrize("task", ["blocks", "blocks_in_make_async", "blocks_the_default_executor"])
def test_threads_that_block_for_ever_are_in_nobodys_way(stack: Stack, task: str) -> None:
    worker = stack.worker(BLOCKS, STEPWIRE_MAX_JOBS="40")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    runs = [gateway.start(session, task) for _ in range(20)]
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == len(runs), "all block")
    assert_unhurt(gateway)
    for run in runs:
        assert gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel").is_success
    for run in runs:
        assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    assert_unhurt(gateway)
    assert worker.exit_code is None


def test_a_chain_of_synchronous_parts_needs_a_thread_each_and_has_it(stack: Stack) -> None:
    stack.worker(BLOCKS, STEPWIRE_MAX_JOBS="1")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.wait_for_end(session, gateway.start(session, "deep", level=20))
    assert run["status"] == "ok"


def test_names_of_servers_are_looked_up_although_the_default_executor_is_used_up(
    stack: Stack,
) -> None:
    by_name = stack.env["STEPWIRE_REDIS_URL"].replace("127.0.0.1", "localhost")
    assert "localhost" in by_name
    worker = stack.worker(BLOCKS, STEPWIRE_REDIS_URL=by_name)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    gateway.start(session, "blocks_the_default_executor")
    wait_until(lambda: len(gateway.snapshot(session)["steps"]) == 1, "it blocks")
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        for kind in ("normal", "pubsub"):
            redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    assert_unhurt(gateway)
    assert worker.exit_code is None


LATE = """
    import asyncio, os, pathlib, threading
    import stepwire as cl

    async def never():
        await asyncio.Event().wait()

    @cl.task(timeout_s=0.5)
    def waits():
        try:
            cl.run_sync(never())
        except BaseException as error:
            pathlib.Path(os.environ["SAW"]).write_text(type(error).__name__)
            raise
"""


def test_a_thread_that_waits_on_the_loop_hears_that_its_run_has_ended(stack: Stack) -> None:
    saw = stack.folder / "saw"
    stack.worker(LATE, SAW=str(saw))
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.wait_for_end(session, gateway.start(session, "waits"))
    assert run["error"]["type"] == "RunTimeout"
    wait_until(lambda: saw.exists() and saw.read_text() == "RunEnded", "the thread goes on")
