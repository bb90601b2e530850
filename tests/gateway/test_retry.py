"""A run that is over, done again: ``POST …/runs/{id}/retry``, and ``retry_of``."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import tokens
from stack import Gateway, Stack
from stepwire.client import Client, Conflict, Forbidden, NotFound
from stepwire_core.redis.keys import SessionKeys
from stepwire_core.values.ids import new_id
from stepwire_core.wire.run_request import MAX_KEPT_BYTES
from tokens import API_KEY, SECRET, bearer

APP = """
    import asyncio

    import stepwire as cl

    @cl.on_message
    async def main(message):
        await cl.Message(f"{message.content}, {[file.name for file in message.elements]}").send()

    @cl.task
    async def report(city, pages=1):
        await cl.Message(f"{city} on {pages}").send()

    @cl.task
    async def fail(text):
        raise ValueError(text)

    @cl.task
    async def outer():
        await cl.enqueue(fail, text="secret of the code")

    @cl.task
    async def wait():
        await asyncio.Event().wait()
"""


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway()


@pytest.fixture(scope="module")
def guarded(shared_stack: Stack, gateway: Gateway) -> Gateway:
    """Another one, beside the same workers, that asks for tokens."""
    del gateway
    return shared_stack.gateway(STEPWIRE_AUTH_SECRETS=SECRET, STEPWIRE_API_KEYS=API_KEY)


def retry(gateway: Gateway, session: str, run: str, **options: Any) -> httpx.Response:
    return gateway.client.post(f"/v1/sessions/{session}/runs/{run}/retry", **options)


def again(gateway: Gateway, session: str, run: str) -> dict[str, Any]:
    response = retry(gateway, session, run)
    assert response.status_code == 202, response.text
    assert response.headers["location"].endswith(f"/runs/{response.json()['run_id']}")
    return gateway.wait_for_end(session, response.json()["run_id"])


def asked_for(gateway: Gateway, session: str, run: str) -> Any:
    return gateway.client.get(f"/v1/sessions/{session}/runs/{run}/request").json()


def said(gateway: Gateway, session: str, run: str) -> list[str]:
    steps = gateway.snapshot(session)["steps"]
    return [step["output"] for step in steps if step["run_id"] == run]


def test_a_task_that_ended_well_runs_again_with_its_arguments(gateway: Gateway) -> None:
    session = gateway.create_session()
    first = gateway.start(session, "report", city="Rome", pages=3)
    assert "retry_of" not in gateway.wait_for_end(session, first)
    asked = asked_for(gateway, session, first)
    assert asked == {
        "run_id": first,
        "handler": "report",
        "args": {"city": "Rome", "pages": 3},
        "hidden": False,
        "message_id": None,
    }
    second = again(gateway, session, first)
    assert (second["retry_of"], second["status"]) == (first, "ok")
    assert said(gateway, session, second["run_id"]) == ["Rome on 3"]
    # The arguments are in the log of no reader.
    assert "Rome" not in str(gateway.snapshot(session)["runs"])
    # A repetition can be repeated, and is not the one that it came from.
    third = again(gateway, session, second["run_id"])
    assert third["retry_of"] == second["run_id"]


def test_a_run_is_repeated_with_other_arguments_by_starting_one_that_says_so(
    gateway: Gateway,
) -> None:
    session = gateway.create_session()
    with Client(gateway.url) as client:
        known = client.session(session)
        first = known.run("report", {"city": "Rome"})
        gateway.wait_for_end(session, first)
        second = known.run("report", {"city": "Oslo"}, retry_of=first)
        # One that waits for a worker has told nothing yet.
        assert known.wait(second).retry_of == first
        assert known.read_run(second).retry_of == first
        assert known.read_request(second).args == {"city": "Oslo"}
        third = known.retry(second, id="third")
        assert known.retry(second, id="third") == third == "third"
        assert known.wait(third).retry_of == second
        with pytest.raises(NotFound):
            known.run("report", {"city": "Oslo"}, retry_of="never")
        with pytest.raises(NotFound):
            known.send("hi", retry_of="never")


def test_a_message_is_answered_again_with_its_files(gateway: Gateway) -> None:
    session = gateway.create_session()
    file = gateway.upload(session, "notes.txt", b"notes")
    sent = gateway.send(session, "hello", elements=[file])
    first = gateway.wait_for_end(session, sent["run_id"])
    asked = asked_for(gateway, session, first["run_id"])
    assert (asked["args"], asked["hidden"]) == (None, False)
    assert asked["message_id"] == sent["message_id"]
    second = again(gateway, session, first["run_id"])
    assert (second["message_id"], second["retry_of"]) == (sent["message_id"], first["run_id"])
    assert said(gateway, session, second["run_id"]) == ["hello, ['notes.txt']"]
    edited = gateway.send(session, "hello there", retry_of=first["run_id"])
    third = gateway.wait_for_end(session, edited["run_id"])
    assert third["retry_of"] == first["run_id"]
    assert third["message_id"] == edited["message_id"] != sent["message_id"]


def test_a_failed_run_leaves_the_list_of_the_failed_ones_when_it_is_repeated(
    gateway: Gateway,
) -> None:
    session = gateway.create_session()
    run = gateway.start(session, "fail", text="no luck")
    gateway.wait_for_end(session, run)

    def failed() -> list[str]:
        response = gateway.client.get("/v1/runs", params={"status": "error"})
        found = response.json()["runs"]
        return [each["run_id"] for each in found if each["session_id"] == session]

    assert failed() == [run]
    new = again(gateway, session, run)
    assert failed() == [new["run_id"]]


def test_a_sub_task_is_repeated_with_the_arguments_of_its_dead_letter(
    gateway: Gateway, guarded: Gateway
) -> None:
    session = gateway.create_session()
    outer = gateway.start(session, "outer")
    gateway.wait_for_end(session, outer)
    runs = gateway.snapshot(session)["runs"]
    [part] = [run["run_id"] for run in runs if run["parent_run_id"] == outer]
    # They come from the code: what they are is nothing for those that may write alone.
    mine = bearer(tokens.token(session, rights=("write",)))
    path = f"/v1/sessions/{session}/runs/{part}"
    assert guarded.client.get(f"{path}/request", headers=mine).json()["hidden"] is True
    assert guarded.client.post(f"{path}/retry", headers=mine).status_code == 403
    key = {"Idempotency-Key": new_id()}
    first = retry(gateway, session, part, headers=key)
    assert first.status_code == 202
    # Its letter is gone, and the same request is answered as before.
    assert retry(gateway, session, part, headers=key).json() == first.json()
    new = gateway.wait_for_end(session, first.json()["run_id"])
    assert (new["retry_of"], new["parent_run_id"]) == (part, None)
    assert new["error"]["message"] == "secret of the code"


def test_a_run_that_goes_on_is_not_repeated_and_one_that_is_not_there_neither(
    gateway: Gateway,
) -> None:
    session = gateway.create_session()
    run = gateway.start(session, "wait")
    for response in (
        retry(gateway, session, run),
        gateway.client.get(f"/v1/sessions/{session}/runs/{run}/request"),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "run_not_over")
    gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    gateway.wait_for_end(session, run)
    cancelled = retry(gateway, session, run)
    assert cancelled.status_code == 202
    gateway.client.post(f"/v1/sessions/{session}/runs/{cancelled.json()['run_id']}/cancel")
    assert retry(gateway, session, "never").json()["code"] == "run_not_found"
    assert retry(gateway, "never", run).json()["code"] == "session_not_found"


def test_arguments_that_are_not_kept_have_to_be_sent_again(
    gateway: Gateway, shared_stack: Stack
) -> None:
    session = gateway.create_session()
    run = gateway.start(session, "report", city="x" * MAX_KEPT_BYTES)
    gateway.wait_for_end(session, run)
    response = retry(gateway, session, run)
    assert (response.status_code, response.json()["code"]) == (409, "request_not_kept")
    assert "'retry_of'" in response.json()["detail"]
    assert shared_stack.redis.exists(SessionKeys.of(session).requests) == 0


def test_the_same_request_makes_one_run(gateway: Gateway) -> None:
    session = gateway.create_session()
    run = gateway.start(session, "report", city="Rome")
    gateway.wait_for_end(session, run)
    key = {"Idempotency-Key": new_id()}
    first, second = (retry(gateway, session, run, headers=key).json() for _ in range(2))
    assert first == second
    other = gateway.start(session, "report", city="Oslo")
    gateway.wait_for_end(session, other)
    taken = retry(gateway, session, other, json={"id": first["run_id"]})
    assert (taken.status_code, taken.json()["code"]) == (409, "id_conflict")


def test_the_arguments_are_for_their_sender_and_for_admins(
    gateway: Gateway, guarded: Gateway
) -> None:
    session = gateway.create_session()
    ada, eve = (tokens.token(session, rights=("write",), sub=name) for name in ("ada", "eve"))
    with (
        Client(guarded.url, token=ada) as hers,
        Client(guarded.url, token=eve) as others,
        Client(guarded.url, token=API_KEY) as backend,
    ):
        run = hers.session(session).run("report", {"city": "Rome"})
        gateway.wait_for_end(session, run)
        secret = backend.session(session).run("report", {"city": "hidden"}, subject="ada")
        gateway.wait_for_end(session, secret)
        assert hers.session(session).read_request(run).args == {"city": "Rome"}
        assert backend.session(session).read_request(run).args == {"city": "Rome"}
        for client, of in ((others, run), (others, secret), (hers, secret)):
            found = client.session(session).read_request(of)
            assert (found.args, found.hidden) == (None, True)
            with pytest.raises(Forbidden):
                client.session(session).retry(of)
        # Of a repetition by another they are still hers.
        new = backend.session(session).retry(run)
        gateway.wait_for_end(session, new)
        assert hers.session(session).read_request(new).args == {"city": "Rome"}
        message = hers.session(session).send("hello")
        gateway.wait_for_end(session, message.run_id)
        gateway.wait_for_end(session, others.session(session).retry(message.run_id))


def test_what_is_kept_counts_and_goes_with_the_session(
    gateway: Gateway, shared_stack: Stack
) -> None:
    session = gateway.create_session()
    keys = SessionKeys.of(session)
    # redis-py types its commands for both of its clients at once.
    redis: Any = shared_stack.redis

    def held() -> int:
        return int(redis.hget(keys.meta, "bytes") or 0)

    before = held()
    run = gateway.start(session, "report", city="x" * 10_000)
    assert held() >= before + 10_000
    assert redis.pttl(keys.requests) > 0
    gateway.wait_for_end(session, run)
    gateway.client.delete(f"/v1/sessions/{session}")
    assert redis.exists(keys.requests) == 0
    with Client(gateway.url) as client, pytest.raises((Conflict, NotFound)):
        client.session(session).retry(run)
