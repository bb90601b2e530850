"""A person presses stop: through any gateway, at any moment, any number of times."""

from __future__ import annotations

import pytest
from redis import Redis

from stack import Gateway, Stack, wait_until
from stepwire_core.redis.keys import SessionKeys

APP = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("outer"):
            async with cl.Step("inner") as inner:
                await inner.stream_token("half")
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    if message.content == "stubborn":
                        return
                    raise

    @cl.on_stop
    async def stopped():
        await cl.Message("stopped as you asked").send()

"""


def cancel(gateway: Gateway, session: str, run: str) -> None:
    response = gateway.client.post(f"/v1/sessions/{session}/runs/{run}/cancel")
    assert (response.status_code, response.json()) == (202, {"run_id": run})


def start(gateway: Gateway, content: str = "go") -> tuple[str, str]:
    session = gateway.create_session()
    run = gateway.send(session, content)["run_id"]
    wait_until(
        lambda: [s["output"] for s in gateway.snapshot(session)["steps"]][-1:] == ["half"],
        "the run is under way",
    )
    return session, run


def statuses(gateway: Gateway, session: str) -> dict[str, str]:
    return {step["name"]: step["status"] for step in gateway.snapshot(session)["steps"][1:]}


@pytest.mark.parametrize("content", ["go", "stubborn"])
def test_a_run_is_cancelled_through_any_gateway(stack: Stack, content: str) -> None:
    stack.worker(APP)
    gateway, other = stack.shared_gateway(), stack.gateway()
    session, run = start(gateway, content)
    for _ in range(3):
        cancel(other, session, run)
    ended = gateway.wait_for_end(session, run)
    assert (ended["status"], ended["will_retry"], ended["error"]) == ("cancelled", False, None)
    inner = "ok" if content == "stubborn" else "cancelled"
    assert statuses(gateway, session) == {"outer": inner, "inner": inner, "Assistant": "ok"}
    outputs = [step["output"] for step in gateway.snapshot(session)["steps"]]
    assert outputs[-2:] == ["half", "stopped as you asked"]
    cancel(gateway, session, run)
    assert gateway.run(session, run) == ended


def test_a_run_that_waits_for_a_worker_is_cancelled_when_one_begins_it(stack: Stack) -> None:
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    run = gateway.send(session, "go")["run_id"]
    cancel(gateway, session, run)
    stack.worker(APP)
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"
    assert "outer" not in statuses(gateway, session)


def test_cancelling_one_run_leaves_the_others_alone(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    first, second = start(gateway), start(gateway)
    cancel(gateway, *first)
    gateway.wait_for_end(*first)
    untouched = gateway.run(*second)
    assert untouched is not None
    assert untouched["status"] == "running"


def test_an_unknown_run_cannot_be_cancelled(stack: Stack) -> None:
    gateway = stack.shared_gateway()
    session = gateway.create_session()
    for path, code in (
        (f"/v1/sessions/{session}/runs/nope/cancel", "run_not_found"),
        ("/v1/sessions/nope/runs/nope/cancel", "session_not_found"),
    ):
        response = gateway.client.post(path)
        assert (response.status_code, response.json()["code"]) == (404, code)


def test_a_wish_that_was_lost_on_its_way_is_found_after_the_reconnect(stack: Stack) -> None:
    stack.worker(APP)
    gateway = stack.shared_gateway()
    session, run = start(gateway)
    with Redis.from_url(stack.env["STEPWIRE_REDIS_URL"]) as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        # The wish alone, without the message that a worker would hear.
        redis.hset(SessionKeys.of(session).meta, f"c:{run}", "")
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert gateway.wait_for_end(session, run)["status"] == "cancelled"
