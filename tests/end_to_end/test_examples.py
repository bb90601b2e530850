"""The examples of the page that our users know: unchanged but for the import, on the wire."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from openai_stub import openai_stub
from sse import Client, Received
from stack import Gateway, Stack
from stepwire_core.values.cursor import Cursor

EXAMPLES = Path(__file__).parents[2] / "examples"

LIMIT_S = 30

Line = tuple[str, str | None, str | None]


def read_to_the_end(gateway: Gateway, session: str, *, runs: int) -> list[Received]:
    """Everything on the wire of a new session, first byte to last, until so many runs are over."""
    # A cursor before the very first event.
    epoch = Cursor.parse(gateway.snapshot(session)["cursor"]).epoch
    client, over = Client(Cursor(epoch, 0)), set[str]()

    def enough(event: Received) -> bool:
        if event.type == "run.end" and not event.data["will_retry"]:
            over.add(event.data["run_id"])
        return len(over) == runs

    async def read() -> list[Received]:
        async with (
            asyncio.timeout(LIMIT_S),
            httpx.AsyncClient(base_url=gateway.url, timeout=LIMIT_S) as http,
        ):
            return await client.read(http, f"/v1/sessions/{session}/events", enough)

    received = asyncio.run(read())
    assert [event.cursor.seq for event in received] == list(range(1, len(received) + 1))
    assert client.view.same_as(gateway.snapshot(session))
    return received


def lines(received: list[Received]) -> list[Line]:
    """Type, name of the step and name of its parent; deltas side by side are one."""
    names: dict[str, str] = {}
    result: list[Line] = []
    for event in received:
        data = event.data
        if event.type.startswith("step."):
            names.setdefault(data["id"], data.get("name", ""))
            parent = names[data["parent_id"]] if data.get("parent_id") else None
            line = (event.type, names[data["id"]], parent)
        else:
            line = (event.type, data["handler"], None)
        if not (event.type == "step.delta" and result[-1] == line):
            result.append(line)
    return result


def start_session(stack: Stack, example: str) -> tuple[Gateway, str]:
    stack.worker(EXAMPLES / example)
    gateway = stack.shared_gateway()
    return gateway, gateway.create_session()


MESSAGE: list[Line] = [("step.start", "User", None), ("step.end", "User", None)]


def test_send_a_step(stack: Stack) -> None:
    gateway, session = start_session(stack, "send_a_step.py")
    gateway.send(session, "hi")
    received = read_to_the_end(gateway, session, runs=1)
    assert lines(received) == [
        *MESSAGE,
        ("run.start", "on_message", None),
        ("step.start", "Test", "User"),
        ("step.end", "Test", "User"),
        ("run.end", "on_message", None),
    ]
    test = received[-2].data
    assert (test["input"], test["output"], test["status"]) == ("hello", "world", "ok")
    assert received[-1].data["status"] == "ok"


def test_nest_steps(stack: Stack) -> None:
    gateway, session = start_session(stack, "nest_steps.py")
    received = read_to_the_end(gateway, session, runs=1)
    assert lines(received) == [
        ("run.start", "on_chat_start", None),
        ("step.start", "Parent step", None),
        ("step.start", "Child step", "Parent step"),
        ("step.end", "Child step", "Parent step"),
        ("step.end", "Parent step", None),
        ("run.end", "on_chat_start", None),
    ]
    assert [event.data["output"] for event in received if event.type == "step.end"] == [
        "Child step output",
        "Parent step output",
    ]


def test_update_a_step(stack: Stack) -> None:
    gateway, session = start_session(stack, "update_a_step.py")
    received = read_to_the_end(gateway, session, runs=1)
    assert lines(received) == [
        ("run.start", "on_chat_start", None),
        ("step.start", "Parent step", None),
        ("step.end", "Parent step", None),
        ("step.update", "Parent step", None),
        ("run.end", "on_chat_start", None),
    ]
    assert received[2].data["output"] == "Parent step output"
    assert received[3].data["output"] == "Parent step output updated"
    assert received[3].data["status"] == "ok"


def test_remove_a_step(stack: Stack) -> None:
    gateway, session = start_session(stack, "remove_a_step.py")
    received = read_to_the_end(gateway, session, runs=1)
    assert lines(received) == [
        ("run.start", "on_chat_start", None),
        ("step.start", "Parent step", None),
        ("step.end", "Parent step", None),
        ("step.remove", "Parent step", None),
        ("run.end", "on_chat_start", None),
    ]
    assert gateway.snapshot(session)["steps"] == []


def test_stream_the_output_with_the_real_openai_package(stack: Stack) -> None:
    with openai_stub(reply=lambda _: "Hello from the model.", token_delay_s=0.2) as url:
        stack.env |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "any"}
        gateway, session = start_session(stack, "stream_the_output.py")
        gateway.send(session, "hi")
        received = read_to_the_end(gateway, session, runs=1)
    assert lines(received) == [
        *MESSAGE,
        ("run.start", "on_message", None),
        ("step.start", "gpt4", None),
        ("step.delta", "gpt4", None),
        ("step.end", "gpt4", None),
        ("run.end", "on_message", None),
    ]
    deltas = [event.data["text"] for event in received if event.type == "step.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == "Hello from the model."
    assert received[-2].data["output"] == "Hello from the model."
    assert received[-2].data["type"] == "llm"
