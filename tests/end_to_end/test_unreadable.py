"""README: one document that cannot be read affects nothing else, on real processes."""

from __future__ import annotations

import json

from sse import reading
from stack import Stack, wait_until
from stepwire_core.redis.keys import SessionKeys

APP = """
    import asyncio
    import stepwire as cl

    @cl.on_message(max_attempts=2)
    async def main(message):
        is_first = not cl.user_session.get("tried")
        cl.user_session.set("tried", True)
        async with cl.Step("work") as step:
            await step.stream_token("begun" if is_first else "done")
            if is_first:
                await asyncio.Event().wait()

    @cl.on_chat_resume
    async def resume(thread):
        names = sorted(step["name"] for step in thread["steps"])
        await cl.Message("resumed with " + " ".join(names)).send()
"""

BROKEN = {
    "s:broken": b"900 - {no JSON",
    "s:null": b"901 - " + json.dumps({"id": "null", "default_open": None}).encode(),
    "s:deep": b"902 - " + b'{"id":"deep","metadata":{"a":' + b"[" * 300 + b"]" * 300 + b"}}",
    "r:broken": b"903 - {",
    "e:broken": b"904 - []",
    "a:broken": b"905 - 5",
    "f:broken": b"nonsense",
}


def test_a_session_with_broken_documents_is_read_run_taken_up_and_resumed(stack: Stack) -> None:
    gateway = stack.gateway()
    session = gateway.create_session()
    state = SessionKeys.of(session).state
    for field, value in BROKEN.items():
        stack.redis.execute_command("HSET", state, field, value)
    user = SessionKeys.of(session).meta.removesuffix("meta") + "user"
    stack.redis.hset(user, "broken", "{no JSON")

    first = stack.worker(APP, STEPWIRE_LEASE_S="2")
    run = gateway.send(session, "go")["run_id"]

    def begun() -> bool:
        return "begun" in [step.get("output") for step in gateway.snapshot(session)["steps"]]

    wait_until(begun, "the first attempt is under way")
    first.kill()
    stack.worker(APP, STEPWIRE_LEASE_S="2")
    assert gateway.wait_for_end(session, run)["status"] == "ok"

    snapshot = gateway.snapshot(session)
    # JSON goes out as it is stored: the client may know more than this gateway.
    assert [step["id"] for step in snapshot["steps"] if "name" not in step] == ["null"]
    ended = [(s["output"], s["status"]) for s in snapshot["steps"] if s.get("name") == "work"]
    assert ended == [("begun", "interrupted"), ("done", "ok")]
    with reading(gateway.client, f"/v1/sessions/{session}/events") as stream:
        assert next(stream).data == snapshot

    resumed = gateway.client.post(f"/v1/sessions/{session}/resume").json()["run_id"]
    assert gateway.wait_for_end(session, resumed)["status"] == "ok"
    outputs = [step.get("output", "") for step in gateway.snapshot(session)["steps"]]
    assert any(output.startswith("resumed with") for output in outputs)

    metrics = gateway.client.get("/metrics").text
    for kind in ("step", "run", "element", "ask", "feedback"):
        assert f'stepwire_gateway_unreadable_documents_total{{kind="{kind}"}}' in metrics
    for path in ("elements/broken", "asks/broken", "steps/broken/feedback"):
        method = {"e": "GET", "a": "POST", "s": "PUT"}[path[0]]
        body = {"content": "x"} if method == "POST" else {"value": 1}
        response = gateway.client.request(method, f"/v1/sessions/{session}/{path}", json=body)
        assert response.status_code == 404, response.text
    assert gateway.client.delete(f"/v1/sessions/{session}").status_code == 204
