"""LangGraph's stock ``useStream`` at a real gateway and worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from faces.app import SLOWLY
from faces.conftest import APP
from faces.stream_hook import PACKAGES, starting, thread
from npm_packages import installed
from stack import Gateway, Stack
from stepwire_cli.dev.embedded_server import free_port
from stepwire_core.values.ids import new_id

# make faces; test_langgraph_attach.py needs no packages.
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("packages"),
    pytest.mark.long,
]

versions = pytest.mark.parametrize("package", ["react", "sdk"])
"""``useStream`` of ``@langchain/react``, and the controller of the newer SDK below it."""


@pytest.fixture(scope="module")
def packages() -> Path:
    return installed(PACKAGES)


@pytest.fixture(scope="module")
def langgraph(shared_stack: Stack) -> Gateway:
    shared_stack.worker(APP)
    return shared_stack.gateway(STEPWIRE_FACES="langgraph")


@versions
def test_a_thread_shows_text_and_goes_on_after_a_reload(langgraph: Gateway, package: str) -> None:
    id_ = new_id()
    shown = thread(
        langgraph.url, id_, ["submit", "hello"], ["submit", "again"], ["reload"], package=package
    )
    assert (shown.error, shown.is_loading) == (None, False)
    assert shown.texts == [
        ("human", "hello"),
        ("ai", "You said: hello 😀 "),
        ("human", "again"),
        ("ai", "You said: again 😀 "),
    ]


# Once in some ten runs on a busy machine the hook never has the tool below the subgraph.
def test_tools_stand_in_the_namespaces_of_the_step_tree(langgraph: Gateway) -> None:
    id_ = new_id()
    until = ["submit", "tools"], ["untilNested"]
    shown = thread(langgraph.url, id_, *until, nested=True)
    [graph] = shown.subgraphs
    assert (graph["namespace"][0].partition(":")[0], graph["status"]) == ("research", "complete")
    [call] = shown.nested
    assert (call["name"], call["output"]) == ("weather", {"city": "Rome", "degrees": 21})
    assert shown.texts[-1] == ("ai", "21 degrees")


def test_a_tool_of_the_thread_is_a_call_and_its_result_also_after_a_reload(
    langgraph: Gateway,
) -> None:
    id_ = new_id()
    live = thread(langgraph.url, id_, ["submit", "broken"])
    [call] = live.tool_calls
    assert (call["name"], call["output"]) == ("broken", "no weather in Atlantis")
    assert [message["calls"] for message in live.messages] == [[], ["broken"], [], []]
    again = thread(langgraph.url, id_)
    assert (
        again.texts
        == live.texts
        == [
            ("human", "broken"),
            ("ai", ""),
            ("tool", "no weather in Atlantis"),
            ("ai", "there is none"),
        ]
    )
    # The hook's own version of the SDK takes no calls from a state; the newer one does.
    assert thread(langgraph.url, id_, package="sdk").tool_calls == live.tool_calls


@versions
def test_an_ask_is_an_interrupt_and_its_answer_goes_on_in_the_same_run(
    langgraph: Gateway, package: str
) -> None:
    id_ = new_id()
    asking = ["begin", "ask"], ["untilAsked"], ["reload"], ["untilAsked"]
    shown = thread(langgraph.url, id_, *asking, ["respond", "Ada"], ["untilIdle"], package=package)
    assert (shown.error, shown.interrupts) == (None, [])
    assert [text for _, text in shown.texts] == ["ask", "Your name?", "Ada", "Hello Ada"]
    assert [path for _, path, status in shown.requests if status != 200] == []


@versions
def test_a_run_that_fails_is_the_error_of_the_hook(langgraph: Gateway, package: str) -> None:
    shown = thread(langgraph.url, new_id(), ["submit", "fail"], package=package)
    assert (shown.error, shown.is_loading) == ("the model is away", False)
    assert shown.texts[:2] == [("human", "fail"), ("ai", "so far")]


@versions
def test_stop_cancels_the_run(langgraph: Gateway, package: str) -> None:
    id_ = new_id()
    waiting = ["begin", "wait"], ["untilText", "waiting"]
    shown = thread(langgraph.url, id_, *waiting, ["stop"], ["untilIdle"], package=package)
    assert shown.texts == [("human", "wait"), ("ai", "waiting")]
    [run] = [run for run in langgraph.snapshot(id_)["runs"] if run["handler"] == "on_message"]
    assert langgraph.wait_for_end(id_, run["run_id"])["status"] == "cancelled"


def test_a_text_that_is_written_anew_is_replaced(langgraph: Gateway) -> None:
    id_ = new_id()
    live = thread(langgraph.url, id_, ["submit", "rewrite"])
    assert [text for _, text in live.texts][-1].startswith("thinking is done")
    assert thread(langgraph.url, id_).texts[-1] == ("ai", "thinking is done!")


@versions
def test_a_reload_and_a_lost_connection_in_mid_stream_have_every_character_once(
    langgraph: Gateway, tmp_path: Path, package: str
) -> None:
    id_, gate = new_id(), tmp_path / "gate"
    begun = ["begin", f"gated {gate}"], ["untilText", "wörd19"], ["cut", 0]
    rest = ["reload"], ["untilText", "wörd19"], ["touch", str(gate)], ["untilIdle"]
    shown = thread(langgraph.url, id_, *begun, *rest, package=package)
    assert shown.error is None
    assert shown.texts == [("human", f"gated {gate}"), ("ai", SLOWLY)]


def test_a_page_goes_on_at_another_gateway_when_its_own_is_killed(
    shared_stack: Stack, langgraph: Gateway, tmp_path: Path
) -> None:
    id_, gate, port = new_id(), tmp_path / "gate", free_port()
    mortal = shared_stack.gateway(port=port, STEPWIRE_FACES="langgraph")
    begun = ["begin", f"gated {gate}"], ["untilText", "wörd19"]
    rest = ["untilSeen", str(tmp_path / "dead")], ["touch", str(gate)], ["untilIdle"]
    with starting(mortal.url, id_, *begun, *rest, delayMs=3000) as page:
        page.until("untilText")
        mortal.child.kill()
        shared_stack.gateway(port=port, STEPWIRE_FACES="langgraph")
        (tmp_path / "dead").touch()
        shown = page.end()
    assert shown.error is None
    assert shown.texts == [("human", f"gated {gate}"), ("ai", SLOWLY)]


def test_what_a_killed_worker_has_said_stays_and_the_thread_says_that_it_ended(
    stack: Stack,
) -> None:
    id_, gateway = new_id(), stack.gateway(STEPWIRE_FACES="langgraph")
    doomed = stack.worker(APP, STEPWIRE_LEASE_S="2", STEPWIRE_MAX_ATTEMPTS="1")
    begun = ["begin", "wait"], ["untilText", "waiting"]
    with starting(gateway.url, id_, *begun, ["untilIdle"]) as page:
        page.until("untilText")
        doomed.kill()
        stack.worker(APP, STEPWIRE_LEASE_S="2", STEPWIRE_MAX_ATTEMPTS="1")
        shown = page.end()
    assert shown.texts == [("human", "wait"), ("ai", "waiting")]
    assert not shown.is_loading
    assert shown.error is not None
    assert "worker" in shown.error
