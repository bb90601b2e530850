"""The AI SDK's packages at a real gateway and worker. They check each chunk by their schemas."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from faces.app import SLOWLY
from faces.ui_chat import chat, said, text_of
from stack import Gateway
from stepwire_core.values.ids import new_id

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("usechat")]


versions = pytest.mark.parametrize(
    "package",
    [*("ai5-first", "ai"), *(pytest.param(one, marks=pytest.mark.long) for one in ("ai5", "ai6"))],
)


def api(gateway: Gateway) -> str:
    return f"{gateway.url}/aisdk/chat"


@versions
def test_a_chat_shows_text_tools_and_nested_steps(faces: Gateway, package: str) -> None:
    shown = chat(api(faces), new_id(), said("hello"), said("tools"), package=package)
    assert (shown.status, shown.errors) == ("ready", [])
    first, second = shown.messages[1], shown.messages[3]
    assert [part["text"] for part in first["parts"] if part["type"] == "text"] == [
        "You said: hello 😀 "
    ]
    [tool] = [part for part in second["parts"] if part["type"] == "dynamic-tool"]
    assert (tool["toolName"], tool["state"]) == ("weather", "output-available")
    assert tool["output"] == {"city": "Rome", "degrees": 21}
    steps = {part["data"]["name"]: part["data"] for part in shown.parts("data-step")}
    assert steps["weather"]["parent_id"] == steps["research"]["id"]
    assert steps["research"]["output"] == "found"
    assert shown.text == "21 degrees"


@versions
def test_a_tool_that_fails_says_so_and_the_answer_goes_on(faces: Gateway, package: str) -> None:
    shown = chat(api(faces), new_id(), said("broken"), package=package)
    [tool] = shown.parts("dynamic-tool")
    assert (tool["state"], tool["errorText"]) == ("output-error", "no weather in Atlantis")
    assert (shown.status, shown.text) == ("ready", "there is none")


def test_what_another_run_does_for_the_answer_is_a_part_of_it(faces: Gateway) -> None:
    chat_id = new_id()
    shown = chat(api(faces), chat_id, said("subtask"))
    [tool] = shown.parts("dynamic-tool")
    assert (tool["toolName"], tool["output"]["city"]) == ("weather", "Oslo")
    assert shown.text == "dug"
    assert faces.client.get(f"/aisdk/chat/{chat_id}/messages").json()[1]["parts"] != []


@versions
def test_a_run_that_fails_is_the_error_of_the_chat(faces: Gateway, package: str) -> None:
    shown = chat(api(faces), new_id(), said("fail"), package=package)
    assert (shown.status, shown.errors) == ("error", ["the model is away"])
    assert shown.text.startswith("so far")


@versions
def test_files_come_as_files_and_links_as_sources(faces: Gateway, package: str) -> None:
    shown = chat(api(faces), new_id(), said("files"), package=package)
    [file], [source] = shown.parts("file"), shown.parts("source-url")
    assert file["mediaType"] == "image/png"
    assert faces.client.get(file["url"]).content == b"\x89PNG\r\n\x1a\n"
    assert (source["url"], source["title"]) == ("https://papers.example/1", "paper")


@versions
def test_an_ask_is_answered_while_its_handler_waits(faces: Gateway, package: str) -> None:
    asking = ["begin", {"text": "ask"}], ["untilPart", "data-ask"], ["answer", {"content": "Ada"}]
    shown = chat(api(faces), new_id(), *asking, ["ended"], package=package)
    [ask] = shown.parts("data-ask")
    assert ask["data"]["status"] == "answered"
    assert shown.text == "Your name?Hello Ada"


@pytest.mark.parametrize("package", ["ai6", "ai"])
@pytest.mark.parametrize("approved", [True, False])
def test_a_tool_that_asks_waits_for_its_approval_and_the_message_goes_on(
    faces: Gateway, package: str, approved: bool
) -> None:
    asking = f"{api(faces)}?approvals=true"
    chat_id = new_id()
    waiting = chat(asking, chat_id, said("approve"), package=package)
    [tool] = waiting.parts("dynamic-tool")
    assert (waiting.status, tool["state"]) == ("ready", "approval-requested")
    assert waiting.text == "Let me see. hereMay I?"
    # As a page that is loaded anew while the tool waits.
    shown = chat(asking, chat_id, ["resume"], ["decide", approved], package=package)
    assert (shown.status, shown.errors) == ("ready", [])
    [tool] = shown.parts("dynamic-tool")
    assert (tool["state"], tool["output"]) == (
        "output-available",
        "deleted" if approved else "left",
    )
    assert [part["text"] for part in shown.parts("text")] == [
        *("Let me see. ", "here", "May I?"),
        "Done.",
    ]
    assert len(shown.parts("file")) == len(shown.messages) == 1
    [ask] = shown.parts("data-ask")
    assert ask["data"]["status"] == "answered"
    assert [request["status"] for request in shown.requests] == [200, 200]
    told = faces.client.get(f"/aisdk/chat/{chat_id}/messages").json()[1]
    assert told["metadata"]["status"] == shown.answer["metadata"]["status"] == "ok"


@versions
def test_a_chat_that_knows_no_approvals_gets_the_same_ask_as_all_others(
    faces: Gateway, package: str
) -> None:
    asking = ["begin", {"text": "approve"}], ["untilPart", "data-ask"]
    shown = chat(api(faces), new_id(), *asking, package=package)
    [ask] = shown.parts("data-ask")
    assert [action["name"] for action in ask["data"]["actions"]] == ["no", "yes"]
    assert shown.parts("dynamic-tool")[0]["state"] == "input-available"


def test_an_approval_that_comes_too_late_or_for_another_ask_is_refused(faces: Gateway) -> None:
    chat_id = new_id()
    run_id = chat(f"{api(faces)}?approvals=true", chat_id, said("approve")).answer["id"]
    ask = faces.open_ask(chat_id)

    def decide(approved: bool, ask_id: str) -> httpx.Response:
        approval = {"id": ask_id, "approved": approved}
        part = {"type": "dynamic-tool", "state": "approval-responded", "approval": approval}
        message = {"id": run_id, "role": "assistant", "parts": [part]}
        # As where another message was sent while the tool waits.
        later = {"id": new_id(), "role": "user", "parts": []}
        body = {"id": chat_id, "messages": [message, later], "messageId": run_id}
        return faces.client.post("/aisdk/chat?approvals=true", json=body)

    assert decide(True, "another").status_code == 404
    assert decide(True, ask["id"]).status_code == 200
    assert faces.wait_for_end(chat_id, run_id)["status"] == "ok"
    assert decide(True, ask["id"]).status_code == 200
    late = decide(False, ask["id"])
    assert (late.status_code, late.headers["content-type"][:10]) == (409, "text/plain")


@versions
def test_usage_is_in_the_metadata_of_the_message(faces: Gateway, package: str) -> None:
    answer = chat(api(faces), new_id(), said("usage"), package=package).answer
    assert answer["metadata"]["usage"] == {"input_tokens": 3, "output_tokens": 5, "cost": 0.0}
    assert (answer["metadata"]["status"], answer["metadata"]["run_id"]) == ("ok", answer["id"])


@versions
def test_the_stop_route_cancels_the_run_and_the_chat_is_ready(faces: Gateway, package: str) -> None:
    chat_id = new_id()
    waiting = ["begin", {"text": "wait"}], ["untilText", 7]
    shown = chat(api(faces), chat_id, *waiting, ["post", f"/{chat_id}/stop"], ["ended"])
    assert (shown.status, shown.text) == ("ready", "waiting")
    run = faces.wait_for_end(chat_id, shown.answer["id"])
    assert run["status"] == "cancelled"


def test_stop_of_the_chat_alone_leaves_the_run_to_be_resumed(faces: Gateway) -> None:
    chat_id = new_id()
    begun = ["begin", {"text": "slowly"}], ["untilText", 20], ["stop"], ["resume"]
    shown = chat(api(faces), chat_id, *begun)
    assert shown.text == SLOWLY
    assert len(shown.messages) == 2


@versions
def test_a_message_that_was_changed_or_is_to_be_answered_again_is_told_to_the_handler(
    faces: Gateway, package: str
) -> None:
    shown = chat(
        api(faces),
        new_id(),
        ["send", {"id": "m1", "parts": [{"type": "text", "text": "first"}], "role": "user"}],
        ["send", {"text": "context", "messageId": "m1"}],
        ["regenerate"],
        ["regenerate"],
        said("context again"),
        package=package,
    )
    answers = [text for text in map(text_of, shown.messages) if "|" in text]
    assert answers == [
        "regenerate | user: context",
        "submit | user: context | assistant: regenerate | user: context | user: context again",
    ]
    assert [message["role"] for message in shown.messages] == ["user", "assistant"] * 2


def test_an_edited_message_is_another_one_that_takes_its_place(faces: Gateway) -> None:
    changed = ["send", {"text": "context", "messageId": "m1"}]
    first = ["send", {"id": "m1", "parts": [{"type": "text", "text": "one"}], "role": "user"}]
    shown = chat(api(faces), new_id(), first, said("two"), changed)
    assert shown.text == "edit | user: context"


def test_files_of_a_person_reach_the_handler(faces: Gateway) -> None:
    note = {"type": "file", "mediaType": "text/plain", "filename": "note.txt"}
    note["url"] = "data:text/plain;base64,aGkgdGhlcmU="
    shown = chat(api(faces), new_id(), ["send", {"text": "read", "files": [note]}])
    assert shown.text.startswith("note.txt: hi there")


def test_metadata_of_the_first_request_is_in_the_user_session(faces: Gateway) -> None:
    about = {"body": {"metadata": {"tenant": "acme"}}}
    shown = chat(api(faces), new_id(), ["send", {"text": "session"}, about])
    assert shown.text == "{'tenant': 'acme'}"


def test_a_text_that_is_written_anew_or_goes_on_is_another_part(
    faces: Gateway,
) -> None:
    shown = chat(api(faces), new_id(), said("rewrite"))
    told = [part["text"] for part in shown.parts("text")]
    assert told == ["thinking", "thought about it", "thinking is done", "!"]


def test_nothing_is_to_be_resumed_when_nothing_runs(faces: Gateway) -> None:
    chat_id = new_id()
    assert faces.client.get(f"/aisdk/chat/{chat_id}/stream").status_code == 204
    chat(api(faces), chat_id, said("hello"))
    assert faces.client.get(f"/aisdk/chat/{chat_id}/stream").status_code == 204
    assert faces.client.post(f"/aisdk/chat/{chat_id}/stop").status_code == 204


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "body.id: Field required; body.messages: Field required"),
        ({"id": "c", "messages": []}, "body.messages: List should have at least 1 item"),
        (
            {"id": "c", "messages": [{"id": "1", "role": "assistant", "parts": []}]},
            "messages: the last one is of the role 'assistant'; send one of the role 'user'",
        ),
        (
            {"id": "c", "messages": [{"id": "1", "role": "user", "parts": []}]},
            "a message needs content",
        ),
        (
            {
                "id": "c",
                "messages": [
                    {"id": "1", "role": "user", "parts": [{"type": "file", "url": "http://x"}]}
                ],
            },
            "a file of a message is sent as a data URL",
        ),
    ],
)
def test_what_is_not_a_chat_is_refused_in_words_and_starts_nothing(
    faces: Gateway, body: dict[str, object], detail: str
) -> None:
    chat_id = new_id()
    if "id" in body:
        body = body | {"id": chat_id}
    response = faces.client.post("/aisdk/chat", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert detail in response.text
    assert faces.client.get(f"/v1/sessions/{chat_id}").status_code == 404


@versions
def test_a_refusal_is_the_error_that_the_chat_shows(faces: Gateway, package: str) -> None:
    answered = ["send", {"id": "m", "role": "assistant", "parts": []}]
    shown = chat(api(faces), new_id(), answered, package=package)
    assert shown.status == "error"
    assert "the last one is of the role 'assistant'" in shown.errors[0]


@versions
def test_the_messages_of_a_chat_are_what_its_client_has(faces: Gateway, package: str) -> None:
    chat_id = new_id()
    shown = chat(
        api(faces),
        chat_id,
        ["send", {"id": "m1", "parts": [{"type": "text", "text": "first"}], "role": "user"}],
        ["send", {"text": "tools", "messageId": "m1"}],
        ["regenerate"],
        said("files"),
        package=package,
    )
    told = faces.client.get(f"/aisdk/chat/{chat_id}/messages").json()
    assert [_essence(message) for message in told] == [_essence(one) for one in shown.messages]


def _essence(message: dict[str, Any]) -> dict[str, Any]:
    """Without what older versions leave out, and what the session alone knows."""
    parts = [part for part in message["parts"] if part["type"] != "step-start"]
    kept = ("type", "text", "toolCallId", "state", "output", "input", "data", "url", "mediaType")
    is_user = message["role"] == "user"
    return {
        "id": message["id"],
        "role": message["role"],
        "parts": [{name: part[name] for name in kept if name in part} for part in parts],
        "metadata": None if is_user else message["metadata"],
    }
