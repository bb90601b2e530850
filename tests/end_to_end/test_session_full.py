"""A handler that does not stop fills its session and nothing else: real worker, real gateway."""

from __future__ import annotations

import httpx

from stack import Stack

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        if message.content == "hello":
            await cl.Message("hello").send()
            return
        async with cl.Step("outer"):
            while True:
                async with cl.Step("again"):
                    await cl.sleep(0)
"""

FEW = {"STEPWIRE_SESSION_MAX_STEPS": "100"}


def assert_full(response: httpx.Response) -> None:
    assert (response.status_code, response.json()["code"]) == (409, "session_full")
    for remedy in ("new session", "remove", "STEPWIRE_SESSION_MAX_STEPS"):
        assert remedy in response.json()["detail"]


def test_a_handler_that_does_not_stop_fills_its_session_and_nothing_else(stack: Stack) -> None:
    stack.worker(APP, **FEW)
    gateway = stack.gateway(port=None, **FEW)
    session = gateway.create_session()
    accepted = gateway.send(session, "go on for ever")
    run = gateway.wait_for_end(session, accepted["run_id"])
    assert (run["status"], run["error"]["type"], run["will_retry"]) == (
        "error",
        "SessionFull",
        False,
    )
    snapshot = gateway.snapshot(session)
    assert len(snapshot["steps"]) <= 100
    assert all(step["status"] != "running" for step in snapshot["steps"])

    path = f"/v1/sessions/{session}"
    message = {"content": "hello"}
    while (sent := gateway.client.post(f"{path}/messages", json=message)).status_code == 202:
        # As many as there was room for when the handler was stopped.
        gateway.wait_for_end(session, sent.json()["run_id"])
    assert_full(sent)
    assert_full(gateway.client.post(f"{path}/messages", json=message))
    assert_full(gateway.client.post(f"{path}/runs", json={"task": "main"}))
    assert_full(gateway.client.post(f"{path}/resume"))

    other = gateway.create_session()
    run = gateway.wait_for_end(other, gateway.send(other, "hello")["run_id"])
    assert run["status"] == "ok"
    assert gateway.client.delete(path).status_code == 204
    gateway.create_session(session)
    assert gateway.wait_for_end(session, gateway.send(session, "hello")["run_id"])["status"] == "ok"
