"""What handlers remember, and how they call between the two colours of functions."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import stepwire as cl
from bench import Bench
from documents import nested
from event_log import client_of
from stack import Stack, wait_until
from stepwire._transport.producer import Producer
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.wire.events import NewEvent

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
    redis = client_of(bench.log.store)
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
        ("seen:\ud83d", 1, "halves of surrogate pairs"),
        ("k" * 1_001, 1, "1,000 characters"),
        ("deep", nested(51), "nested more than 50 deep"),
        ("very deep", nested(100_000), "they must be JSON"),
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


async def test_names_with_control_characters_and_broken_text_in_values_are_kept(
    bench: Bench,
) -> None:
    seen: list[Any] = []

    async def first() -> None:
        cl.user_session.set("a\n b\x00", {"half \ud83d": ["\ude00", "\ud83d\ude00"]})
        cl.user_session.set("deep", nested(50))

    async def second() -> None:
        seen.extend([cl.user_session.get("a\n b\x00"), cl.user_session.get("deep")])

    assert (await bench.run(first)).error is None
    assert (await bench.run(second)).error is None
    assert seen == [{"half \ufffd": ["\ufffd", "\U0001f600"]}, nested(50)]


async def test_what_is_changed_in_place_is_stored_at_the_end_of_the_run(bench: Bench) -> None:
    seen: list[Any] = []

    async def begin() -> None:
        history: list[object] = []
        cl.user_session.set("history", history)
        cl.user_session.set("facts", {"names": []})
        history.append("set, then changed")

    async def go_on() -> None:
        cl.user_session.get("history").append("got, then changed")
        cl.user_session.get("facts")["names"].append("Ada")
        raise RuntimeError("what was remembered stays")

    async def look() -> None:
        seen.extend([cl.user_session.get("history"), cl.user_session.get("facts")])

    assert (await bench.run(begin)).status == "ok"
    assert (await bench.run(go_on)).status == "error"
    assert (await bench.run(look)).status == "ok"
    assert seen == [["set, then changed", "got, then changed"], {"names": ["Ada"]}]


async def test_what_was_only_looked_at_is_not_stored_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []

    async def begin() -> None:
        cl.user_session.set("history", [1])
        cl.user_session.set("gone", [1])

    async def look() -> None:
        assert cl.user_session.get("history") == [1]
        cl.user_session.get("gone").append(2)
        cl.user_session.set("gone", None)
        publish = Producer.publish

        def noted(self: Producer, *events: NewEvent) -> None:
            stored.extend(event.id for event in events if event.op == "keep_value")
            publish(self, *events)

        monkeypatch.setattr(Producer, "publish", noted)

    await bench.run(begin)
    await bench.run(look)
    assert stored == []


async def test_a_value_that_was_changed_into_no_json_costs_only_itself(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    async def begin() -> None:
        cl.user_session.set("bad", [])
        cl.user_session.set("large", [])
        cl.user_session.set("good", [])

    async def change() -> None:
        cl.user_session.get("bad").append(threading.Lock())
        cl.user_session.get("large").append("x" * 2_000_000)
        cl.user_session.get("good").append(1)

    async def look() -> None:
        seen.extend(cl.user_session.get(key) for key in ("bad", "large", "good"))

    for handler in (begin, change, look):
        assert (await bench.run(handler)).status == "ok"
    assert seen == [[], [], [1]]
    lost = [record.key for record in caplog.records if record.name == "stepwire.user_session"]  # type: ignore[attr-defined]
    assert lost == ["bad", "large"]


def test_what_was_changed_in_place_is_there_for_a_task_that_is_awaited(stack: Stack) -> None:
    app = """
        import stepwire as cl

        @cl.task
        async def count():
            return len(cl.user_session.get("history"))

        @cl.on_message
        async def main():
            cl.user_session.set("history", [])
            cl.user_session.get("history").append("asked")
            await cl.Message(f"{await cl.enqueue(count)} so far").send()
    """
    gateway = stack.gateway()
    stack.worker(app)
    session = gateway.create_session()
    run = gateway.send(session, "go")["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert "1 so far" in [step["output"] for step in gateway.snapshot(session)["steps"]]


async def test_a_value_that_cannot_be_read_costs_no_run_anything_else(bench: Bench) -> None:
    seen: list[Any] = []

    async def first() -> None:
        cl.user_session.set("bad", 1)
        cl.user_session.set("good", 2)

    async def second() -> None:
        seen.extend([cl.user_session.get("bad"), cl.user_session.get("good")])

    await bench.run(first)
    user = SessionKeys.of(bench.session_id).meta.removesuffix("meta") + "user"
    await client_of(bench.log.store).execute_command("HSET", user, "bad", "{no JSON")
    assert (await bench.run(second)).status == "ok"
    assert seen == [None, 2]


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
