"""Runs and workers over HTTP: ``GET /v1/runs`` and ``GET /v1/workers``, and the commands that ask
a gateway for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from stack import Gateway, Stack
from stepwire.client import Client, NotFound
from stepwire_cli.main import main
from stepwire_core.queue.dead_letters import DeadLetter, DeadLetters
from stepwire_core.queue.run_queue import JobKeys
from stepwire_core.queue.worker_registry import worker_key, workers_key
from stepwire_core.redis.standalone import open_store
from stepwire_core.settings import Settings
from stepwire_core.values.clock import now
from stepwire_core.values.ids import new_id
from stepwire_core.wire.documents import ErrorInfo
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.worker_document import RunningRun, WorkerDocument


@pytest.fixture
def gateway(stack: Stack) -> Iterator[Gateway]:
    yield stack.shared_gateway()
    for key in stack.redis.scan_iter(f"{stack.queue}*", count=1000):
        stack.redis.delete(key)


def start(gateway: Gateway, session: str, task: str, **fields: object) -> str:
    path = f"/v1/sessions/{session}/runs"
    response = gateway.client.post(path, json={"task": task, **fields})
    assert response.status_code == 202, response.text
    run_id: str = response.json()["run_id"]
    return run_id


def listed(gateway: Gateway, **query: object) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(100):
        response = gateway.client.get("/v1/runs", params=query | cursor)  # type: ignore[arg-type]
        assert response.status_code == 200, response.text
        found += response.json()["runs"]
        if response.json()["next"] is None:
            return found
        cursor = {"cursor": response.json()["next"]}
    raise AssertionError("the pages have no end")


def ids(runs: list[dict[str, Any]]) -> list[str]:
    return [run["run_id"] for run in runs]


def without_start(gateway: Gateway, **query: object) -> list[dict[str, Any]]:
    return [run for run in listed(gateway, **query) if run["handler"] != "on_chat_start"]


def a_worker(redis: Redis, queue: str, *runs: tuple[str, str, str]) -> WorkerDocument:
    """One that says that it executes these: session, run, handler."""
    worker = WorkerDocument(
        id=new_id(),
        host="a-host",
        pid=7,
        since=now(),
        version="1",
        handlers=["task"],
        running=len(runs),
        max_jobs=9,
        lease_s=60,
        state="ready",
        runs=[
            RunningRun(session_id=session, run_id=run, handler=handler, attempt=2, since=now())
            for session, run, handler in runs
        ],
    )
    redis.set(worker_key(queue, worker.id), worker.model_dump_json(), px=60_000)
    redis.zadd(workers_key(queue), {worker.id: 1})
    for _, run, _ in runs:
        redis.set(JobKeys.of(queue, run).taken, worker.id, px=60_000)
    return worker


def test_runs_are_found_by_handler_subject_tag_and_status(gateway: Gateway) -> None:
    session = gateway.create_session()
    plain = start(gateway, session, "report")
    tagged = start(gateway, session, "report", tags=["nightly", "grün"])
    of_ada = start(gateway, session, "answer", subject="ada", priority=3)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    deferred = start(gateway, session, "answer", defer_until=later)
    # The one with a priority goes first, the one that is put off last.
    assert ids(without_start(gateway)) == [of_ada, plain, tagged, deferred]
    for query, expected in (
        ({"handler": "report"}, [plain, tagged]),
        ({"subject": "ada"}, [of_ada]),
        ({"subject": "eve"}, []),
        ({"tag": "grün"}, [tagged]),
        ({"status": "deferred"}, [deferred]),
        ({"status": "queued,deferred", "handler": "answer"}, [of_ada, deferred]),
        ({"status": "running"}, []),
        ({"status": "error"}, []),
    ):
        assert ids(without_start(gateway, **query)) == expected, query
        assert ids(without_start(gateway, limit=1, **query)) == expected, query
    [run] = without_start(gateway, tag="nightly")
    assert (run["status"], run["tags"], run["session_id"]) == (
        "queued",
        ["nightly", "grün"],
        session,
    )
    [put_off] = listed(gateway, status="deferred")
    assert put_off["due_at"] > put_off["queued_at"]


def test_what_runs_comes_first_and_says_where(gateway: Gateway, stack: Stack) -> None:
    session = gateway.create_session()
    waits, runs = (start(gateway, session, "task", tags=["t"], subject="ada") for _ in range(2))
    worker = a_worker(stack.redis, stack.queue, (session, runs, "task"))
    found = listed(gateway, tag="t", subject="ada", handler="task")
    assert ids(found) == [runs, waits]
    assert (found[0]["status"], found[0]["attempt"], found[0]["pid"]) == ("running", 2, 7)
    assert found[0]["worker_id"] == worker.id
    assert ids(listed(gateway, status="running", limit=1)) == [runs]
    [shown] = gateway.client.get("/v1/workers").json()["workers"]
    assert WorkerDocument.model_validate(shown) == worker


def test_what_has_failed_for_good_is_listed_by_its_status(gateway: Gateway, stack: Stack) -> None:
    settings = Settings(redis_url=stack.env["STEPWIRE_REDIS_URL"], queue_name=stack.queue)
    names = [f"failed-{number}" for number in range(3)]

    async def fail() -> None:
        async with open_store(settings.redis_url) as store:
            for name in names:
                request = RunRequest(session_id="s", run_id=name, handler="task", tags=[name])
                error = ErrorInfo(type="ValueError", message="no luck")
                await DeadLetters(store, settings).add(
                    DeadLetter(
                        request=request, status="error", error=error, attempts=2, ended_at=now()
                    )
                )

    asyncio.run(fail())
    assert listed(gateway, handler="task") == []
    for limit in (1, 50):
        assert ids(listed(gateway, status="error,interrupted", limit=limit)) == names[::-1]
    assert ids(listed(gateway, status="error", tag=names[1])) == [names[1]]
    [run] = listed(gateway, status="error", tag=names[1])
    assert (run["attempt"], run["error"]["message"]) == (2, "no luck")


@pytest.mark.parametrize(
    "query",
    [
        {"status": "lost"},
        {"limit": 0},
        {"cursor": "x"},
        {"cursor": "waiting~nan~1"},
        {"cursor": "failed~1~-1"},
        {"tag": ""},
    ],
    ids=str,
)
def test_a_query_that_makes_no_sense_is_refused(gateway: Gateway, query: dict[str, str]) -> None:
    response = gateway.client.get("/v1/runs", params=query)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("tags", [[""], ["x" * 65], ["x"] * 21, "x", ["\ud83d"]], ids=repr)
def test_tags_are_few_and_short(gateway: Gateway, tags: object) -> None:
    path = f"/v1/sessions/{gateway.create_session()}/runs"
    content = json.dumps({"task": "x", "tags": tags})
    response = gateway.client.post(
        path, content=content, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_the_client_and_the_commands_ask_the_gateway(gateway: Gateway, stack: Stack) -> None:
    word = new_id()
    session = gateway.create_session()
    run = start(gateway, session, "task", tags=[word])
    gateway.send(session, f"{word}\n\x1b[31mred")
    worker = a_worker(stack.redis, stack.queue)
    with Client(gateway.url) as client:
        assert [entry.run_id for entry in client.runs(tag=word, status=["queued"])] == [run]
        assert client.workers() == [worker]
        [entry] = client.sessions(title=word)
        assert entry.id == session

    def stepwire(*arguments: str) -> str:
        away = {"STEPWIRE_REDIS_URL": "redis://127.0.0.1:1"}
        result = CliRunner().invoke(main, arguments, env=stack.env | away)
        assert result.exit_code == 0, result.output
        return result.output

    at_gateway = ("--gateway", gateway.url)
    assert json.loads(stepwire("runs", "--tag", word, "--json", *at_gateway))[0]["run_id"] == run
    assert run in stepwire("runs", "--tag", word, *at_gateway)
    assert "no such run" in stepwire("runs", "--failed", "--tag", word, *at_gateway)
    url = ("--url", gateway.url)
    assert json.loads(stepwire("workers", "--json", *url))[0]["id"] == worker.id
    table = stepwire("sessions", "--title", word, *url)
    assert session in table
    assert "\x1b" not in table
    assert json.loads(stepwire("sessions", "--title", word, "--json", *url))[0]["id"] == session
    assert "no such session" in stepwire("sessions", "--title", new_id(), *at_gateway)


def test_a_filter_works_on_redis_too(gateway: Gateway, stack: Stack) -> None:
    word = new_id()
    run = start(gateway, gateway.create_session(), "task", tags=[word])
    result = CliRunner().invoke(main, ["runs", "--tag", word, "--json"], env=stack.env)
    assert [found["run_id"] for found in json.loads(result.output)] == [run]
    refused = CliRunner().invoke(main, ["runs", "--token", "x"], env=stack.env)
    assert (refused.exit_code, "--gateway" in refused.output) == (2, True)


async def a_failed_run(stack: Stack, session: str, error: ErrorInfo | None = None) -> str:
    settings = Settings(redis_url=stack.env["STEPWIRE_REDIS_URL"], queue_name=stack.queue)
    request = RunRequest(session_id=session, run_id=new_id(), handler="report", arguments={"a": 1})
    async with open_store(settings.redis_url) as store:
        letter = DeadLetter(
            request=request, status="error", error=error, attempts=3, ended_at=now()
        )
        await DeadLetters(store, settings).add(letter)
    return request.run_id


def test_a_failed_run_is_done_again_or_forgotten(gateway: Gateway, stack: Stack) -> None:
    session = gateway.create_session()
    error = ErrorInfo(type="ValueError", message="no", traceback="Traceback: …")
    failed = asyncio.run(a_failed_run(stack, session, error))
    other = asyncio.run(a_failed_run(stack, session))
    [_, shown] = listed(gateway, status="error")
    assert (shown["run_id"], shown["attempt"]) == (failed, 3)
    assert shown["error"] == {"type": "ValueError", "message": "no", "traceback": "Traceback: …"}

    response = gateway.client.post(f"/v1/runs/{failed}/retry")
    assert response.status_code == 202, response.text
    again = response.json()["run_id"]
    assert response.headers["location"] == f"/v1/sessions/{session}/runs/{again}"
    assert gateway.client.get(response.headers["location"]).json()["status"] == "queued"
    assert ids(listed(gateway, status="error")) == [other]
    # A person who clicks twice makes one run.
    twice = gateway.client.post(f"/v1/runs/{failed}/retry")
    assert (twice.status_code, twice.json()["code"]) == (404, "run_not_failed")
    assert again in ids(without_start(gateway, handler="report"))

    with Client(gateway.url) as client:
        client.forget_run(other)
    assert listed(gateway, status="error") == []
    gone = gateway.client.delete(f"/v1/runs/{other}")
    assert (gone.status_code, gone.json()["code"]) == (404, "run_not_failed")
    assert gateway.client.delete("/v1/runs/not~an~id").json()["code"] == "run_not_failed"


def test_a_failed_run_stays_when_its_session_is_gone(gateway: Gateway, stack: Stack) -> None:
    failed = asyncio.run(a_failed_run(stack, "gone-" + new_id()))
    response = gateway.client.post(f"/v1/runs/{failed}/retry")
    assert (response.status_code, response.json()["code"]) == (404, "session_not_found")
    assert ids(listed(gateway, status="error")) == [failed]


def test_the_queue_says_how_full_it_is_and_with_what(gateway: Gateway, stack: Stack) -> None:
    empty = gateway.client.get("/v1/queue").json()
    assert empty["longest_wait_s"] is None
    assert (empty["queued"], empty["slots"], empty["handlers"]) == (0, 0, [])
    session = gateway.create_session()
    for _ in range(2):
        start(gateway, session, "report")
    start(gateway, session, "answer", priority=5)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    start(gateway, session, "report", defer_until=later)
    worker = a_worker(stack.redis, stack.queue, (session, new_id(), "report"))
    worker.max_running = {"report": 1}
    stack.redis.set(worker_key(stack.queue, worker.id), worker.model_dump_json(), px=60_000)
    asyncio.run(a_failed_run(stack, session))
    found = gateway.client.get("/v1/queue").json()
    assert (found["queued"], found["deferred"], found["held"]) == (4, 1, 0)
    assert (found["running"], found["failed"], found["slots"]) == (0, 1, 9)
    assert found["is_complete"]
    assert 0 <= found["longest_wait_s"] < 60
    counts = {
        of["handler"]: (of["running"], of["waiting"], of["max_running"]) for of in found["handlers"]
    }
    assert counts == {
        "answer": (0, 1, None),
        "on_chat_start": (0, 1, None),
        "report": (1, 2, 1),
    }


def test_the_python_client_retries_a_run(gateway: Gateway, stack: Stack) -> None:
    session = gateway.create_session()
    failed = asyncio.run(a_failed_run(stack, session))
    with Client(gateway.url) as client:
        again = client.retry_run(failed)
        assert client.session(session).read_run(again).status == "queued"
        with pytest.raises(NotFound):
            client.retry_run(failed)
