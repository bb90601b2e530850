"""README: one document that cannot be read affects nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from event_log import Log, client_of
from stepwire_core.errors import AskNotFound, ElementNotFound
from stepwire_core.queue.dead_letters import DeadLetter, DeadLetters
from stepwire_core.queue.listing import read_queue
from stepwire_core.queue.run_queue import JobKeys, RunQueue, open_queue
from stepwire_core.queue.worker_registry import read_workers, worker_key, workers_key
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import RunRequest
from stepwire_core.wire.worker_document import WorkerDocument

pytestmark = pytest.mark.anyio

BROKEN = [b"{no JSON", b"[]", b"null", b"{}", b'{"id":5}', b'"\\ud83d"', b"\xff"]


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[RunQueue]:
    async with open_queue(settings) as queue:
        yield queue


@pytest.mark.parametrize("broken", BROKEN)
async def test_one_document_that_cannot_be_read_is_not_there(
    log: Log, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await log.put(log.start("a"), log.element("e", "a"))
    state = SessionKeys.of(log.session_id).state
    for field in ("s:bad", "e:bad", "a:bad", "r:bad"):
        await log.redis.execute_command("HSET", state, field, b"7 - " + broken)
    with pytest.raises(ElementNotFound):
        await log.log.element(log.session_id, "bad")
    with pytest.raises(ElementNotFound):
        await log.log.elements(log.session_id, ["e", "bad"])
    with pytest.raises(AskNotFound):
        await log.log.ask(log.session_id, "bad")
    assert await log.log.run(log.session_id, "bad") is None
    step = await log.log.step(log.session_id, "bad")
    assert step is None or step == json.loads(broken)
    assert (await log.log.element(log.session_id, "e")).id == "e"
    said = [record.__dict__ for record in caplog.records if record.name == "stepwire.reading"]
    assert {"element", "ask", "run"} <= {
        entry["kind"] for entry in said if entry["session_id"] == log.session_id
    }


async def test_the_letters_beside_one_that_cannot_be_read_are_listed(
    settings: Settings, queue: RunQueue
) -> None:
    letters = DeadLetters(queue.store, settings)
    requests = [RunRequest(session_id="s", run_id=new_id(), handler="task") for _ in range(3)]
    letters_kept = [
        DeadLetter(request=request, status="error", error=None, attempts=1, ended_at="now")
        for request in requests
    ]
    for letter in letters_kept:
        await letters.add(letter)
    first, bad, newer = (request.run_id for request in requests)
    key = f"{settings.queue_name}:dead:letters"
    await client_of(queue.store).execute_command("HSET", key, bad, "{no JSON")
    content = letters_kept[2].model_dump()
    changed = json.dumps(content | {"status": "given up", "mood": 1})
    await client_of(queue.store).execute_command("HSET", key, newer, changed)
    found = await letters.newest(10)
    assert {letter.request.run_id for letter in found} == {first, newer}
    assert {letter.status for letter in found} == {"error", "given up"}
    assert await letters.get(bad) is None


async def test_the_workers_beside_one_that_cannot_be_read_are_listed(
    settings: Settings, queue: RunQueue
) -> None:
    good = WorkerDocument(
        id="good",
        host="h",
        pid=1,
        since="now",
        version="0",
        handlers=[],
        running=0,
        max_jobs=1,
        lease_s=1,
        state="asleep",
    )
    documents = {"good": good.model_dump_json(), "bad": "{no JSON", "empty": "{}"}
    for id_, content in documents.items():
        await client_of(queue.store).zadd(workers_key(settings.queue_name), {id_: 1})
        await client_of(queue.store).set(worker_key(settings.queue_name, id_), content, px=60_000)
    assert [worker.id for worker in await read_workers(queue.store, settings.queue_name)] == [
        "good"
    ]
    assert await read_queue(queue.store, settings.queue_name, 10) == []


@pytest.mark.parametrize(
    "job",
    [b"{no JSON", b"[]", b'{"a":{}}', b'{"t":"x","f":"f","a":[{}],"k":{},"et":"soon"}', b"\xff"],
)
async def test_the_jobs_beside_one_that_cannot_be_read_are_listed(
    settings: Settings, queue: RunQueue, job: bytes
) -> None:
    runs = [RunRequest(session_id="s", run_id=new_id(), handler="task") for _ in range(2)]
    for run in runs:
        await queue.enqueue(run)
    good, bad = (run.run_id for run in runs)
    await client_of(queue.store).set(JobKeys.of(settings.queue_name, bad).job, job)
    listed = await read_queue(queue.store, settings.queue_name, 10)
    assert [run.run_id for run in listed] == [good]
    assert await queue.take(bad, 1.0) is None
    taken = await queue.take(good, 1.0)
    assert taken == runs[0]
