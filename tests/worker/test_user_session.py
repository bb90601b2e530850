"""What handlers remember, and how they call between the two colours of functions."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import stepwire as cl
from bench import Bench
from stack import Stack, wait_until
from stepwire_core.keys import SessionKeys

pytestmark = pytest.mark.anyio


async def test_values_are_there_in_the_next_run_of_the_session(bench: Bench) -> None:
    seen: list[Any] = []

    async def first() -> None:
        cl.user_session.set("cart", {"items": (1, 2)})
        cl.user_session.set("name", "Ada")
        seen.append(cl.user_session.get("cart"))

    async def second() -> None:
        seen.append(cl.user_session.get("cart"))
        seen.append(cl.user_session.get("missing", "default"))
        seen.append(cl.user_session.get("id"))
        cl.user_session.set("name", None)

    async def third() -> None:
        seen.append(cl.user_session.get("name"))

    for handler in (first, second, third):
        assert (await bench.run(handler)).status == "ok"
    assert seen == [{"items": [1, 2]}, {"items": [1, 2]}, "default", bench.session_id, None]


async def test_values_make_no_event_and_expire_with_the_session(bench: Bench) -> None:
    async def handler() -> None:
        cl.user_session.set("a", 1)

    await bench.run(handler)
    assert await bench.types() == ["run.start", "run.end"]
    redis = bench.log._redis
    meta = SessionKeys.of(bench.session_id).meta
    user = meta.removesuffix("meta") + "user"
    times = [await redis.execute_command("PEXPIRETIME", key) for key in (meta, user)]
    assert times[0] == times[1]
    assert times[0] is not None
    assert times[0] > 0


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lock", threading.Lock(), "they must be JSON"),
        ("nan", float("nan"), "they must be JSON"),
        ("id", "x", "not 'id'"),
        ("", 1, "takes a name"),
    ],
)
async def test_a_value_that_cannot_travel_is_refused(
    bench: Bench, key: str, value: object, said: str
) -> None:
    async def handler() -> None:
        cl.user_session.set("before", 1)
        with pytest.raises(cl.InvalidArgument, match=said):
            cl.user_session.set(key, value)

    run = await bench.run(handler)
    assert run.error is None


def test_outside_a_session_there_is_nothing_to_remember() -> None:
    with pytest.raises(cl.NoActiveSession):
        cl.user_session.get("x")


def test_the_user_session_follows_the_session_from_worker_to_worker(stack: Stack) -> None:
    app = """
        import os
        import stepwire as cl

        @cl.on_message
        async def main():
            seen = cl.user_session.get("pids", [])
            cl.user_session.set("pids", [*seen, os.getpid()])
            await cl.Message(" ".join(map(str, [*seen, os.getpid()]))).send()
    """
    gateway = stack.gateway()
    session = gateway.create_session()
    for _ in range(2):
        worker = stack.worker(app)
        run = gateway.send(session, "go")["run_id"]
        assert gateway.wait_for_end(session, run)["status"] == "ok"
        worker.stop()
        wait_until(lambda worker=worker: worker.exit_code is not None, "it ends")  # type: ignore[misc]
    answers = [s["output"] for s in gateway.snapshot(session)["steps"] if s["name"] == "Assistant"]
    first, second = answers
    assert len(set(second.split())) == 2
    assert second.split()[0] == first


async def test_make_async_keeps_the_place_in_the_tree_and_the_loop_free(bench: Bench) -> None:
    released = threading.Event()

    def blocking(value: int) -> int:
        """Blocks."""
        with cl.Step("in the thread"):
            assert released.wait(10)
        return value * 2

    async def handler() -> None:
        wrapped = cl.make_async(blocking)
        assert wrapped.__doc__ == "Blocks."
        async with cl.Step("outer"):
            task = asyncio.ensure_future(wrapped(21))
            await asyncio.sleep(0)
            released.set()
            assert await task == 42

    run = await bench.run(handler)
    assert run.error is None
    assert await bench.tree() == {"outer": None, "in the thread": "outer"}


async def test_run_sync_uses_the_loop_of_the_handler(bench: Bench) -> None:
    loops: list[object] = []

    async def inner() -> str:
        loops.append(asyncio.get_running_loop())
        await cl.Message("from a coroutine").send()
        return "result"

    def handler() -> None:
        with cl.Step("sync"):
            assert cl.run_sync(inner()) == "result"

    run = await bench.run(handler)
    assert run.error is None
    assert loops == [asyncio.get_running_loop()]
    assert (await bench.tree())["Assistant"] == "sync"


async def test_run_sync_on_the_loop_itself_is_refused(bench: Bench) -> None:
    async def handler() -> None:
        with pytest.raises(cl.InvalidArgument, match="await the coroutine"):
            cl.run_sync(cl.sleep(0))

    run = await bench.run(handler)
    assert run.error is None
