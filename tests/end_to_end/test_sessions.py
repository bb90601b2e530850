"""The life of a session: files with messages, feedback, coming back, and the end of it all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from redis import Redis

from object_storage import URL, ObjectStorage
from sse import View, events
from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.embedded_server import embedded_server
from stepwire_core.values.ids import new_id

APP = Path(__file__).parent / "apps" / "conversations.py"


@pytest.fixture
def journal(stack: Stack, tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.touch()
    stack.env["JOURNAL"] = str(path)
    return path


def finish(gateway: Gateway, session: str, content: str, **fields: object) -> None:
    run = gateway.send(session, content, **fields)["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "ok"


def outputs(gateway: Gateway, session: str, author: str = "Assistant") -> list[str]:
    return [s["output"] for s in gateway.snapshot(session)["steps"] if s["name"] == author]


def keys_of(stack: Stack, session: str) -> list[bytes]:
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        return list(redis.scan_iter(f"*{session}*"))


# -- files ------------------------------------------------------------------------------------


def test_files_that_come_with_a_message_reach_its_handler(stack: Stack, journal: Path) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    files = [
        gateway.upload(session, "a.txt", b"hello"),
        gateway.upload(session, "../../etc/b.png", b"<not>", "image/png"),
    ]
    finish(gateway, session, "", elements=files, id="m-1")
    assert outputs(gateway, session) == [
        "file a.txt text/plain hello",
        "image ../../etc/b.png image/png <not>",
    ]
    [message, *_] = gateway.snapshot(session)["steps"]
    assert message["elements"] == files
    by_id = {item["id"]: item for item in gateway.snapshot(session)["elements"]}
    assert [by_id[file]["step_id"] for file in files] == ["m-1", "m-1"]
    finish(gateway, session, "again", elements=[gateway.upload(session, "c.txt", b"c")])
    [again] = [s for s in gateway.snapshot(session)["steps"] if s["output"] == "with"]
    response = gateway.client.get(f"/v1/sessions/{session}/elements/{again['elements'][0]}")
    assert response.content == b"c"


def test_a_message_with_files_that_are_not_there_is_refused(stack: Stack) -> None:
    gateway = stack.shared_gateway()
    session, other = gateway.create_session(), gateway.create_session()
    file = gateway.upload(session, "a.txt", b"hello")
    foreign = gateway.upload(other, "a.txt", b"hello")
    gateway.send(session, "first", elements=[file], id="m-1")
    assert gateway.send(session, "first", elements=[file], id="m-1")["message_id"] == "m-1"
    path = f"/v1/sessions/{session}/messages"
    for body, status, code in (
        ({"content": "x", "elements": ["nope"]}, 404, "element_not_found"),
        ({"content": "x", "elements": [foreign]}, 404, "element_not_found"),
        ({"content": "x", "elements": [file]}, 422, "invalid_request"),
        ({"content": "", "elements": []}, 422, "invalid_request"),
        ({"content": "first", "elements": [], "id": "m-1"}, 409, "id_conflict"),
    ):
        response = gateway.client.post(path, json=body)
        assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert len(gateway.snapshot(session)["steps"]) == 1


def test_a_message_cannot_take_the_id_of_a_step(stack: Stack, journal: Path) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    finish(gateway, session, "x")
    before = gateway.snapshot(session)
    [step] = [step for step in before["steps"] if step["name"] == "rated"]
    path = f"/v1/sessions/{session}/messages"
    response = gateway.client.post(path, json={"content": "mine now", "id": step["id"]})
    assert (response.status_code, response.json()["code"]) == (409, "id_conflict")
    assert gateway.snapshot(session) == before


# -- feedback ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_feedback_is_seen_by_all_and_by_the_handler(stack: Stack, journal: Path) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    finish(gateway, session, "x")
    step = next(s for s in gateway.snapshot(session)["steps"] if s["name"] == "rated")
    path = f"/v1/sessions/{session}/steps/{step['id']}/feedback"
    view = View()
    async with (
        httpx.AsyncClient(base_url=gateway.url, timeout=15) as client,
        aclosing(events(client, f"/v1/sessions/{session}/events")) as stream,
    ):
        view.fold(await anext(stream))
        for value, comment in ((1, None), (0, "too short")):
            response = gateway.client.put(path, json={"value": value, "comment": comment})
            assert response.status_code == 200
            while (event := await anext(stream)).type != "run.end":
                view.fold(event)
            view.fold(event)
            assert view.lists["feedback"][step["id"]] == response.json()
        assert view.same_as(gateway.snapshot(session))
        assert gateway.client.delete(path).status_code == 204
        while (event := await anext(stream)).type != "run.end":
            view.fold(event)
    view.fold(event)
    assert view.lists["feedback"] == {}
    assert view.same_as(gateway.snapshot(session))
    assert outputs(gateway, session, "on_feedback") == [
        "1 None True",
        "0 too short True",
        "None None True",
    ]


def test_feedback_that_cannot_be_given_is_refused(stack: Stack, journal: Path) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    finish(gateway, session, "x", id="m-1")
    ids = {step["name"]: step["id"] for step in gateway.snapshot(session)["steps"]}
    for step, body, status, code in (
        (ids["private"], {"value": 1}, 409, "feedback_disabled"),
        ("m-1", {"value": 1}, 409, "feedback_disabled"),
        ("nope", {"value": 1}, 404, "step_not_found"),
        ("no%20id", {"value": 1}, 404, "step_not_found"),
        (ids["rated"], {"value": 2}, 422, "invalid_request"),
        (ids["rated"], {"value": 0.5}, 422, "invalid_request"),
        (ids["rated"], {}, 422, "invalid_request"),
        (ids["rated"], {"value": 1, "coment": "typo"}, 422, "invalid_request"),
    ):
        path = f"/v1/sessions/{session}/steps/{step}/feedback"
        response = gateway.client.put(path, json=body)
        assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert (
        gateway.client.put("/v1/sessions/no/steps/x/feedback", json={"value": 1}).json()["code"]
        == "session_not_found"
    )
    assert gateway.snapshot(session)["feedback"] == []


# -- coming back ------------------------------------------------------------------------------


def test_a_person_who_comes_back_is_met_by_on_chat_resume(stack: Stack, journal: Path) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    finish(gateway, session, "one")
    finish(gateway, session, "two")
    path = f"/v1/sessions/{session}/resume"
    for body in ({"id": "r-1"}, {"id": "r-1"}):
        response = gateway.client.post(path, json=body)
        assert (response.status_code, response.json()) == (202, {"run_id": "r-1"})
        assert gateway.wait_for_end(session, "r-1")["handler"] == "on_chat_resume"
    assert outputs(gateway, session, "back") == ["['one', 'two'] {'last': 'two'} two"]
    assert gateway.client.post("/v1/sessions/nope/resume").json()["code"] == "session_not_found"


def test_without_the_handler_coming_back_is_a_run_that_does_nothing(stack: Stack) -> None:
    stack.worker("import stepwire as cl\n\n@cl.task\nasync def other(): ...\n")
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.client.post(f"/v1/sessions/{session}/resume").json()["run_id"]
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    assert gateway.snapshot(session)["steps"] == []


# -- the end ----------------------------------------------------------------------------------


def test_a_deleted_session_leaves_nothing_and_on_chat_end_knows_its_values(
    stack: Stack, journal: Path
) -> None:
    stack.worker(APP)
    gateway, other = stack.shared_gateway(), stack.gateway()
    session = gateway.create_session()
    gateway.upload(session, "a.txt", b"hello")
    finish(gateway, session, "remember this")
    assert keys_of(stack, session)
    assert other.client.delete(f"/v1/sessions/{session}").status_code == 204
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("DELETE", ""),
        ("POST", "/resume"),
    ):
        response = gateway.client.request(method, f"/v1/sessions/{session}{path}")
        assert (response.status_code, response.json()["code"]) == (404, "session_not_found")
    wait_until(lambda: journal.read_text() != "", "on_chat_end")
    assert journal.read_text() == f"{session} remember this\n"
    wait_until(lambda: not keys_of(stack, session), "nothing is left in Redis")
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        assert redis.zcard(stack.env["STEPWIRE_QUEUE_NAME"]) == 0


@pytest.mark.anyio
async def test_deleting_ends_streams_and_cancels_what_runs(stack: Stack, journal: Path) -> None:
    worker = stack.worker(APP)
    gateway, other = stack.shared_gateway(), stack.gateway()
    session = gateway.create_session()
    gateway.send(session, "wait")
    async with httpx.AsyncClient(base_url=gateway.url, timeout=15) as client:

        async def until_closed() -> None:
            async for event in events(client, f"/v1/sessions/{session}/events"):
                names = [event.data, *event.data.get("steps", [])]
                if "waiting" in [item.get("name") for item in names]:
                    waiting.set()

        waiting = asyncio.Event()
        reading = asyncio.create_task(until_closed())
        async with asyncio.timeout(15):
            await waiting.wait()
            # Through the other gateway: the news has to travel.
            response = await asyncio.to_thread(other.client.delete, f"/v1/sessions/{session}")
            assert response.status_code == 204
            await reading
    wait_until(lambda: journal.read_text() != "", "on_chat_end")
    wait_until(lambda: "nothing to run" in worker.output, "the run has stopped")
    assert not keys_of(stack, session)
    assert "Traceback" not in worker.output


def test_an_id_can_be_used_again_at_once(stack: Stack, journal: Path) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session = new_id()
    for content in ("first", "second", "third"):
        gateway.create_session(session)
        finish(gateway, session, content, id="m-1")
        assert outputs(gateway, session, "User") == [content]
        gateway.client.delete(f"/v1/sessions/{session}")
    wait_until(lambda: journal.read_text().count("\n") == 3, "on_chat_end, each time")
    assert [line.split()[1] for line in journal.read_text().splitlines()] == [
        "first",
        "second",
        "third",
    ]


def test_a_deletion_that_was_cut_off_is_taken_up_again(stack: Stack, journal: Path) -> None:
    with embedded_server() as queue:
        gateway = stack.gateway(STEPWIRE_QUEUE_URL=queue.url)
        worker = stack.worker(APP, STEPWIRE_QUEUE_URL=queue.url)
        session = gateway.create_session()
        finish(gateway, session, "remembered")
        worker.stop()
    response = gateway.client.delete(f"/v1/sessions/{session}")
    assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
    # It cannot be read any more, although its end is not yet told.
    assert gateway.client.get(f"/v1/sessions/{session}").status_code == 404
    stack.worker(APP)
    whole = stack.shared_gateway()
    assert whole.client.delete(f"/v1/sessions/{session}").status_code == 204
    wait_until(lambda: journal.read_text() != "", "on_chat_end")
    assert journal.read_text() == f"{session} remembered\n"
    assert not keys_of(stack, session)


def test_a_failing_on_chat_end_is_logged_and_not_repeated(stack: Stack, journal: Path) -> None:
    worker = stack.worker(APP)
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    finish(gateway, session, "boom")
    gateway.client.delete(f"/v1/sessions/{session}")
    wait_until(lambda: "as asked" in worker.output, "it is in the log")
    finish(gateway, gateway.create_session(), "x")
    assert journal.read_text().count("\n") == 1


def test_large_elements_go_with_their_session(
    stack: Stack, journal: Path, storage: ObjectStorage
) -> None:
    stack.env |= storage.env | {
        "STEPWIRE_ELEMENTS_URL": URL,
        "STEPWIRE_ELEMENTS_REDIS_BYTES": "1000",
    }
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session, other = gateway.create_session(), gateway.create_session()
    for each in (session, other):
        finish(gateway, each, "big", elements=[gateway.upload(each, "a.txt", b"a" * 2000)])
    assert f"file a.txt text/plain {'a' * 2000}" in outputs(gateway, session)
    assert sorted(sessions_of(storage) & {session, other}) == sorted([session, other])
    gateway.client.delete(f"/v1/sessions/{session}")
    assert sessions_of(storage) & {session, other} == {other}


def sessions_of(storage: ObjectStorage) -> set[str]:
    """The sessions that have objects; all tests of the process share the server."""
    return {name.partition("/")[0] for name in storage.names()}
