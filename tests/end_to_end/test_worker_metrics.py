"""The metrics of a worker and of the queue are true."""

from __future__ import annotations

import re
import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from promql import OTHERS_LABELS, labels_of, metrics_of, queries
from stack import Stack, wait_until
from stepwire._worker.metrics_server import METRICS
from stepwire_cli.dev.child_processes import Child
from stepwire_core.queue.overview import QueueOverview, read_overview
from stepwire_core.queue.run_queue import open_queue
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest
from stepwire_gateway.metrics import declared

APP = """
import asyncio
import stepwire as cl

@cl.task
async def good():
    async with cl.Step("work"):
        pass

@cl.task(max_attempts=2, retry_on=RuntimeError, backoff_s=0.01)
async def bad():
    raise RuntimeError("why")

@cl.task
async def waits():
    await asyncio.Event().wait()
"""


def numbers(text: str) -> dict[str, float]:
    """Every sample by its name without what all of them begin with, and its labels."""
    return {
        " ".join(
            [re.sub("^stepwire_(worker|gateway)_", "", sample.name), *sample.labels.values()]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def port_of(worker: Child) -> int:
    served = re.search(r"metrics are served port=(\d+)", worker.output)
    assert served is not None
    return int(served[1])


def test_a_worker_tells_its_runs_their_times_and_its_slots(stack: Stack) -> None:
    gateway = stack.gateway()
    worker = stack.worker(APP, STEPWIRE_METRICS_PORT="0", STEPWIRE_MAX_JOBS="3")
    session = gateway.create_session()
    url = f"http://127.0.0.1:{port_of(worker)}/metrics"
    for task in ("good", "good", "bad", "nowhere"):
        gateway.wait_for_end(session, gateway.start(session, task))
    under_way = gateway.start(session, "waits")
    with httpx.Client() as http:
        wait_until(lambda: numbers(http.get(url).text)["leases"] == 1, "it runs")
        text = http.get(url).text
        told = numbers(text)
        assert told["attempts_total good ok"] == 2
        assert told["attempts_total bad error"] == 2
        assert told["failed_runs_total bad"] == 1
        assert told["failed_runs_total other"] == 1
        assert told["run_seconds_count good"] == 2
        assert told["run_seconds_bucket good +Inf"] == 2
        assert told["wait_seconds_count good"] == 2
        assert told["wait_seconds_count bad"] == 1
        assert 0 <= told["wait_seconds_sum good"] < 60
        assert (told["slots"], told["slots_taken"]) == (3, 1)
        assert told["events_stored_total"] > 8
        assert told["buffer_limit_bytes"] == 8 * 1024 * 1024
        assert told["blocked"] == told["stopping"] == told["left_behind"] == 0
        assert told["process_resident_memory_bytes"] > 0
        assert session not in text
        assert under_way not in text
        scrape = f"{gateway.url}/metrics"
        # Workers tell how many slots are taken once a second.
        taken = "worker_slots_taken"
        wait_until(lambda: numbers(http.get(scrape).text)[taken] == 1, "it is told")
        queue = numbers(http.get(scrape).text)
    assert queue["queue_answers"] == 1
    assert (queue["queue_runs running"], queue["queue_runs waiting"]) == (1, 0)
    assert queue["workers ready"] == 1
    assert (queue["worker_slots"], queue["worker_slots_taken"]) == (3, 1)
    assert queue["queue_slots_wanted"] == 1


def test_dashboard_alerts_and_autoscalers_ask_for_what_is_there(stack: Stack) -> None:
    gateway = stack.gateway()
    worker = stack.worker(APP, STEPWIRE_METRICS_PORT="0")
    served = {}
    for url in (f"{gateway.url}/metrics", f"http://127.0.0.1:{port_of(worker)}/metrics"):
        for family in text_string_to_metric_families(httpx.get(url).text):
            # Also what has counted nothing yet is there, without a sample.
            served[family.name] = family.type
    names = {
        name + suffix
        for name, type_ in served.items()
        for suffix in {"counter": ["_total"], "histogram": ["_bucket"]}.get(type_, [""])
    }
    labels = {label for of_gateway in declared() for label in of_gateway.labels}
    labels |= {label for of_worker in METRICS for label in of_worker.labels}
    for title, query in queries():
        assert metrics_of(query), title
        assert metrics_of(query) <= names, title
        assert labels_of(query) <= labels | OTHERS_LABELS, title
    shown = {name for panel, query in queries() for name in metrics_of(query)}
    # A number of a worker that no panel shows would be seen by no one.
    own = {name for name in names if name.startswith("stepwire_worker_")}
    assert own <= shown


def test_a_port_that_is_taken_is_one_line(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(AssertionError, match="STEPWIRE_METRICS_PORT"):
            stack.worker(APP, STEPWIRE_METRICS_PORT=port)


@pytest.mark.anyio
async def test_what_waits_is_counted_by_why_it_does_and_how_long(settings: Settings) -> None:
    async with open_queue(settings) as queue:

        async def read() -> QueueOverview:
            return await read_overview(queue.store, settings)

        def request(priority: int = 0) -> RunRequest:
            return RunRequest(session_id="s", run_id=new_id(), handler="t", priority=priority)

        empty = await read()
        assert (empty.queued, empty.running, empty.longest_wait_s, empty.slots_wanted) == (
            0,
            0,
            None,
            0,
        )
        first = request(9)
        for asked, defer_s in ((first, 0.0), (request(), 0.0), (request(), 3600.0)):
            await queue.enqueue(asked, defer_s=defer_s)
        told = await read()
        assert (told.queued, told.deferred, told.slots_wanted) == (2, 1, 2)
        # A level of priority counts as an hour in the score, but not in the reported wait.
        assert 0 <= (told.longest_wait_s or 0) < 60
        assert await queue.take(first.run_id, 60) is not None
        told = await read()
        assert (told.queued, told.running, told.deferred) == (1, 1, 1)


@pytest.mark.anyio
async def test_without_the_queue_there_are_no_numbers_of_it_instead_of_old_ones(
    settings: Settings,
) -> None:
    from stepwire_gateway import create_app, running

    away = settings.model_copy(update={"queue_url": "redis://127.0.0.1:1/0"})
    app = create_app(away)
    async with running(app):
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            response = await http.get("/metrics")
    assert response.status_code == 200
    told = numbers(response.text)
    assert told["queue_answers"] == 0
    assert "queue_slots_wanted" not in told
    assert told["streams"] == 0
