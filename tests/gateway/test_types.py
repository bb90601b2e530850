"""``?types=``: a stream of some events, whose cursor stays true."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest

from documents import a_run, a_step
from event_log import Writer
from sse import Client, Received, events
from stack import Gateway, Stack, wait_until
from stepwire_core.log.event_log import EventLog, open_log
from stepwire_core.settings import Settings
from stepwire_core.values.cursor import Cursor
from stepwire_core.values.ids import new_id
from stepwire_core.wire.events import delta_event, run_end_event, run_start_event, step_event
from stepwire_core.wire.kinds import EVENT_TYPES

pytestmark = pytest.mark.anyio

LIMIT_S = 30


class RunWriter(Writer):
    """Writes a run of one step into a session."""

    def __init__(self, log: EventLog, session_id: str) -> None:
        super().__init__(log, session_id, run_id="run", attempt=1)
        self.path = f"/v1/sessions/{session_id}/events"
        self.run_path = f"/v1/sessions/{session_id}/runs/run/events"

    async def begin(self) -> None:
        await self.log.create(self.session_id, "run")
        step = a_step(self.session_id, run_id="run", attempt=1, type="llm")
        await self.put(run_start_event(a_run()), step_event("step.start", step))

    async def stream(self, count: int) -> Cursor:
        for _ in range(count - 1):
            await self.put(delta_event("step", "x"))
        return (await self.put(delta_event("step", "x"))).top

    async def end(self) -> Cursor:
        return (await self.put(run_end_event(a_run(status="ok")))).top


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    return shared_stack.gateway(STEPWIRE_LOG_MAX_EVENTS="100")


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=LIMIT_S) as client:
        yield client


@pytest.fixture
async def writer(gateway: Gateway, settings: Settings) -> AsyncIterator[RunWriter]:
    async with open_log(settings) as log:
        writer = RunWriter(log, new_id())
        await writer.begin()
        yield writer


async def read(
    http: httpx.AsyncClient, path: str, until: str | None = None, after: Cursor | None = None
) -> list[Received]:
    """Events up to one of that type, or to the end of the stream."""
    async with asyncio.timeout(LIMIT_S):
        return await Client(after).read(http, path, lambda event: event.type == until)


async def test_a_stream_of_some_types_has_those_with_their_own_ids(
    http: httpx.AsyncClient, writer: RunWriter
) -> None:
    first = Cursor((await writer.stream(5)).epoch, 1)
    await writer.end()
    everything = await read(http, writer.path, "run.end", first)
    some = await read(http, f"{writer.path}?types=run.end,step.start", "run.end", first)
    assert [event.type for event in some] == ["step.start", "run.end"]
    wanted = [event.raw for event in everything if event.type in ("step.start", "run.end")]
    assert [event.raw for event in some] == wanted


async def test_a_snapshot_passes_every_filter(http: httpx.AsyncClient, writer: RunWriter) -> None:
    [snapshot] = await read(http, f"{writer.path}?types=run.end", "snapshot")
    assert snapshot.data["steps"]


@pytest.mark.parametrize("types", [*EVENT_TYPES, "step.start,step.start", ",".join(EVENT_TYPES)])
async def test_every_type_can_be_asked_for(
    http: httpx.AsyncClient, writer: RunWriter, types: str
) -> None:
    await read(http, f"{writer.path}?types={types}", "snapshot")


@pytest.mark.parametrize(
    "types",
    ["", ",", "step", "step.*", "Step.Start", "step.start,", "step.start, step.end", "x" * 5000],
)
@pytest.mark.parametrize("of_run", [False, True])
async def test_an_unknown_type_is_refused_with_the_list_of_those_there_are(
    http: httpx.AsyncClient, writer: RunWriter, types: str, of_run: bool
) -> None:
    path = writer.run_path if of_run else writer.path
    response = await http.get(path, params={"types": types})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    for name in EVENT_TYPES:
        assert name in response.json()["detail"]


async def test_the_stream_of_a_run_ends_with_its_end_whatever_was_asked_for(
    http: httpx.AsyncClient, writer: RunWriter
) -> None:
    """Without it, a client would come back for ever: the 204 is for one that has seen the end."""
    first = Cursor((await writer.stream(5)).epoch, 1)
    end = await writer.end()
    path = f"{writer.run_path}?types=step.start"
    received = await read(http, path, after=first)
    assert [event.type for event in received] == ["step.start", "run.end"]
    assert received[-1].cursor == end
    again = await http.get(path, headers={"Last-Event-ID": str(end)})
    assert again.status_code == 204


async def marks(
    http: httpx.AsyncClient, path: str, until: Cursor | None
) -> tuple[list[Cursor], str]:
    """The frames with nothing but an id, up to one at or behind that cursor, and all text."""
    text = ""
    found: list[Cursor] = []
    async with asyncio.timeout(LIMIT_S), http.stream("GET", path) as response:
        async for piece in response.aiter_text():
            text += piece
            blocks = text.split("\n\n")[:-1]
            found = [
                Cursor.parse(block.removeprefix("id: "))
                for block in blocks
                if block.startswith("id: ") and "\n" not in block
            ]
            if until and found and found[-1] >= until:
                break
    return found, text


@pytest.mark.parametrize("of_run", [False, True])
async def test_events_that_do_not_pass_move_the_cursor_well_before_the_log_is_trimmed(
    gateway: Gateway, http: httpx.AsyncClient, writer: RunWriter, of_run: bool
) -> None:
    path = writer.run_path if of_run else writer.path
    async with asyncio.TaskGroup() as group:
        top = await writer.stream(1)
        target = Cursor(top.epoch, 450)
        before = frames_of(gateway)
        reading = group.create_task(marks(http, f"{path}?types=element.add", target))
        await opened(gateway, before)
        await writer.stream(500)
        found, text = await reading
    assert found == sorted(found)
    assert len(found) >= 4
    assert "step.delta" not in text
    assert len(found) < 40, "not for every event"
    # The log has 100 to 200 events: what comes from there is the rest, not a snapshot.
    await writer.end()
    rest = await read(http, f"{path}?types=run.end", "run.end", found[-1])
    assert [event.type for event in rest] == ["run.end"]


async def test_a_gateway_that_leaves_says_how_far_a_filtered_stream_was(
    stack: Stack, writer: RunWriter
) -> None:
    leaving = stack.gateway()
    async with (
        httpx.AsyncClient(base_url=leaving.url, timeout=LIMIT_S) as http,
        asyncio.TaskGroup() as group,
    ):
        before = frames_of(leaving)
        reading = group.create_task(marks(http, f"{writer.path}?types=element.add", None))
        await opened(leaving, before)
        # The hub hands each event to all its readers at once.
        async with aclosing(events(http, writer.path)) as other:
            await anext(other)
            top = await writer.stream(3)
            while (await anext(other)).cursor < top:
                pass
        leaving.child.signal(signal.SIGTERM)
        found, text = await reading
    assert found == [top]
    assert text.rsplit("\n\n", 3)[-2].startswith("retry: ")


def frames_of(gateway: Gateway) -> str:
    """How many it has handed out."""
    text = gateway.client.get("/metrics").text
    return next(line for line in text.split("\n") if line.startswith("stepwire_gateway_frames_t"))


async def opened(gateway: Gateway, before: str) -> None:
    """Return when a stream has its snapshot."""
    await asyncio.to_thread(wait_until, lambda: frames_of(gateway) != before, "the snapshot")
