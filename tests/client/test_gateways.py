"""The TypeScript client on Node, and gateways that are killed, drained and started again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from client.package import CLIENT, NODE
from stack import Gateway, Stack, wait_until
from stepwire_core.values.ids import new_id

# The first test waits for the packages and the build.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("built_client")]

APP = Path(__file__).with_name("app.py")


class Client:
    """The client as a process, and what it says when it is asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, *args: Any) -> Any:
        answer = self.tried(name, *args)
        assert "error" not in answer, answer
        return answer["answer"]

    def tried(self, name: str, *args: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": name, "args": args}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def wait_for_state(self, state: str) -> None:
        wait_until(lambda: self.call("connection")["state"] == state, f"the stream is {state}")

    def wait_until_current(self, gateway: Gateway, sid: str) -> dict[str, Any]:
        """Both of its views are the gateway's."""
        wait_until(lambda: self.call("view") == gateway.snapshot(sid), "its store is current")
        wait_until(lambda: self.call("folded") == gateway.snapshot(sid), "its fold is current")
        return gateway.snapshot(sid)


Follow = Callable[..., Client]


@pytest.fixture
def follow() -> Iterator[Follow]:
    with ExitStack() as stack:

        def started(gateway: Gateway, sid: str, **env: str) -> Client:
            process = subprocess.Popen(
                [str(NODE), "tests/real/follow.mjs", gateway.url, sid],
                cwd=CLIENT,
                env=os.environ | env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Client(process)

        yield started


def test_a_client_follows_a_gateway_that_is_killed_and_one_that_drains(
    stack: Stack, follow: Follow
) -> None:
    stack.worker(APP)
    gateway = stack.gateway()
    sid, title = gateway.create_session(), f"first {new_id()}"
    client = follow(gateway, sid, TITLE=title)
    client.wait_for_state("live")
    run_id = client.call("send", title)["run_id"]

    gateway.child.kill()
    client.wait_for_state("reconnecting")
    assert client.tried("send", "lost")["error"] == {"code": "unreachable", "status": 0}

    gateway = stack.gateway(port=gateway.port)
    client.wait_for_state("live")
    gateway.wait_for_end(sid, run_id)
    client.wait_until_current(gateway, sid)

    run_id = client.call("send", "second")["run_id"]
    gateway.child.stop()
    gateway = stack.gateway(port=gateway.port)
    gateway.wait_for_end(sid, run_id)
    view = client.wait_until_current(gateway, sid)

    def listed() -> list[Any]:
        page: dict[str, Any] = client.call("page", {"title": title})
        return [entry for entry in page["sessions"] if entry["status"] == "ok"]

    wait_until(lambda: [entry["id"] for entry in listed()] == [sid], "the session is listed")
    wait_until(lambda: client.call("listed") == listed(), "the list that is watched is current")

    answers = [step["output"] for step in view["steps"] if step["name"] == "answer"]
    assert answers == ["".join(f"{number} " for number in range(60))] * 2
    connection = client.call("connection")
    assert connection["gaps"] == 0
    assert {"live", "reconnecting"} <= set(connection["states"])


def test_a_person_answers_rates_uploads_cancels_and_deletes_with_a_token_that_ends(
    stack: Stack, follow: Follow
) -> None:
    stack.worker(APP)
    gateway = stack.gateway(STEPWIRE_AUTH_SECRETS="s" * 32, STEPWIRE_API_KEYS="k" * 32)
    gateway.client.headers["Authorization"] = f"Bearer {'k' * 32}"
    sid = gateway.create_session()
    client = follow(gateway, sid, TOKENS="k" * 32, TTL_S="2")
    client.wait_for_state("live")

    run_id = client.call("send", "ask")["run_id"]
    ask = gateway.open_ask(sid)
    client.call("answer", ask["id"], {"content": "Ada"})
    gateway.wait_for_end(sid, run_id)
    view = client.wait_until_current(gateway, sid)
    step = next(step for step in view["steps"] if step["name"] == "answer")
    client.call("rate", step["id"], 1, "good")
    [again] = view["actions"]
    run_id = client.call("click", again["id"])["run_id"]
    assert gateway.wait_for_end(sid, run_id)["status"] == "ok"
    view = client.wait_until_current(gateway, sid)
    assert view["actions"] == []
    assert "Hello again Ada" in [step["output"] for step in view["steps"]]
    element = client.call("upload", "a b.txt", "bytes")
    assert client.call("bytes", element["id"]) == "bytes"
    wait_until(
        lambda: {"refused"} <= set(client.call("connection")["reasons"]), "a token has ended"
    )
    view = client.wait_until_current(gateway, sid)
    assert view["feedback"][0]["comment"] == "good"
    assert [item["name"] for item in view["elements"]] == ["a b.txt"]

    run_id = client.call("send", "wait")["run_id"]
    wait_until(lambda: gateway.run(sid, run_id) is not None, "it runs")
    client.call("cancel", run_id)
    assert gateway.wait_for_end(sid, run_id)["status"] == "cancelled"

    client.call("delete")
    client.wait_for_state("closed")
    assert client.call("connection")["error"]["code"] == "session_not_found"
