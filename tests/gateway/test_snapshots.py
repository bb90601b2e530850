"""Snapshots are written from what is stored, unparsed: what they say, and what they cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from documents import a_run, a_step, an_element
from event_log import Log
from sse import Frames, reading
from stack import Gateway, Stack
from stepwire_core.errors import SessionNotFound
from stepwire_core.log.event_log import LogTail
from stepwire_core.log.stored_state import StoredState
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.redis.standalone import open_store
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import AskDocument, FeedbackDocument, UsageSum
from stepwire_core.wire.events import (
    NewEvent,
    ask_event,
    delta_event,
    element_event,
    feedback_event,
    run_end_event,
    run_start_event,
    step_event,
)
from stepwire_core.wire.kinds import KINDS, STEP
from stepwire_gateway.hub.snapshot_writer import write
from stepwire_gateway.hub.snapshots import Snapshots
from stepwire_gateway.hub.usage_sums import UsageSums
from stepwire_gateway.hub.written_snapshot import PART_BYTES, WrittenSnapshot
from stepwire_gateway.prefix import Prefix

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def a_log(settings: Settings) -> AsyncIterator[Log]:
    async with open_store(settings.redis_url) as store:
        log = Log(store, settings, new_id())
        await log.log.create(log.session_id, log.run_id)
        await log.log.begin_run(log.session_id, log.run_id, "token")
        yield log


def content(snapshot: WrittenSnapshot) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(b"".join(snapshot.parts()))
    return parsed


def an_ask(log: Log, ask_id: str, step_id: str) -> AskDocument:
    step = log.step("x")
    return AskDocument(
        id=ask_id,
        session_id=log.session_id,
        run_id=log.run_id,
        attempt=1,
        step_id=step_id,
        kind="text",
        expires_at=step.ts,
        started_at=step.ts,
        ts=step.ts,
    )


async def fill(log: Log) -> None:
    """Something of every kind, also before the run, and text that streams in every way."""
    await log.put(
        *[
            step_event("step.start", a_step(log.session_id, "before", type="user_message")),
            log.start("a", output="begun \u00fc ", metadata={"deep": [{"x": 1.5}], "\n": None}),
            run_start_event(a_run(log.run_id)),
            log.start("b", "a", input="old"),
            log.start("c"),
            log.element("e", "a"),
            ask_event(an_ask(log, "q", "b")),
            feedback_event(FeedbackDocument(step_id="c", value=1, comment="\u2028 fine", ts="now")),
            delta_event("a", 'and "goes\n on" \U0001f600 '),
            delta_event("b", "new", field="input", replace=True),
            delta_event("c", "half \ud83d"),
        ]
    )


async def test_a_written_snapshot_says_what_the_parsed_one_says(settings: Settings) -> None:
    async with a_log(settings) as log:
        await fill(log)
        written = await Snapshots(log.log).whole(log.session_id)
        parsed = await log.snapshot()
        assert content(written) == parsed.model_dump(mode="json")
        assert list(content(written)) == list(parsed.model_dump(mode="json"))
        frame = written.frame.decode()
        assert frame.startswith(f"id: {parsed.cursor}\nevent: snapshot\ndata: {{")
        assert frame.endswith("}\n\n")
        assert frame.count("\n") == 4
        assert written.json_bytes == len(b"".join(written.parts()))


def part_of(snapshot: dict[str, Any], run_id: str) -> dict[str, Any]:
    """What belongs to a run: what names it, and of what names none, that of its steps."""
    mine = [step["run_id"] == run_id for step in snapshot["steps"]]
    steps = {step["id"] for step in snapshot["steps"] if step["run_id"] == run_id}
    before = [
        sum(mine[:count])
        for run, count in zip(snapshot["runs"], snapshot["steps_before_runs"], strict=True)
        if run["run_id"] == run_id
    ]
    lists = {
        kind.list_name: [
            item
            for item in snapshot[kind.list_name]
            if (item["run_id"] == run_id if "run_id" in item else item["step_id"] in steps)
        ]
        for kind in KINDS
    }
    return snapshot | lists | {"steps_before_runs": before}


async def test_the_part_of_a_run_says_what_the_parsed_one_says(settings: Settings) -> None:
    async with a_log(settings) as log:
        await fill(log)
        await log.put(step_event("step.start", a_step("s", "other")), run_start_event(a_run("x")))
        element = an_element(log.session_id, "elsewhere")
        await log.put(element_event(element))
        written = await Snapshots(log.log).whole(log.session_id)
        [event] = Frames().read(written.of_run(log.run_id).decode())
        part = event.data
        assert part == part_of((await log.snapshot()).model_dump(mode="json"), log.run_id)
        assert [step["id"] for step in part["steps"]] == ["a", "b", "c"]
        assert (content(written)["steps_before_runs"], part["steps_before_runs"]) == ([2, 5], [1])
        assert (set(written.open_runs), set(written.ended_runs)) == ({log.run_id, "x"}, set())
        await log.put(run_end_event(a_run(log.run_id, "ok", ended_at="now")))
        over = await Snapshots(log.log).whole(log.session_id)
        assert (set(over.open_runs), set(over.ended_runs)) == ({"x"}, {log.run_id})


async def test_what_this_version_does_not_know_goes_out_as_it_was_stored(
    settings: Settings,
) -> None:
    async with a_log(settings) as log:
        newer = json.loads(log.step("a").to_json()) | {"status": "paused", "mood": {"x": [1]}}
        await log.put(NewEvent("start_step", "step.start", "a", "-", json.dumps(newer, indent=1)))
        run = json.loads(a_run(log.run_id, "paused").to_json()) | {"colour": "green"}
        await log.put(NewEvent("put_run", "run.start", log.run_id, "-", json.dumps(run)))
        written = await Snapshots(log.log).whole(log.session_id)
        assert content(written)["steps"] == [newer]
        assert content(written)["runs"] == [run]
        assert written.open_runs == {log.run_id}
        [step] = (await log.snapshot()).steps
        assert step.model_dump() == newer


@pytest.mark.parametrize(
    "stored",
    [
        b"7 - {broken",
        b"7 - []",
        b"7 - " + b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
        b'7 - {"name":"\\ud83d"}',
        b'7 - {"name":"\xff"}',
        b"nonsense",
        b"",
    ],
)
async def test_a_document_that_is_broken_costs_itself_alone(
    settings: Settings, stored: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_log(settings) as log:
        await fill(log)
        before = await log.snapshot()
        state = SessionKeys.of(log.session_id).state
        for field in ("s:bad", "r:bad", "e:bad", "a:bad", "f:bad", "z:newer", "?"):
            await log.redis.execute_command("HSET", state, field, stored)
        open_ = SessionKeys.of(log.session_id).open
        await log.redis.execute_command("HSET", open_, "output:b", "")
        out = f"stepwire:{{{log.session_id}}}:out:output:b"
        await log.redis.execute_command("SET", out, "without its mark")
        snapshots = Snapshots(log.log)
        assert content(await snapshots.whole(log.session_id)) == before.model_dump(mode="json")
        assert await log.snapshot() == before
        await snapshots.whole(log.session_id)
        said = [r for r in caplog.records if r.__dict__.get("session_id") == log.session_id]
        told = [(r.__dict__["kind"], r.__dict__["id"]) for r in said]
        kinds = {(kind, "bad") for kind in ("step", "run", "element", "ask", "feedback")}
        assert set(told) == kinds | {("text", "output:b")}
        assert len(told) == len(set(told))


async def test_all_who_ask_at_once_share_one_read_and_one_snapshot(settings: Settings) -> None:
    async with a_log(settings) as log:
        await fill(log)
        snapshots = Snapshots(log.log)
        await log.redis.config_resetstat()
        first = await asyncio.gather(*(snapshots.whole(log.session_id) for _ in range(50)))
        assert len(set(map(id, first))) == snapshots.built == 1
        stats = await log.redis.info("commandstats")
        assert stats["cmdstat_hgetall"]["calls"] == 1
        # While a client has it and nothing has happened, it is not read again.
        assert await snapshots.whole(log.session_id) is first[0]
        stats = await log.redis.info("commandstats")
        assert stats["cmdstat_hgetall"]["calls"] == 1


async def test_who_asks_later_gets_what_was_stored_before(settings: Settings) -> None:
    async with a_log(settings) as log:
        snapshots = Snapshots(log.log)
        reads = []
        for number in range(20):
            await log.put(log.start(f"step{number}"))
            reads.append(asyncio.create_task(snapshots.whole(log.session_id)))
            # Some reads are under way, and some have only been asked for.
            await asyncio.sleep(0)
        for number, read in enumerate(reads):
            ids = [step["id"] for step in content(await read)["steps"]]
            assert ids[: number + 1] == [f"step{n}" for n in range(number + 1)]


async def test_an_error_reaches_all_who_wait_and_a_caller_who_goes_stops_nobody(
    settings: Settings,
) -> None:
    async with a_log(settings) as log:
        snapshots = Snapshots(log.log)
        asked = [asyncio.create_task(snapshots.whole("nowhere")) for _ in range(3)]
        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, SessionNotFound)
        leaving = asyncio.create_task(snapshots.whole(log.session_id))
        staying = asyncio.create_task(snapshots.whole(log.session_id))
        await asyncio.sleep(0)
        leaving.cancel()
        assert content(await staying)["steps"] == []
        with pytest.raises(asyncio.CancelledError):
            await leaving


async def test_readers_with_different_cursors_that_the_log_has_lost_share_a_snapshot(
    settings: Settings,
) -> None:
    async with a_log(settings) as log:
        await fill(log)
        snapshots = Snapshots(log.log)
        top = Cursor.parse((await log.snapshot()).cursor)
        gone = [Cursor(top.epoch + 1, seq) for seq in range(5)]
        read = await asyncio.gather(*(snapshots.read(log.session_id, at) for at in gone))
        assert all(isinstance(one, WrittenSnapshot) for one in read)
        assert snapshots.built == 1
        assert isinstance(await snapshots.read(log.session_id, top), LogTail)


async def test_the_loop_gets_its_turn_while_a_large_snapshot_is_written(
    settings: Settings,
) -> None:
    async with a_log(settings) as log:
        for _ in range(20):
            await log.put(*(log.start(new_id(), output="x" * 2_000) for _ in range(200)))
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        stored = await log.log.read_stored(log.session_id, None)
        assert isinstance(stored, StoredState)
        beside = asyncio.create_task(others())
        written = await write(stored, Prefix(None))
        beside.cancel()
        assert len(written.frame) > 8_000_000
        assert turns > 5
        assert max(map(len, written.parts())) <= PART_BYTES


def test_a_large_session_is_read_whole_over_http(shared_stack: Stack) -> None:
    gateway: Gateway = shared_stack.gateway()
    session = gateway.create_session()
    texts = [str(number) * 600_000 for number in range(10)]
    for text in texts:
        gateway.send(session, text)
    response = gateway.client.get(f"/v1/sessions/{session}")
    assert int(response.headers["content-length"]) == len(response.content) > PART_BYTES
    assert response.headers["content-type"] == "application/json"
    assert [step["output"] for step in response.json()["steps"]] == texts
    with reading(gateway.client, f"/v1/sessions/{session}/events") as stream:
        assert next(stream).data == response.json()


def test_a_client_that_has_the_newest_state_is_sent_none(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    path = f"/v1/sessions/{session}"
    first = gateway.client.get(path)
    etag = first.headers["etag"]
    assert etag == f'W/"{first.json()["cursor"]}"'
    for tag in (etag, etag.removeprefix("W/"), f'"x", {etag}'):
        response = gateway.client.get(path, headers={"If-None-Match": tag})
        assert (response.status_code, response.content) == (304, b""), tag
        assert response.headers["etag"] == etag
        assert response.headers["cache-control"] == "private, no-cache"
    gateway.send(session, "news")
    changed = gateway.client.get(path, headers={"If-None-Match": etag})
    assert (changed.status_code, len(changed.json()["steps"])) == (200, 1)
    assert changed.headers["etag"] != etag
    gateway.client.delete(path)
    gone = gateway.client.get(path, headers={"If-None-Match": changed.headers["etag"]})
    assert (gone.status_code, gone.json()["code"]) == (404, "session_not_found")


@pytest.mark.parametrize("odd", [10**400, float("nan"), float("inf"), "1", None, {}])
def test_an_odd_usage_of_one_document_leaves_the_sum_of_the_others(odd: object) -> None:
    sums = UsageSums()
    sums.add(STEP, "odd", {"usage": {"input_tokens": odd, "output_tokens": 1, "cost": odd}})
    sums.add(STEP, "other", {"usage": {"input_tokens": 3, "cost": 0.5}})
    assert sums.total == UsageSum(input_tokens=3, output_tokens=1, cost=0.5)
