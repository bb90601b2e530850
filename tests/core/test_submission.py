"""A message and the run that answers it: stored and queued, in one step where that is possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from event_log import client_of
from stepwire_core.errors import SessionNotFound
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.log.submit import is_one_step, submit
from stepwire_core.queue.run_queue import RunQueue, open_queue, queue_keys
from stepwire_core.settings import Settings
from stepwire_core.values.ids import message_producer, new_id
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.user_messages import message_events, user_message
from topologies import TOPOLOGIES, Topologies, on_each

pytestmark = pytest.mark.anyio


class Desk:
    """Where a message is handed in."""

    def __init__(self, log: EventLog, queue: RunQueue, session_id: str) -> None:
        self.log, self.queue, self.session_id = log, queue, session_id

    async def hand_in(self, run_id: str, content: str = "go") -> int:
        message = user_message(self.session_id, f"m-{run_id}", content, run_id=run_id)
        producer = message_producer(message.id)
        batch = Batch(self.session_id, message_events(message), producer, run_id=run_id)
        request = RunRequest(session_id=self.session_id, run_id=run_id, handler="on_message")
        return (await submit(self.log, self.queue, batch, request)).stored

    async def queued(self) -> list[str]:
        runs: list[bytes] = await client_of(self.queue.store).zrange(self.queue.keys[0], 0, -1)
        return [run.decode() for run in runs]


@pytest.fixture(params=on_each("two", *TOPOLOGIES))
async def desk(
    request: pytest.FixtureRequest, topologies: Topologies, settings: Settings, session_id: str
) -> AsyncIterator[Desk]:
    """Log and queue on one server of each kind; a cluster holds the log only."""
    is_one = request.param not in ("two", "cluster")
    url = topologies.url("standalone" if request.param == "two" else request.param)
    # Another database of it, if it is the same server.
    other = None if is_one else topologies.url("standalone").removesuffix("/0") + "/1"
    settings = settings.model_copy(update={"redis_url": url, "queue_url": other})
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(open_log(settings))
        queue = await stack.enter_async_context(open_queue(settings))
        assert is_one_step(log, queue) is is_one
        await log.create(session_id, new_id())
        yield Desk(log, queue, session_id)


async def test_it_is_stored_queued_and_a_worker_woken(desk: Desk) -> None:
    assert await desk.hand_in("run") == 2
    assert [step.output for step in (await desk.log.snapshot(desk.session_id)).steps] == ["go"]
    assert await desk.queued() == ["run"]
    wake = queue_keys(desk.queue.keys[0])[1]
    assert await client_of(desk.queue.store).lrange(wake, 0, -1) == [b"run"]  # type: ignore[misc]
    taken = await desk.queue.take("run", 10)
    assert taken is not None
    assert (taken.session_id, taken.run_id) == (desk.session_id, "run")


async def test_what_was_stored_before_queues_nothing(desk: Desk) -> None:
    """Its run may be over; or it says something else, which only the caller can find out."""
    await desk.hand_in("run")
    await desk.queue.take("run", 10)
    await desk.queue.finish("run")
    assert await desk.hand_in("run", "something else") == 0
    assert await desk.queued() == []


async def test_what_is_refused_queues_nothing(desk: Desk) -> None:
    desk.session_id = new_id()
    with pytest.raises(SessionNotFound):
        await desk.hand_in("run")
    assert await desk.queued() == []


@pytest.mark.parametrize("desk", ["standalone", "two"], indirect=True)
async def test_on_one_server_it_is_one_call(desk: Desk) -> None:
    await desk.hand_in("first")
    await client_of(desk.queue.store).config_resetstat()
    await desk.hand_in("second")
    stats = await client_of(desk.queue.store).info("commandstats")
    calls = sum(
        stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in ("fcall", "evalsha")
    )
    assert calls == (1 if is_one_step(desk.log, desk.queue) else 2)
