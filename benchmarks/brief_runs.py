"""Runs that do nothing, of one worker, beside the workers of other queues.

All are queued at once, from another process, and the time is taken until the last one is done. Each
worker does ten at a time; all get the same server, by turns. Ours stores the beginning and the end
of each run in its session, and tells clients; the others store a result.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from queue_peers import ARQ, PROGRAMS, Emptied, emptied, missing
from rounds import Row, table
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.settings import Settings
from worker_processes import ready
from workers import drained, pid_of

HANDLERS = """
import stepwire as cl

@cl.task
async def brief():
    pass
"""


def _ours(runs: int) -> Emptied:
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server:
        app = Path(folder, "app.py")
        app.write_text(HANDLERS)
        env = os.environ | {"STEPWIRE_REDIS_URL": server.url}
        worker = child_processes.worker(app, env, log=Path(folder, "log"))
        worker.start()
        try:
            ready(worker)
            settings = Settings(redis_url=server.url)
            pids = [pid_of(worker.process)], pid_of(server.process)
            asyncio.run(drained(settings, pids, 10, "brief", None))
            done = asyncio.run(drained(settings, pids, runs, "brief", None))
        finally:
            worker.stop()
        return Emptied(done.seconds, done.workers_s)


def _theirs(peer: str, runs: int) -> Emptied:
    with embedded_server() as server:
        return emptied(peer, server.url, runs)


def measure(*, short: bool = False) -> list[Row]:
    rounds, runs = (1, 20) if short else (5, 400)
    # A short form shows that it works, with what is there anyway.
    peers = [ARQ] if short else list(PROGRAMS)
    ours: list[Emptied] = []
    theirs: dict[str, list[Emptied]] = {peer: [] for peer in peers if not missing(peer)}
    for _ in range(rounds):
        ours.append(_ours(runs))
        for peer, found in theirs.items():
            found.append(_theirs(peer, runs))
    rows = []
    for peer in peers:
        found = theirs.get(peer, [])
        rows += [
            Row(
                "brief runs, one worker",
                "runs/s",
                [runs / each.seconds for each in ours],
                peer,
                [runs / each.seconds for each in found],
                ">= 1.0",
                missing(peer),
            ),
            Row(
                "brief runs: CPU of the worker",
                "µs/run",
                [each.worker_s / runs * 1e6 for each in ours],
                peer,
                [each.worker_s / runs * 1e6 for each in found],
                "",
                missing(peer),
            ),
        ]
    return rows


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
