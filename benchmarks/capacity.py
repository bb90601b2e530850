"""What one of each thing costs, and whether the sum of them is what a mixed load takes.

    python benchmarks/capacity.py
    python benchmarks/capacity.py --out costs.json      # for capacity_model.py

Each cost is measured by itself: streams that are idle, streams that are opened, runs that do next
to nothing, runs that stream, at several paces: the busier a process is, the more events share one
of its wake-ups. Then comes a load of all of it, in other amounts and at two other paces, and what
the costs say of it, with as many wake-ups as there were, stands beside what it takes. A gateway,
the workers, the Redis of the log and that of the queue are processes of their own; handlers run as
jobs, messages come over HTTP. What is compared is processor time and memory by the kernel's
accounting.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, cast

import httpx
from redis import Redis

from accounting import cpu_s, many_files, resident_bytes, wake_ups
from capacity_model import Costs
from clients import Clients, Stream
from gateway_process import gateway_running, new_sessions
from rounds import Row, table
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server
from under_load import READY, pid_of
from worker_processes import ready

WORKERS: Final = 2
_PARTS: Final = ("gateway", "log", "queue", "worker")
_HEADERS_BYTES: Final = 66
"""What Ethernet, IP and TCP put before each segment: 14, 20 and 32, the last with time stamps."""

HANDLERS: Final = """
import asyncio, time
import stepwire as cl

@cl.task
async def brief():
    async with cl.Step("brief"):
        pass

@cl.task
async def talk(tokens, per_s):
    async with cl.Step("answer", type="llm") as step:
        due = time.monotonic()
        for _ in range(tokens):
            await step.stream_token(f"at {time.monotonic_ns()} ")
            due += 1 / per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each; the mixed load takes other amounts than those that costs are taken from."""

    window_s: float = 8.0
    idle: int = 2_000
    opens_per_s: float = 20.0
    runs_per_s: float = 20.0
    talking: int = 150
    paces: tuple[float, ...] = (2.0, 6.0, 15.0, 30.0)
    """Events a second, of each session that talks."""
    rounds: int = 3
    mixed_talking: int = 60
    mixed_paces: tuple[float, ...] = (6.0, 36.0)
    mixed_runs_per_s: float = 8.0
    mixed_opens_per_s: float = 30.0
    mixed_idle: int = 3_000


SHORT: Final = Sizes(
    window_s=0.6, idle=20, runs_per_s=10, talking=4, rounds=1, mixed_talking=3, paces=(5.0, 20.0),
    mixed_runs_per_s=4, mixed_opens_per_s=5, mixed_idle=30,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Used:
    """What has been used by a point in time."""

    at: float
    cpu_s: Mapping[str, float]
    wake_ups: Mapping[str, int]
    delivered: int
    gateway_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class _Window:
    """What was used between two points in time."""

    seconds: float
    cpu_s: Mapping[str, float]
    wake_ups: Mapping[str, int]
    delivered: int
    done: int
    """How often the thing that the window is about was done."""

    def cores(self, part: str) -> float:
        return self.cpu_s[part] / self.seconds

    def wake_ups_per_s(self, part: str) -> float:
        return self.wake_ups[part] / self.seconds


class _Place:
    """All processes, and the means to use them."""

    def __init__(self, stack: ExitStack) -> None:
        log, queue = (stack.enter_context(embedded_server()) for _ in range(2))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        app = folder / "app.py"
        app.write_text(HANDLERS)
        env = os.environ | {
            "STEPWIRE_REDIS_URL": log.url,
            "STEPWIRE_QUEUE_URL": queue.url,
            "STEPWIRE_MAX_JOBS": "1000",
            # All clients come from one address, and at once.
            "STEPWIRE_MAX_READS_PER_MINUTE": "10000000",
            "STEPWIRE_MAX_MESSAGES_PER_MINUTE": "10000000",
            "STEPWIRE_MAX_STREAMS": "100000",
        }
        gateway = stack.enter_context(gateway_running(env, folder / "gateway.log"))
        workers = [
            child_processes.worker(app, env, log=folder / f"worker{number}.log")
            for number in range(WORKERS)
        ]
        for worker in workers:
            stack.callback(worker.stop)
            worker.start()
        for worker in workers:
            ready(worker)
        self.port = gateway.port
        self._url = log.url
        self._redis = stack.enter_context(Redis(port=log.port))
        self._clients = stack.enter_context(closing(Clients()))
        self._pids = {
            "gateway": [gateway.pid],
            "log": [pid_of(log)],
            "queue": [pid_of(queue)],
            "worker": [worker.process.pid for worker in workers if worker.process is not None],
        }

    async def quiet(self, pause_s: float) -> None:
        """Return when nothing has come to the clients for so long: all runs are over."""
        async with asyncio.timeout(120):
            before = -1
            while before != self._clients.received.value:
                before = self._clients.received.value
                await asyncio.sleep(pause_s)

    async def sessions(self, count: int) -> list[str]:
        return await new_sessions(self._url, count)

    async def watch(self, session_ids: Sequence[str]) -> None:
        """A client on each of these, until the end."""
        streams = [Stream.of(self.port, _events(sid), READY) for sid in session_ids]
        await asyncio.to_thread(self._clients.open, streams)

    def used(self) -> _Used:
        info = cast("Mapping[str, int]", self._redis.info("memory"))
        return _Used(
            at=time.perf_counter(),
            cpu_s={part: cpu_s(self._pids[part]) for part in _PARTS},
            wake_ups={part: wake_ups(self._pids[part]) for part in _PARTS},
            delivered=self._clients.received.value,
            gateway_bytes=sum(map(resident_bytes, self._pids["gateway"])),
            log_bytes=info["used_memory"],
        )

    def since(self, before: _Used, done: int = 0) -> _Window:
        after = self.used()
        return _Window(
            after.at - before.at,
            {part: after.cpu_s[part] - before.cpu_s[part] for part in _PARTS},
            {part: after.wake_ups[part] - before.wake_ups[part] for part in _PARTS},
            after.delivered - before.delivered,
            done,
        )


def _events(session_id: str) -> str:
    return f"/v1/sessions/{session_id}/events"


async def _opened(port: int, session_id: str) -> None:
    """A stream is opened, comes to its session, and is left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {_events(session_id)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(READY)
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def _pool(port: int) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits) as client:
        yield client


async def _start(client: httpx.AsyncClient, session_id: str, task: str, **args: float) -> None:
    body = {"task": task, "args": args}
    answer = await client.post(f"/v1/sessions/{session_id}/runs", json=body)
    answer.raise_for_status()


async def _paced(
    per_s: float, seconds: float, once: Callable[[int], Coroutine[None, None, None]]
) -> int:
    """Do it so often a second, whether or not what was done before has ended; how often it was."""
    started = time.perf_counter()
    count = max(1, round(per_s * seconds))
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number / per_s - time.perf_counter()))
            group.create_task(once(number))
        await asyncio.sleep(max(0.0, started + seconds - time.perf_counter()))
    return count


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round has measured."""

    costs: Costs
    mixed: Sequence[tuple[_Window, Mapping[str, float]]]
    """The processor time that was used under loads of everything, and that the costs predict."""
    further_stream_bytes: float
    """Memory of a stream among those that were opened for the mixed load."""


async def _measured(place: _Place, sizes: Sizes) -> _Round:
    window_s = sizes.window_s
    busy = await place.sessions(max(sizes.talking, sizes.mixed_talking))
    await place.watch(busy)
    async with _pool(place.port) as client:
        # What is loaded late, and every session's first run.
        for session_id in busy:
            await _start(client, session_id, "brief")
        await asyncio.sleep(min(2.0, 2 * window_s))

        before = place.used()
        await asyncio.sleep(window_s)
        base = place.since(before)

        opened = await place.sessions(sizes.idle)
        before = place.used()
        await place.watch(opened)
        stream_bytes = (place.used().gateway_bytes - before.gateway_bytes) / len(opened)
        before = place.used()
        await asyncio.sleep(window_s)
        idling = place.since(before, len(opened))

        # One by one, as browsers come: many at once share round trips, and cost half of it.
        before = place.used()
        opens = await _paced(
            sizes.opens_per_s, window_s, lambda n: _opened(place.port, opened[n % len(opened)])
        )
        opening = place.since(before, opens)

        before = place.used()
        runs = await _paced(
            sizes.runs_per_s, window_s, lambda n: _start(client, busy[n % len(busy)], "brief")
        )
        running = place.since(before, runs)

        events = []
        for pace in sizes.paces:
            await _talk(client, busy[: sizes.talking], window_s, pace)
            before = place.used()
            await asyncio.sleep(window_s)
            events.append(place.since(before))
            await place.quiet(min(2.0, window_s))
        session_bytes = await _session_bytes(place, client)
        event_bytes = await _event_bytes(place, client)
        alone = _Alone(base, idling, opening, running, events)
        costs = replace(
            alone.costs(),
            stream_bytes=stream_bytes,
            session_bytes=session_bytes,
            event_bytes=event_bytes,
        )

        more = await place.sessions(sizes.mixed_idle)
        before_streams = place.used()
        await place.watch(more)
        more_bytes = (place.used().gateway_bytes - before_streams.gateway_bytes) / len(more)
        others = busy[sizes.mixed_talking :] or busy
        mixed = []
        for pace in sizes.mixed_paces:
            await _talk(client, busy[: sizes.mixed_talking], window_s, pace)
            before = place.used()
            runs, opens = await asyncio.gather(
                _paced(
                    sizes.mixed_runs_per_s,
                    window_s,
                    lambda n: _start(client, others[n % len(others)], "brief"),
                ),
                _paced(
                    sizes.mixed_opens_per_s,
                    window_s,
                    lambda n: _opened(place.port, opened[n % len(opened)]),
                ),
            )
            window = place.since(before)
            streams = len(busy) + len(opened) + len(more)
            did = {"open": opens / window.seconds, "run": runs / window.seconds, "idle": streams}
            mixed.append((window, alone.said(window, did)))
            await place.quiet(min(2.0, window_s))
    return _Round(costs, mixed, more_bytes)


async def _talk(
    client: httpx.AsyncClient, session_ids: Sequence[str], window_s: float, per_s: float
) -> None:
    """Let these stream for longer than the window; returns when they do."""
    tokens = round((window_s + 2) * per_s)
    for session_id in session_ids:
        await _start(client, session_id, "talk", tokens=tokens, per_s=per_s)
    await asyncio.sleep(min(1.0, window_s / 4))


class _Alone:
    """The cost of each thing by itself: beyond the cost of a process without it."""

    def __init__(
        self,
        base: _Window,
        idling: _Window,
        opening: _Window,
        running: _Window,
        events: Sequence[_Window],
    ) -> None:
        self._base = base
        streams_s = idling.done * idling.seconds
        self._windows = {
            "idle": (idling, base, streams_s),
            "open": (opening, idling, opening.done),
            "run": (running, idling, running.done),
        }
        self._events = {part: self._line(part, events, idling) for part in _PARTS}
        # It is the same program, and no event comes to it.
        self._events["queue"] = (0.0, self._events["log"][1], 0.0)

    @staticmethod
    def _line(part: str, events: Sequence[_Window], below: _Window) -> tuple[float, float, float]:
        """What an event costs beside wake-ups, and a wake-up: a line through what was measured at
        several paces, by least squares. And how many an event causes at the slowest of them."""
        wakes = [
            (window.wake_ups_per_s(part) - below.wake_ups_per_s(part)) * window.seconds
            / window.delivered
            for window in events
        ]  # fmt: skip
        each = [
            (window.cores(part) - below.cores(part)) * window.seconds / window.delivered
            for window in events
        ]
        slope, start = statistics.linear_regression(wakes, each)
        # Never nothing: it stands below a fraction line.
        return max(1e-9, start), max(1e-9, slope), max(wakes)

    def each(self, thing: str, part: str) -> tuple[float, float]:
        """Processor time and wake-ups of one; of an idle stream in a second."""
        window, below, count = self._windows[thing]
        seconds = window.seconds / count
        return (
            max(1e-9, (window.cores(part) - below.cores(part)) * seconds),
            (window.wake_ups_per_s(part) - below.wake_ups_per_s(part)) * seconds,
        )

    def _woken_s(self, part: str) -> float:
        """All wake-ups of an event that finds everything idle, as at the slowest of the paces."""
        _, wake_s, wakes = self._events[part]
        return wake_s * wakes

    def costs(self) -> Costs:
        return Costs(
            event_gateway_s=self._events["gateway"][0],
            event_log_s=self._events["log"][0],
            event_worker_s=self._events["worker"][0],
            wake_gateway_s=self._woken_s("gateway"),
            wake_log_s=self._woken_s("log"),
            wake_worker_s=self._woken_s("worker"),
            run_gateway_s=self.each("run", "gateway")[0],
            run_log_s=self.each("run", "log")[0],
            run_queue_s=self.each("run", "queue")[0],
            run_worker_s=self.each("run", "worker")[0],
            open_gateway_s=self.each("open", "gateway")[0],
            open_log_s=self.each("open", "log")[0],
            idle_gateway_s=self.each("idle", "gateway")[0],
            idle_log_s=self.each("idle", "log")[0],
        )

    def said(self, window: _Window, did_per_s: Mapping[str, float]) -> dict[str, float]:
        """The processor time of each part in a window with all of it, in cores, with as many
        wake-ups as there were."""
        said = {}
        running, _, runs = self._windows["run"]
        # The events of a run beside pieces of text are among its own costs.
        of_runs = did_per_s["run"] * running.delivered / runs
        for part in _PARTS:
            event_s, wake_s, _ = self._events[part]
            counted = window.wake_ups_per_s(part) - self._base.wake_ups_per_s(part)
            total = self._base.cores(part) + counted * wake_s
            total += (window.delivered / window.seconds - of_runs) * event_s
            for thing, per_s in did_per_s.items():
                takes_s, wakes = self.each(thing, part)
                total += per_s * (takes_s - wakes * wake_s)
            said[part] = total
        return said


async def _session_bytes(place: _Place, client: httpx.AsyncClient) -> float:
    """Memory of the log for a session with one run of a hundred pieces, each an event."""
    count = 20
    before = place.used()
    for session_id in await place.sessions(count):
        await _start(client, session_id, "talk", tokens=100, per_s=100)
    await asyncio.sleep(3.0)
    return (place.used().log_bytes - before.log_bytes) / count


async def _event_bytes(place: _Place, client: httpx.AsyncClient) -> float:
    """Bytes on the wire for a piece of text that is sent by itself."""
    [session_id] = await place.sessions(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(f"GET {_events(session_id)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(READY)
    await _start(client, session_id, "talk", tokens=20, per_s=50)
    text = b""
    while b"event: run.end" not in text:
        text += await asyncio.wait_for(reader.read(1 << 16), 20)
    writer.close()
    chunks = [chunk for chunk in text.split(b"\r\n") if b'"text":"at ' in chunk]
    # A chunk has its length before it, and two ends of line.
    return sum(len(chunk) + 8 for chunk in chunks) / len(chunks) + _HEADERS_BYTES


def median_costs(measured: Sequence[Costs]) -> Costs:
    """The middle of each over the rounds."""
    every = [asdict(costs) for costs in measured]
    return Costs(**{name: statistics.median(costs[name] for costs in every) for name in every[0]})


def measured(sizes: Sizes) -> tuple[Costs, list[Row]]:
    """The costs, and the rows with the model beside the mixed load."""
    many_files()
    rounds = []
    for _ in range(sizes.rounds):
        with ExitStack() as stack:
            rounds.append(asyncio.run(_measured(_Place(stack), sizes)))
    costs = median_costs([one.costs for one in rounds])
    rows = [_cost_row(name, [getattr(one.costs, name) for one in rounds]) for name in asdict(costs)]
    for number, pace in enumerate(sizes.mixed_paces):
        what = f"a mixed load, {sizes.mixed_talking * pace:g} events/s"
        for part in _PARTS:
            took = [one.mixed[number][0].cores(part) for one in rounds]
            said = [one.mixed[number][1][part] for one in rounds]
            rows += _beside(f"{what}: processor time, {part}", "cores", took, said)
    streams = [(one.further_stream_bytes / 1024, one.costs.stream_bytes / 1024) for one in rounds]
    rows += _beside(
        "a mixed load: memory of a stream", "KiB", *map(list, zip(*streams, strict=True))
    )
    return costs, rows


def _cost_row(name: str, values: Sequence[float]) -> Row:
    if name.endswith("_bytes"):
        return Row(f"cost: {name}", "bytes", values, "", [], "")
    return Row(
        f"cost: {name.removesuffix('_s')}", "µs", [value * 1e6 for value in values], "", [], ""
    )


def _beside(what: str, unit: str, took: Sequence[float], said: Sequence[float]) -> list[Row]:
    off = [abs(ours / theirs - 1) * 100 for ours, theirs in zip(took, said, strict=True)]
    return [
        Row(what, unit, took, "as the model says", said, ""),
        Row(f"{what}: the model is off", "%", off, "", [], "<= 20 %"),
    ]


def measure(*, short: bool = False) -> list[Row]:
    return measured(SHORT if short else Sizes())[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="What one of each thing costs.")
    parser.add_argument("--short", action="store_true", help="see that it works, measure nothing")
    parser.add_argument("--out", type=Path, help="a file for the costs, as JSON")
    arguments = parser.parse_args()
    costs, rows = measured(SHORT if arguments.short else Sizes())
    print(table(rows))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(asdict(costs), indent=2) + "\n")


if __name__ == "__main__":
    main()
