"""Agents of the stock package ``@ag-ui/client`` at a real gateway and worker: its schemas and its
checks of the sequence take every stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from faces.agui_agent import CLIENTS, NEWEST, VERSIONS, Agent, agent, starting
from npm_packages import installed
from stack import Gateway, Stack
from stepwire_core.values.ids import new_id
from tokens import SECRET, token

APP = Path(__file__).with_name("agui_app.py")

pytestmark = pytest.mark.timeout(300)
OLDER = [pytest.param(package, marks=pytest.mark.long) for package in VERSIONS[:-1]]
versions = pytest.mark.parametrize("package", [NEWEST, *OLDER])


@pytest.fixture(scope="module")
def gateway(shared_stack: Stack) -> Gateway:
    installed(CLIENTS)
    shared_stack.worker(APP, STEPWIRE_LEASE_S="2")
    return shared_stack.gateway(STEPWIRE_FACES="agui")


def url(gateway: Gateway) -> str:
    return f"{gateway.url}/agui"


def run(text: object, **options: Any) -> list[Any]:
    return ["run", {"text": text, **options}]


@versions
def test_text_tools_and_nested_steps_of_all_versions(gateway: Gateway, package: str) -> None:
    found = agent(url(gateway), new_id(), run("hello"), run("tools"), run("plain"), package=package)
    assert [one["error"] for one in found.runs] == [None] * 3
    assert found.texts == [
        ("user", "hello"),
        ("assistant", "Welcome"),
        ("assistant", "You said: hello 😀 "),
        ("user", "tools"),
        ("tool", '{\n    "city": "Rome",\n    "degrees": 21\n}'),
        ("assistant", "it is warm"),
        ("assistant", "21 degrees"),
        ("user", "plain"),
        ("tool", "empty"),
    ]
    called = [
        call["function"] for message in found.messages for call in message.get("toolCalls", ())
    ]
    assert [(call["name"], json.loads(call["arguments"])) for call in called] == [
        ("weather", {"city": "Rome"}),
        ("look", {"input": "in the cupboard"}),
    ]
    [finished] = found.events("RUN_FINISHED", 1)
    assert finished["usage"] == [{"inputTokens": 3, "outputTokens": 5, "totalTokens": 8}]
    is_newest = package == NEWEST
    assert bool(found.events("SUBAGENT_STARTED", 1)) == is_newest
    names = [event["stepName"].split(" (")[0] for event in found.events("STEP_STARTED", 1)]
    assert names == (["model"] if is_newest else ["research", "model"])


def test_a_run_needs_no_snapshot_of_messages_and_has_one_end(gateway: Gateway) -> None:
    """A snapshot in mid-run keeps some clients from showing text as it comes."""
    found = agent(url(gateway), new_id(), run("hello"), run("tools"), run("fails"), run("hello"))
    for number in range(4):
        types = found.types(number)
        assert "MESSAGES_SNAPSHOT" not in types
        assert [types.count(end) for end in ("RUN_FINISHED", "RUN_ERROR")] in ([1, 0], [0, 1])


def test_the_state_is_the_tree_of_the_run_beside_the_application_s(gateway: Gateway) -> None:
    found = agent(url(gateway), new_id(), run("tools", state={"mine": 1}))
    assert found.state["mine"] == 1
    steps = {step["name"]: step for step in found.tree["steps"].values()}
    assert steps["weather"]["parent_id"] == steps["research"]["id"]
    assert (steps["research"]["output"], steps["model"]["output"]) == ("found", "thinking")
    assert {run["status"] for run in found.tree["runs"].values()} == {"ok"}


def test_subagents_own_what_is_below_them(gateway: Gateway) -> None:
    found = agent(url(gateway), new_id(), run("tools"))
    [research] = found.events("SUBAGENT_STARTED")
    owned = {m.get("content") or "call" for m in found.messages if "subagentRunId" in m}
    assert {m["subagentRunId"] for m in found.messages if "subagentRunId" in m} == {
        research["subagentRunId"]
    }
    assert "it is warm" in owned
    assert "21 degrees" not in owned


@versions
def test_an_error_ends_the_run_as_one(gateway: Gateway, package: str) -> None:
    found = agent(url(gateway), new_id(), run("fails"), package=package)
    assert found.runs[0]["outcome"] == "error"
    assert found.runs[0]["error"] == "the model is away"
    assert found.events("RUN_ERROR")[0]["code"] == "RuntimeError"
    assert ("assistant", "so far") in found.texts
    assert ("tool", "RuntimeError: the model is away") in found.texts


@versions
def test_files_are_activities_with_an_address(gateway: Gateway, package: str) -> None:
    found = agent(url(gateway), new_id(), run("files"), package=package)
    [picture] = [message for message in found.messages if message["role"] == "activity"]
    assert picture["content"]["mime"] == "image/png"
    answer = gateway.client.get(picture["content"]["url"])
    assert answer.content.startswith(b"\x89PNG")


def test_a_person_s_files_come_with_the_message(gateway: Gateway) -> None:
    source = {"type": "data", "value": "aGVsbG8=", "mimeType": "text/plain"}
    part = {"type": "document", "source": source, "metadata": {"filename": "note.txt"}}
    found = agent(url(gateway), new_id(), run([{"type": "text", "text": "read"}, part]))
    assert ("assistant", "note.txt: hello") in found.texts
    assert ("assistant", "You said: read 😀 ") in found.texts


@versions
def test_what_is_changed_or_removed_is_so_for_the_client(gateway: Gateway, package: str) -> None:
    found = agent(url(gateway), new_id(), run("corrects"), package=package)
    assert found.runs[0]["error"] is None
    said = [text for role, text in found.texts if role == "assistant"]
    assert said == ["Welcome", "Rome is the capital", "done"]


def test_what_a_run_has_started_is_shown_with_it(gateway: Gateway) -> None:
    found = agent(url(gateway), new_id(), run("delegates"))
    assert [text for _, text in found.texts[2:]] == ["about Rome", "delegated"]


def test_what_the_client_sends_aside_is_told_to_the_handler(gateway: Gateway) -> None:
    tools = [{"name": "paint", "description": "", "parameters": {}}]
    options = {"tools": tools, "props": {"tenant": "a"}, "state": {"mine": 1}}
    found = agent(url(gateway), new_id(), run("aside", **options))
    told = found.texts[-1][1]
    assert "'forwardedProps': {'tenant': 'a'}" in told
    assert "'state': {'mine': 1}" in told
    assert "'name': 'paint'" in told


# -- asks ----------------------------------------------------------------------------------------


def test_an_ask_is_an_interrupt_that_goes_on_when_it_is_resumed(gateway: Gateway) -> None:
    found = agent(url(gateway), new_id(), run("ask"), ["answer", {"content": "Ada"}])
    first, second = found.runs
    [interrupt] = first["interrupts"]
    assert (interrupt["reason"], interrupt["message"]) == ("input_required", "Your name?")
    assert interrupt["responseSchema"]["required"] == ["content"]
    assert found.events("SUBAGENT_FINISHED", 0)[0]["outcome"]["type"] == "suspended"
    assert (second["error"], second["outcome"]) == (None, "success")
    assert [text for _, text in found.texts] == [
        *("ask", "Welcome", "Your name?", "Ada", "Hello Ada"),
    ]


def test_a_choice_is_resumed_by_the_name_of_an_action(gateway: Gateway) -> None:
    found = agent(url(gateway), new_id(), run("choose"), ["answer", {"action": "yes"}])
    assert found.runs[0]["interrupts"][0]["reason"] == "confirmation"
    assert found.texts[-1] == ("assistant", "You chose yes")


def test_an_interrupt_that_is_cancelled_cancels_the_run(gateway: Gateway) -> None:
    found = agent(url(gateway), new_id(), run("ask"), ["answer", None, "cancelled"])
    assert (found.runs[1]["outcome"], found.runs[1]["error"]) == ("cancelled", None)


def test_an_element_that_asks_is_a_call_of_the_client_s_own_tool(gateway: Gateway) -> None:
    tools = [{"name": "paint", "description": "", "parameters": {}}]
    painted = ["result", '{"done": true}', {"tools": tools}]
    found = agent(url(gateway), new_id(), run("paint red", tools=tools), painted)
    first, second = found.runs
    calls = [call for message in found.messages for call in message.get("toolCalls", ())]
    assert [call["function"]["name"] for call in calls] == ["paint"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"colour": "red"}
    assert (first["outcome"], first["pending"]) == ("success", [calls[0]["id"]])
    assert second["error"] is None
    assert "'done': True" in found.texts[-1][1]


def test_an_answer_that_does_not_fit_is_refused_and_the_ask_stays_open(gateway: Gateway) -> None:
    thread = new_id()
    found = agent(url(gateway), thread, run("ask"), ["answer", {"files": []}])
    assert found.runs[1]["status"] == 422
    assert found.runs[1]["payload"]["error"] == "invalid_request"
    assert gateway.open_ask(thread)["status"] == "open"


# -- coming back ----------------------------------------------------------------------------------


@versions
def test_a_run_that_is_run_again_with_its_id_goes_on_without_a_doubled_character(
    gateway: Gateway, package: str
) -> None:
    """The network fails in mid-stream; the client, which has a part of the answer, asks again."""
    first = run("slowly", id="said", runId="run-1")
    again = ["run", {"runId": "run-1"}]
    found = agent(url(gateway), new_id(), ["cut", 30], first, again, package=package)
    assert found.runs[0]["error"] is not None
    assert found.runs[1]["error"] is None
    assert_slow_answer(found)


def test_a_reloaded_client_that_knows_its_message_gets_the_whole(gateway: Gateway) -> None:
    said = {"id": "said", "role": "user", "content": "slowly"}
    first: list[Any] = ["begin", {"text": "slowly", "id": "said", "runId": "run-1"}]
    actions: list[list[Any]] = [
        first,
        ["untilText", 40],
        ["abort"],
        ["reload", [said]],
        ["run", {"runId": "run-1"}],
    ]
    found = agent(url(gateway), new_id(), *actions)
    assert found.runs[1]["error"] is None
    assert_slow_answer(found)


@versions
def test_a_client_that_sends_its_last_id_goes_on_in_the_same_run(
    gateway: Gateway, package: str
) -> None:
    actions: list[list[Any]] = [["comeBack"], ["cut", 40], run("slowly")]
    found = agent(url(gateway), new_id(), *actions, package=package)
    assert found.requests[1]["after"] is not None
    [only] = found.runs
    if only["error"] is None:
        assert_slow_answer(found)
    else:
        # It was cut within what one event tells.
        assert "/" in found.requests[1]["after"]


def test_an_answer_can_be_made_again(gateway: Gateway) -> None:
    found = agent(url(gateway), new_id(), run("hello"), ["again"])
    assert found.runs[1]["error"] is None
    assert found.texts[-1] == ("assistant", "You said: hello 😀 ")
    assert [role for role, _ in found.texts].count("user") == 1


def test_the_gateway_is_killed_in_mid_stream(shared_stack: Stack, gateway: Gateway) -> None:
    doomed, thread = shared_stack.gateway(STEPWIRE_FACES="agui"), new_id()
    first: list[Any] = ["begin", {"text": "slowly", "id": "said", "runId": "run-1"}]
    at_another = ["url", url(gateway)]
    actions: list[list[Any]] = [
        first,
        ["untilText", 60],
        ["tell"],
        ["ended"],
        at_another,
        ["run", {"runId": "run-1"}],
    ]
    with starting(url(doomed), thread, *actions) as process:
        process.until("tell")
        doomed.child.kill()
        found = process.end()
    assert found.runs[0]["error"] is not None, "a stream without an end is not a success"
    assert found.runs[1]["error"] is None
    assert_slow_answer(found)


def test_the_worker_is_killed_in_mid_stream(stack: Stack) -> None:
    installed(CLIENTS)
    gateway, thread = stack.gateway(STEPWIRE_FACES="agui"), new_id()
    doomed = stack.worker(APP, STEPWIRE_LEASE_S="2")
    actions: list[list[Any]] = [
        ["begin", {"text": "slowly"}],
        ["untilText", 60],
        ["tell"],
        ["ended"],
    ]
    with starting(url(gateway), thread, *actions) as process:
        process.until("tell")
        doomed.kill()
        stack.worker(APP, STEPWIRE_LEASE_S="2")
        found = process.end()
    [only] = found.runs
    assert only["outcome"] == "error"
    assert found.events("RUN_ERROR")[0]["code"] == "interrupted"
    assert found.events("SUBAGENT_ERROR")[0]["code"] == "WorkerLost"


@versions
def test_a_run_that_is_cancelled_ends_as_its_version_knows(gateway: Gateway, package: str) -> None:
    thread = new_id()
    actions: list[list[Any]] = [["begin", {"text": "wait"}], ["untilText", 14], ["tell"], ["ended"]]
    with starting(url(gateway), thread, *actions, package=package) as process:
        process.until("tell")
        [running] = [r for r in gateway.snapshot(thread)["runs"] if r["status"] == "running"]
        path = f"/v1/sessions/{thread}/runs/{running['run_id']}/cancel"
        gateway.client.post(path).raise_for_status()
        found = process.end()
    assert found.runs[0]["outcome"] == ("cancelled" if package == NEWEST else "error")
    if package != NEWEST:
        assert found.events("RUN_ERROR")[0]["code"] == "cancelled"


def test_a_gateway_that_leaves_says_so_with_a_terminal_event(
    shared_stack: Stack, gateway: Gateway
) -> None:
    leaving, thread = shared_stack.gateway(STEPWIRE_FACES="agui"), new_id()
    actions: list[list[Any]] = [["begin", {"text": "wait"}], ["untilText", 14], ["tell"], ["ended"]]
    with starting(url(leaving), thread, *actions) as process:
        process.until("tell")
        leaving.child.stop()
        found = process.end()
    assert found.events("RUN_ERROR")[-1]["code"] == "stream_ended"


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({}, "threadId"),
        ({"threadId": "t", "runId": "r", "messages": []}, "messages"),
        ({"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user"}]}, "empty"),
        ({"threadId": "t", "runId": "r", "messages": "no"}, "messages"),
        ({"threadId": "t", "runId": "r", "messages": [], "resume": []}, "resume"),
        (
            {
                "threadId": "t",
                "runId": "r",
                "messages": [{"id": "m", "role": "user", "content": "\ud800"}],
            },
            "messages",
        ),
        (
            {
                "threadId": "t",
                "runId": "r",
                "messages": [],
                "resume": [{"interruptId": "none", "status": "resolved"}],
            },
            "session",
        ),
    ],
)
def test_what_is_no_run_is_refused_in_the_client_s_form(
    gateway: Gateway, body: dict[str, Any], what: str
) -> None:
    thread = new_id()
    body = body | ({"threadId": thread} if "threadId" in body else {})
    answer = gateway.client.post("/agui", content=json.dumps(body), headers=JSON)
    assert answer.status_code in (404, 422), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert what in answer.json()["message"]
    assert gateway.client.get(f"/v1/sessions/{thread}").status_code == 404, "nothing is started"


JSON = {"content-type": "application/json"}


def test_a_last_id_of_another_form_is_refused(gateway: Gateway) -> None:
    said = {"id": "m", "role": "user", "content": "hello"}
    body = {"threadId": new_id(), "runId": "r", "messages": [said]}
    for given in ("x", "1-2/x"):
        answer = gateway.client.post("/agui", json=body, headers={"Last-Event-ID": given})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_cursor")


def test_a_token_opens_threads_under_its_pattern(shared_stack: Stack, gateway: Gateway) -> None:
    guarded = shared_stack.gateway(STEPWIRE_FACES="agui", STEPWIRE_AUTH_SECRETS=SECRET)
    own = token("{sub}:*", rights=("read", "write"))
    found = agent(url(guarded), "thread", run("hello"), headers={"Authorization": f"Bearer {own}"})
    assert found.texts[-1] == ("assistant", "You said: hello 😀 ")
    headers = {"Authorization": f"Bearer {own}"}
    assert guarded.client.get("/v1/sessions/ada:thread", headers=headers).is_success
    refused = agent(url(guarded), "thread", run("hello"))
    assert (refused.runs[0]["status"], refused.runs[0]["payload"]["error"]) == (
        401,
        "unauthenticated",
    )


def test_the_face_is_off_unless_it_is_named(shared_stack: Stack, gateway: Gateway) -> None:
    del gateway
    plain = shared_stack.shared_gateway()
    assert plain.client.post("/agui", json={}).status_code == 404


def assert_slow_answer(found: Agent) -> None:
    said = [text for role, text in found.texts if role == "assistant"]
    assert said == ["Welcome", "".join(f"wörd{n} " for n in range(40)), "end"]
