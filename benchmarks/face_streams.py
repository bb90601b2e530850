"""A delta through a face beside our own stream, at the same gateway, by turns.

Some sessions with a run each, and one client for each run. Deltas carry the time at which they were
made; what the gateway's process has used is counted until the last client has the last of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from accounting import cpu_s
from gateway_process import gateway_running
from rounds import Row, percentile, table
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.log.event_log import Batch, EventLog, open_log
from stepwire_core.settings import FACES, Settings
from stepwire_core.values.clock import now
from stepwire_core.values.ids import attempt_token, new_id
from stepwire_core.wire.documents import RunDocument, StepDocument
from stepwire_core.wire.events import NewEvent, delta_event, run_start_event, step_event
from stepwire_core.wire.words import ON_MESSAGE

_MADE: Final = re.compile(rb"@([0-9]+)@")

_AGUI: Final[dict[str, Any]] = {"messages": [], "tools": [], "context": [], "forwardedProps": {}}
_CHANNELS: Final = ["values", "checkpoints", "lifecycle", "input", "messages", "tools"]

STREAMS: Final[dict[str, tuple[str, dict[str, Any] | None]]] = {
    "own": ("/v1/sessions/{id}/events", None),
    "aisdk": ("/aisdk/chat/{id}/stream", None),
    "aisdk, approvals": ("/aisdk/chat/{id}/stream?approvals=true", None),
    "aisdk, numbered": ("/aisdk/workflow/{id}/stream", None),
    "agui": ("/agui", _AGUI),
    "copilotkit": ("/copilotkit/agent/default/connect", _AGUI),
    "langgraph": ("/langgraph/threads/{id}/stream/events", {"channels": _CHANNELS}),
}
"""The address of each, and what is sent to it; without a body it is fetched."""


class Answering:
    """A session in which a run streams its answer, and one client of it."""

    def __init__(self, log: EventLog, port: int) -> None:
        self._log = log
        self._port = port
        self.id, self.run_id = new_id(), new_id()
        self.took_ms: list[float] = []
        self._producer, self._written = "", 0

    async def begin(self) -> None:
        await self._log.create(self.id, new_id())
        begun = await self._log.begin_run(self.id, self.run_id, attempt_token())
        self._producer = begun.producer
        ts = now()
        run = RunDocument(
            run_id=self.run_id,
            handler=ON_MESSAGE,
            attempt=1,
            message_id=None,
            status="running",
            started_at=ts,
            ts=ts,
        )
        step = StepDocument(
            id="answer",
            session_id=self.id,
            run_id=self.run_id,
            attempt=1,
            parent_id=None,
            name="answer",
            type="assistant_message",
            status="running",
            started_at=ts,
            ts=ts,
        )
        await self._append(run_start_event(run))
        await self._append(step_event("step.start", step))

    async def token(self) -> None:
        await self._append(delta_event("answer", f"token @{time.monotonic_ns()}@ "))

    async def _append(self, event: NewEvent) -> None:
        batch = Batch(
            self.id,
            [event],
            producer=self._producer,
            first=self._written + 1,
            run_id=self.run_id,
            attempt=1,
        )
        self._written += 1
        await self._log.append(batch)

    async def read(self, name: str, tokens: int, opened: asyncio.Event) -> None:
        """Read a stream until so many new tokens have come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        path, sent = STREAMS[name]
        body = json.dumps({"threadId": self.id, "runId": new_id()} | sent).encode() if sent else b""
        head = [f"{'POST' if sent else 'GET'} {path.format(id=self.id)} HTTP/1.1"]
        head += [f"Host: 127.0.0.1:{self._port}", "Content-Type: application/json"]
        head += [f"Content-Length: {len(body)}", "", ""]
        writer.write("\r\n".join(head).encode() + body)
        await reader.readuntil(b"answer")
        begun, rest, seen = time.monotonic_ns(), b"", 0
        opened.set()
        while seen < tokens:
            rest += await reader.read(1 << 16)
            frames, _, rest = rest.rpartition(b"\n\n")
            for made in map(int, _MADE.findall(frames)):
                if made >= begun:
                    self.took_ms.append((time.monotonic_ns() - made) / 1e6)
                    seen += 1
        writer.close()


async def _round(pid: int, name: str, sessions: list[Answering], tokens: int) -> float:
    """Processor time of the gateway for each token that reached its client, in µs."""
    opened = [asyncio.Event() for _ in sessions]
    async with asyncio.TaskGroup() as readers:
        for session, event in zip(sessions, opened, strict=True):
            session.took_ms = []
            readers.create_task(session.read(name, tokens, event))
        for event in opened:
            await event.wait()
        before = cpu_s([pid])
        for _ in range(tokens):
            await asyncio.gather(*(session.token() for session in sessions))
            await asyncio.sleep(0.01)
    return 1e6 * (cpu_s([pid]) - before) / (tokens * len(sessions))


async def _measure(*, short: bool) -> dict[str, tuple[list[float], list[float]]]:
    """For each stream the processor times, and the medians of the latencies, of all rounds."""
    rounds, count, tokens = (1, 3, 5) if short else (5, 50, 60)
    figures: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in STREAMS}
    with embedded_server() as server, tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"STEPWIRE_REDIS_URL": server.url, "STEPWIRE_FACES": ",".join(FACES)}
        with gateway_running(env, Path(folder, "log")) as gateway:
            async with open_log(Settings(redis_url=server.url)) as log:
                for _ in range(rounds):
                    # Each round its own sessions: the text of the answers is what all begin with.
                    sessions = [Answering(log, gateway.port) for _ in range(count)]
                    for session in sessions:
                        await session.begin()
                    for name in STREAMS:
                        used = await _round(gateway.pid, name, sessions, tokens)
                        took = [ms for session in sessions for ms in session.took_ms]
                        figures[name][0].append(used)
                        figures[name][1].append(percentile(took, 50))
    return figures


def measure(*, short: bool = False) -> list[Row]:
    figures = asyncio.run(_measure(short=short))
    own_cpu, own_ms = figures.pop("own")
    rows = []
    for name, (cpu, ms) in figures.items():
        rows.append(Row(f"{name}: CPU of the gateway", "µs/delta", cpu, "own", own_cpu, ""))
        rows.append(Row(f"{name}: to the client, p50", "ms", ms, "own stream", own_ms, ""))
    return rows


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
