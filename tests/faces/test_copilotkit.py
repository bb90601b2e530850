"""CopilotKit's runtime client, which its components stand on, at a real gateway and worker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faces.agui_agent import did, last_line
from npm_packages import NODE, installed
from stack import Gateway, Stack
from stepwire_core.values.ids import new_id
from tokens import SECRET, bearer, token

APP = Path(__file__).with_name("agui_app.py")
PACKAGES = Path(__file__).parents[2] / "examples" / "faces" / "copilotkit"
SLOWLY = "".join(f"wörd{number} " for number in range(40))

# Its packages take half a minute to install: make faces.
pytestmark = [pytest.mark.timeout(400), pytest.mark.long]


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    installed(PACKAGES)
    shared_stack.worker(APP)
    return shared_stack.gateway(STEPWIRE_FACES="copilotkit")


class Running:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def until(self, action: str) -> None:
        did(self._process, action)

    def end(self) -> dict[str, Any]:
        return last_line(self._process)


@contextmanager
def starting(
    gateway: Gateway, thread: str, *actions: list[Any], **options: Any
) -> Iterator[Running]:
    asked = {
        "packages": str(PACKAGES),
        "url": f"{gateway.url}/copilotkit",
        "thread": thread,
        "actions": actions,
        "tells": True,
        **options,
    }
    command = [str(NODE), str(Path(__file__).with_name("copilot.mjs"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked))
            process.stdin.close()
            yield Running(process)
        finally:
            process.kill()


def client(gateway: Gateway, thread: str, *actions: list[Any], **options: Any) -> dict[str, Any]:
    with starting(gateway, thread, *actions, **options) as running:
        return running.end()


def texts(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(m["role"], m["content"]) for m in found["messages"] if "content" in m]


def test_a_chat_and_its_history_are_the_same(gateway: Gateway) -> None:
    thread = new_id()
    found = client(gateway, thread, ["say", "tools"], ["run"], ["say", "files"], ["run"])
    assert (found["status"], found["errors"]) == ("connected", [])
    again = client(gateway, thread, ["connect"])
    assert again["errors"] == []
    assert sorted(texts(again), key=str) == sorted(texts(found), key=str)
    assert ("assistant", "Welcome") in texts(again)


def test_a_thread_that_is_not_there_is_empty(gateway: Gateway) -> None:
    found = client(gateway, new_id(), ["connect"])
    assert (found["messages"], found["errors"]) == ([], [])


def test_a_failed_run_does_not_hide_what_came_before(gateway: Gateway) -> None:
    thread = new_id()
    client(gateway, thread, ["say", "hello"], ["run"], ["say", "fails"], ["run"])
    found = client(gateway, thread, ["connect"])
    assert found["errors"] == []
    assert ("assistant", "so far") in texts(found)


def test_connect_follows_a_run_that_nobody_in_the_browser_has_started(gateway: Gateway) -> None:
    thread = gateway.create_session()
    gateway.send(thread, "slowly")
    found = client(gateway, thread, ["connect"])
    assert texts(found) == [
        ("assistant", "Welcome"),
        ("user", "slowly"),
        ("assistant", SLOWLY),
        ("assistant", "end"),
    ]


def test_connect_follows_what_begins_later_if_the_page_says_so(gateway: Gateway) -> None:
    thread, properties = gateway.create_session(), {"stepwire": {"follow": True}}
    actions: list[list[Any]] = [
        ["follow"],
        ["untilText", "Welcome"],
        ["tell"],
        ["untilText", "end"],
        ["detach"],
    ]
    with starting(gateway, thread, *actions, properties=properties) as running:
        running.until("tell")
        gateway.send(thread, "slowly")
        found = running.end()
    assert texts(found)[-2:] == [("assistant", SLOWLY), ("assistant", "end")]
    assert found["errors"] == []


def test_stop_cancels_the_run_that_the_client_has_started(gateway: Gateway) -> None:
    thread = new_id()
    actions: list[list[Any]] = [["say", "wait"], ["begin"], ["untilText", "waiting"], ["stop"]]
    found = client(gateway, thread, *actions)
    assert (found["errors"], found["isRunning"]) == ([], False)
    [run] = [r for r in gateway.snapshot(thread)["runs"] if r["handler"] == "on_message"]
    assert run["status"] == "cancelled"


def test_an_ask_is_answered_after_a_reload(gateway: Gateway) -> None:
    thread = new_id()
    actions: list[list[Any]] = [
        ["say", "ask"],
        ["run"],
        ["reload"],
        ["connect"],
        ["answer", {"content": "Ada"}],
    ]
    found = client(gateway, thread, *actions)
    assert found["errors"] == []
    assert texts(found)[-1] == ("assistant", "Hello Ada")


def test_threads_are_listed_renamed_and_deleted(gateway: Gateway) -> None:
    one, other = new_id(), new_id()
    client(gateway, one, ["say", "hello"], ["run"])
    client(gateway, other, ["say", "plain"], ["run"])
    changes = [["renameThread", one, "A name"], ["deleteThread", other], ["archiveThread", one]]
    changed = client(gateway, one, ["threads", *changes])
    assert [error[0] for error in changed["errors"]] == ["archiveThread"]
    listed = {t["id"]: t for t in client(gateway, one, ["threads"])["threads"]}
    assert (listed[one]["name"], listed[one]["archived"]) == ("A name", False)
    assert other not in listed
    for path, name in (("messages", "messages"), ("state", "state")):
        told = gateway.client.get(f"/copilotkit/threads/{one}/{path}")
        assert told.json()[name]


def test_a_token_sees_its_own_threads(shared_stack: Stack, gateway: Gateway) -> None:
    del gateway
    guarded = shared_stack.gateway(STEPWIRE_FACES="copilotkit", STEPWIRE_AUTH_SECRETS=SECRET)
    own = bearer(token("{sub}:*", rights=("read", "write"), sub="cleo"))
    found = client(guarded, "mine", ["say", "hello"], ["run"], ["threads"], headers=own)
    assert [thread["id"] for thread in found["threads"]] == ["cleo:mine"]
    refused = client(guarded, "cleo:mine", headers={})
    assert refused["status"] == "error"
    eve = bearer(token("{sub}:*", rights=("read", "write"), sub="eve"))
    paths = ("/copilotkit/threads/cleo:mine/messages", "/copilotkit/threads/cleo:mine/state")
    for path in paths:
        assert guarded.client.get(path, headers=eve).status_code in (403, 404)
    stop = "/copilotkit/agent/default/stop/cleo:mine"
    assert guarded.client.post(stop, headers=own).status_code == 403, "that needs 'cancel'"
