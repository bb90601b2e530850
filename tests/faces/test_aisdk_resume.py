"""Answers that are taken up again: on another gateway, after deaths, after a cut."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from faces.app import WORDS
from faces.conftest import APP
from faces.ui_chat import chat, said
from stack import Gateway, Stack, wait_until
from stepwire_core.values.ids import new_id

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("usechat")]

SLOWLY = "".join(f"wörd{number} " for number in range(WORDS))
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
