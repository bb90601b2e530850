"""From the POST of a message to the first line of its handler, beside stock arq.

Server, worker, gateway and this load generator are separate processes; the handler writes down the
system-wide monotonic clock. The peer is enqueued straight from here: it is spared the HTTP request.
"""

from __future__ import annotations

import asyncio
import os
import statistics
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

from rounds import Row, table
from stepwire_cli import processes
from stepwire_cli.embedded import embedded_server, free_port

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


def stepwire_rounds(rounds: int, calls: int) -> list[list[float]]:
    """Milliseconds of every call, round by round."""
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server:
        app = Path(folder, "app.py")
        app.write_text(HANDLER)
        env = os.environ | {"STEPWIRE_REDIS_URL": server.url}
        port = free_port()
        log = Path(folder, "log")
        children = [
            processes.worker(app, env, log=log),
            processes.gateway(env, port=port, log=log),
        ]
        for child in children:
            child.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                _until(lambda: _answers(client))
                _post(client)  # the worker is there, too, once it has answered
                return [[_post(client) for _ in range(calls)] for _ in range(rounds)]
        finally:
            for child in children:
                child.stop()


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
    # Not asked at once: reading the session would take the processor from those who are measured.
    time.sleep(0.03)
    answers: list[str] = []

    def answered() -> bool:
        steps = client.get(f"/v1/sessions/{session}").json()["steps"]
        answers[:] = [step["output"] for step in steps if step["type"] == "assistant_message"]
        return bool(answers)

    _until(answered)
    return (int(answers[0]) - before) / 1e6


def stock_rounds(rounds: int, calls: int, poll_s: float) -> list[list[float]]:
    """The same for an arq worker without us."""
    with embedded_server() as server:
        env = os.environ | {"PEER_URL": server.url, "PEER_POLL_S": str(poll_s)}
        with _process([sys.executable, "-c", STOCK], env):
            return asyncio.run(_enqueue(server.url, rounds, calls))


async def _enqueue(url: str, rounds: int, calls: int) -> list[list[float]]:
    redis = await create_pool(RedisSettings.from_dsn(url))
    try:
        result: list[list[float]] = []
        for _ in range(rounds):
            took = []
            for call in range(calls):
                # Spread over the poll interval, as real requests are.
                await asyncio.sleep(0.02 + 0.5 * call / calls)
                before = time.monotonic_ns()
                job = await redis.enqueue_job("started")
                if job is None:
                    raise RuntimeError("arq did not take the job")
                took.append((await job.result(timeout=10, poll_delay=0.01) - before) / 1e6)
            result.append(took)
        return result
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


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def _until(true: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def measure(*, short: bool = False) -> list[Row]:
    rounds, calls = (1, 5) if short else (5, 40)
    ours = stepwire_rounds(rounds, calls)
    rows = []
    for poll_s, p50_goal in ((0.5, "<= 0.05"), (0.01, "<= 0.5")):
        theirs = stock_rounds(rounds, max(4, calls // 4), poll_s)
        for name, percent in (("p50", 50), ("p99", 99)):
            rows.append(
                Row(
                    f"POST to handler start, {name}",
                    "ms",
                    [_percentile(took, percent) for took in ours],
                    f"stock arq, poll {poll_s:g} s, enqueue to start",
                    [_percentile(took, percent) for took in theirs],
                    p50_goal,
                )
            )
    return rows


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
