"""Conversations that go on while something happens to Redis, and what must be true of them then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from redis.crc import key_slot

from sse import Client, Received, assert_dense
from stack import Gateway
from stepwire_core.redis.keys import SessionKeys

LIMIT_S: Final = 120

APP = """
    import asyncio
    import stepwire as cl

    @cl.on_message
    async def main(message):
        async with cl.Step("agent", type="run"):
            async with cl.Step("model", type="llm") as step:
                for number in range(int(message.content)):
                    await step.stream_token(f"{number} ")
                    await asyncio.sleep(0.02)
            async with cl.Step("tool", type="tool") as step:
                step.output = "found"
        await cl.Message("done").send()
"""


def text_of(tokens: int) -> str:
    return "".join(f"{number} " for number in range(tokens))


def output(snapshot: dict[str, Any]) -> str:
    [text] = [step["output"] for step in snapshot["steps"] if step["name"] == "model"]
    return str(text)


def slot(session: str) -> int:
    return key_slot(SessionKeys.of(session).log.encode())


@asynccontextmanager
async def following(gateway: Gateway, sessions: list[str]) -> AsyncIterator[list[Client]]:
    """A client on each session, which comes back until it has seen the end of a run; all have when
    the block is left."""
    limits = httpx.Limits(max_connections=len(sessions) + 5)
    async with (
        asyncio.timeout(LIMIT_S),
        httpx.AsyncClient(base_url=gateway.url, timeout=LIMIT_S, limits=limits) as http,
        asyncio.TaskGroup() as group,
    ):

        async def follow(client: Client, session: str) -> None:
            def has_ended(_: Received | None = None) -> bool:
                # Told by an event, or by a snapshot after a loss.
                runs = client.view.runs.values()
                return any(run["status"] != "running" and not run["will_retry"] for run in runs)

            while not has_ended():
                await client.read(http, f"/v1/sessions/{session}/events", has_ended)
                await asyncio.sleep(0.05)

        clients = [Client() for _ in sessions]
        for client, session in zip(clients, sessions, strict=True):
            group.create_task(follow(client, session))
        for client in clients:
            await client.connected.wait()
        yield clients


def assert_whole(gateway: Gateway, session: str, client: Client, tokens: int) -> None:
    """Nothing is missing, nothing came twice, and both see the same."""
    snapshot = gateway.snapshot(session)
    assert [run["status"] for run in snapshot["runs"]] == ["ok"]
    assert output(snapshot) == text_of(tokens)
    assert_dense(client.received)
    assert client.view.same_as(snapshot)
