"""Answers that are taken up again: on another gateway, after deaths, after a cut."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from faces.app import SLOWLY, WORDS
from faces.conftest import APP
from faces.ui_chat import Shown, chat, said
from faces.ui_fold import UiFold
from stack import Gateway, Stack, wait_until
from stepwire_core.values.ids import new_id
from stepwire_gateway.faces.aisdk.mapping import Chunk
from stepwire_gateway.faces.mapping import data_frame

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("usechat")]

HALF = "".join(f"wörd{number} " for number in range(WORDS // 2))
versions = pytest.mark.parametrize("package", ["ai5-first", "ai5", "ai6", "ai"])


def api(gateway: Gateway) -> str:
    return f"{gateway.url}/aisdk/chat"


def begin(gateway: Gateway, chat_id: str, text: str) -> None:
    """As a page that is left in mid-stream; some of the answer is there."""
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}
    body = {"id": chat_id, "messages": [message]}
    with gateway.client.stream("POST", "/aisdk/chat", json=body) as response:
        for line in response.iter_lines():
            if '"text-delta"' in line:
                return


def resumed(gate: Path) -> list[list[object]]:
    """Actions that have the stream of a gated answer up to its gate, and then the rest."""
    return [["beginResume"], ["untilText", len(HALF)], ["touch", str(gate)], ["ended"]]


@versions
def test_a_reloaded_page_has_the_whole_answer_once(
    faces: Gateway, tmp_path: Path, package: str
) -> None:
    chat_id, gate = new_id(), tmp_path / "gate"
    begin(faces, chat_id, f"gated {gate}")
    shown = chat(api(faces), chat_id, *resumed(gate), package=package)
    assert (shown.status, shown.errors, shown.text) == ("ready", [], SLOWLY)


def test_another_gateway_has_it_after_one_was_killed(
    shared_stack: Stack, faces: Gateway, tmp_path: Path
) -> None:
    chat_id, gate = new_id(), tmp_path / "gate"
    mortal = shared_stack.gateway(STEPWIRE_FACES="aisdk")
    begin(mortal, chat_id, f"gated {gate}")
    mortal.child.kill()
    assert chat(api(faces), chat_id, *resumed(gate)).text == SLOWLY


@pytest.mark.parametrize("package", ["ai6", "ai"])
def test_a_page_that_lost_its_connection_goes_on_without_a_doubled_character(
    faces: Gateway, package: str
) -> None:
    lost = ["cut", 12], said("slowly"), ["resume"]
    shown = chat(api(faces), new_id(), *lost, package=package)
    assert shown.finished[0]["isDisconnect"]
    assert (shown.text, len(shown.messages)) == (SLOWLY, 2)


def test_a_gateway_that_is_stopped_looks_to_the_chat_like_a_network_that_fails(
    shared_stack: Stack, faces: Gateway
) -> None:
    chat_id = new_id()
    leaving = shared_stack.gateway(STEPWIRE_FACES="aisdk")
    begin(leaving, chat_id, "wait")
    with leaving.client.stream("GET", f"/aisdk/chat/{chat_id}/stream") as response:
        lines = response.iter_lines()
        next(line for line in lines if '"text-delta"' in line)
        leaving.child.signal(signal.SIGTERM)
        with pytest.raises(Exception, match="peer closed"):
            list(lines)
    faces.client.post(f"/aisdk/chat/{chat_id}/stop")


def test_the_answer_of_a_killed_worker_goes_on_with_its_next_attempt(
    stack: Stack, tmp_path: Path
) -> None:
    chat_id, gate = new_id(), tmp_path / "gate"
    env = {"STEPWIRE_LEASE_S": "2", "STEPWIRE_MAX_ATTEMPTS": "2"}
    gateway = stack.gateway(STEPWIRE_FACES="aisdk", STEPWIRE_LEASE_S="2")
    worker = stack.worker(APP, **env)
    begin(gateway, chat_id, f"gated {gate}")
    worker.kill()
    stack.worker(APP, **env)
    shown = chat(api(gateway), chat_id, *resumed(gate))
    first, last = (part["text"] for part in shown.parts("text"))
    assert SLOWLY.startswith(first)
    assert last == SLOWLY
    assert shown.status == "ready"


def test_a_chat_whose_session_was_deleted_is_over(faces: Gateway) -> None:
    chat_id = new_id()
    begin(faces, chat_id, "wait")
    assert faces.client.delete(f"/v1/sessions/{chat_id}").status_code == 204
    wait_until(lambda: faces.client.get(f"/v1/sessions/{chat_id}").status_code == 404, "gone")
    assert faces.client.get(f"/aisdk/chat/{chat_id}/stream").status_code == 204


def workflow(gateway: Gateway, chat_id: str, *actions: list[object], **options: object) -> Shown:
    """The transport of the Workflow SDK, on the version of ``ai`` that it is made for."""
    api = f"{gateway.url}/aisdk/workflow"
    return chat(api, chat_id, *actions, package="ai6", transport="workflow", **options)


@pytest.mark.parametrize("chunks", [1, 2, 3, 10, 41, 60])
def test_a_cut_connection_goes_on_at_the_number_of_the_next_chunk(
    faces: Gateway, chunks: int
) -> None:
    shown = workflow(faces, new_id(), ["cut", chunks], said("slowly"))
    assert (shown.status, shown.text) == ("ready", SLOWLY)
    first, again = shown.requests
    # What came and was not read yet is lost with the connection.
    assert 0 <= int(again["url"].rpartition("=")[2]) <= chunks
    assert first["runId"] == again["runId"]


def test_tools_files_and_nested_steps_go_on_at_any_number(faces: Gateway) -> None:
    chat_id = new_id()
    whole = workflow(faces, chat_id, said("tools"))
    run_id = whole.requests[0]["runId"]
    assert [part["output"] for part in whole.parts("dynamic-tool")] == [
        {"city": "Rome", "degrees": 21}
    ]
    path = f"/aisdk/workflow/{run_id}/stream"
    chunks = _frames(faces, path, 0)
    for at in range(len(chunks)):
        rest = _frames(faces, path, at)
        assert len(rest) == len(chunks) - at
        assert _shown(chunks[:at] + rest) == _shown(chunks)


def test_a_reloaded_page_with_numbers_has_the_whole(faces: Gateway, tmp_path: Path) -> None:
    chat_id, gate = new_id(), tmp_path / "gate"
    begin(faces, chat_id, f"gated {gate}")
    shown = workflow(faces, chat_id, *resumed(gate))
    assert shown.text == SLOWLY


def test_a_client_that_wants_the_last_chunks_gets_parts_that_it_can_show(
    faces: Gateway, tmp_path: Path
) -> None:
    chat_id, gate = new_id(), tmp_path / "gate"
    begin(faces, chat_id, f"gated {gate}")
    cut: list[list[object]] = [["cut", 9], ["beginResume"]]
    cut += [["untilText", 12], ["touch", str(gate)], ["ended"]]
    shown = workflow(faces, chat_id, *cut, startIndex=-5)
    assert shown.errors == []
    assert (shown.status, shown.text) == ("ready", SLOWLY)
    first, again = (request["url"].rpartition("=")[2] for request in shown.requests)
    assert first == "-5"
    assert 0 < int(again) <= 9


def test_stop_ends_a_stream_that_was_resumed(faces: Gateway, tmp_path: Path) -> None:
    chat_id, gate = new_id(), tmp_path / "gate"
    begin(faces, chat_id, f"gated {gate}")
    stopped = ["beginResume"], ["untilText", len(HALF)], ["stop"], ["ended"]
    shown = chat(api(faces), chat_id, *stopped)
    assert (shown.status, shown.text) == ("ready", HALF)
    assert faces.client.post(f"/aisdk/chat/{chat_id}/stop").status_code == 204
    assert faces.wait_for_end(chat_id, shown.answer["id"])["status"] == "cancelled"


def test_a_number_before_the_log_is_refused_and_the_whole_is_still_there(stack: Stack) -> None:
    chat_id = new_id()
    gateway = stack.gateway(STEPWIRE_FACES="aisdk", STEPWIRE_LOG_MAX_EVENTS="100")
    stack.worker(APP, STEPWIRE_LOG_MAX_EVENTS="100")
    whole = workflow(gateway, chat_id, said("many"))
    path = f"/aisdk/workflow/{whole.requests[0]['runId']}/stream"
    refused = gateway.client.get(path, params={"startIndex": 7})
    assert refused.status_code == 400
    assert "startIndex=7" in refused.text
    text = [chunk["delta"] for chunk in _frames(gateway, path, 0) if chunk["type"] == "text-delta"]
    assert "".join(text) == whole.text


def _shown(chunks: list[Chunk]) -> dict[str, object]:
    fold = UiFold()
    for chunk in chunks:
        fold.take(data_frame(chunk))
    return vars(fold)


def _frames(gateway: Gateway, path: str, at: int) -> list[Chunk]:
    response = gateway.client.get(path, params={"startIndex": at})
    assert response.status_code == 200, response.text
    lines = [line for line in response.text.split("\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]
