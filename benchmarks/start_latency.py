"""From the POST of a message to the first line of its handler, beside stock arq.

Server, worker, gateway and this load generator are separate processes; the handler writes down the
system-wide monotonic clock. The peer is enqueued straight from here: it is spared the HTTP request.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx
from arq.connections import RedisSettings, create_pool

from rounds import Row, percentile, table
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import embedded_server
from worker_processes import gateway_at, ready

WARM_UP = 3

HANDLER = """
import time
import stepwire as cl

@cl.on_message
async def main():
    started = time.monotonic_ns()
    await cl.Message(str(started)).send()
"""

STOCK = """
import os, time
from arq.connections import RedisSettings
from arq.worker import run_worker

async def started(ctx):
    return time.monotonic_ns()

run_worker({
    "functions": [started],
    "redis_settings": RedisSettings.from_dsn(os.environ["PEER_URL"]),
    "poll_delay": float(os.environ["PEER_POLL_S"]),
})
"""


def ours(calls: int) -> list[float]:
    """Milliseconds of every call."""
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server:
        app = Path(folder, "app.py")
        app.write_text(HANDLER)
        env = os.environ | {"STEPWIRE_REDIS_URL": server.url}
        worker = child_processes.worker(app, env, log=Path(folder, "worker.log"))
        worker.start()
        try:
            with gateway_at(env, Path(folder, "gateway.log")) as port:
                ready(worker)
                with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                    took = [_post(client) for _ in range(WARM_UP + calls)]
        finally:
            worker.stop()
    return took[WARM_UP:]


def _post(client: httpx.Client) -> float:
    session = client.post("/v1/sessions").json()["session_id"]
    time.sleep(0.02)  # the session's own run is over: the worker is idle, as it mostly is
    post = HTTPConnection(client.base_url.host, client.base_url.port)
    post.connect()
    body, headers = b'{"content": "go"}', {"Content-Type": "application/json"}
    before = time.monotonic_ns()
    post.request("POST", f"/v1/sessions/{session}/messages", body, headers)
    if post.getresponse().status != httpx.codes.ACCEPTED:
        raise RuntimeError("the gateway did not take the message")
    post.close()
    # Not asked at once: reading the session would take the processor from the measured processes.
    time.sleep(0.03)
    answers: list[str] = []

    def answered() -> bool:
        steps = client.get(f"/v1/sessions/{session}").json()["steps"]
        answers[:] = [step["output"] for step in steps if step["type"] == "assistant_message"]
        return bool(answers)

    _until(answered)
    return (int(answers[0]) - before) / 1e6


def stock(calls: int, poll_s: float) -> list[float]:
    """The same for an arq worker without us."""
    with embedded_server() as server:
        env = os.environ | {"PEER_URL": server.url, "PEER_POLL_S": str(poll_s)}
        with _process([sys.executable, "-c", STOCK], env):
            return asyncio.run(_enqueue(server.url, calls, poll_s))


async def _enqueue(url: str, calls: int, poll_s: float) -> list[float]:
    redis = await create_pool(RedisSettings.from_dsn(url))
    try:
        took = []
        for _ in range(WARM_UP + calls):
            # Anywhere in the poll interval, as real requests are.
            await asyncio.sleep(0.02 + random.uniform(0, max(poll_s, 0.05)))
            before = time.monotonic_ns()
            job = await redis.enqueue_job("started")
            if job is None:
                raise RuntimeError("arq did not take the job")
            took.append((await job.result(timeout=10, poll_delay=0.01) - before) / 1e6)
        return took[WARM_UP:]
    finally:
        await redis.aclose(close_connection_pool=True)


@contextmanager
def _process(command: list[str], env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _until(true: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def measure(*, short: bool = False) -> list[Row]:
    rounds, calls = (1, 5) if short else (7, 40)
    mine: list[list[float]] = []
    theirs: dict[float, list[list[float]]] = {0.5: [], 0.01: []}
    for _ in range(rounds):
        mine.append(ours(calls))
        for poll_s, took in theirs.items():
            # At the default every start waits for half a second at most: fewer show that as well.
            took.append(stock(calls if poll_s < 0.1 else max(5, calls // 2), poll_s))
    return [
        Row(
            f"POST to handler start, {name}",
            "ms",
            [percentile(took, percent) for took in mine],
            f"stock arq, poll {poll_s:g} s, enqueue to start",
            [percentile(took, percent) for took in theirs[poll_s]],
            goal,
        )
        for poll_s, goal in ((0.5, "<= 0.05"), (0.01, "<= 0.5"))
        for name, percent in (("p50", 50), ("p99", 99))
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
