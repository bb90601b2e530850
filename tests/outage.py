"""Conversations that go on while something happens to Redis, and what must be true of them then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import httpx
from redis.crc import key_slot
from redis.exceptions import RedisError

from cluster import NAME, Cluster, Watched
from sse import Client, assert_dense
from stack import Gateway, wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.redis.keys import SessionKeys

LIMIT_S: Final = 180

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
    """The text of the last attempt."""
    *_, text = [step["output"] for step in snapshot["steps"] if step["name"] == "model"]
    return str(text)


def slot(session: str) -> int:
    return key_slot(SessionKeys.of(session).log.encode())


@asynccontextmanager
async def following(gateway: Gateway, sessions: list[str]) -> AsyncIterator[list[Client]]:
    """A client on each session, which comes back again and again. When the block is left, all have
    seen the end of the runs, also of one that went on after its end was lost."""
    limits = httpx.Limits(max_connections=len(sessions) + 5)
    async with (
        asyncio.timeout(LIMIT_S),
        httpx.AsyncClient(base_url=gateway.url, timeout=LIMIT_S, limits=limits) as http,
        asyncio.TaskGroup() as group,
    ):

        async def follow(client: Client, session: str) -> None:
            while True:
                await client.read(http, f"/v1/sessions/{session}/events")
                await asyncio.sleep(0.05)

        clients = [Client() for _ in sessions]
        pairs = [*zip(clients, sessions, strict=True)]
        tasks = [group.create_task(follow(*pair)) for pair in pairs]
        for client in clients:
            await client.connected.wait()
        yield clients
        for client, session in pairs:
            while not await _has_seen_the_end(http, client, session):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()


async def begin(
    gateway: Gateway, sessions: Sequence[str], clients: Sequence[Client], tokens: int
) -> None:
    """Send each session a message that is answered with so many tokens; returns when every client
    has seen the first of them."""
    # At once: the first must not be over when the last begins, on a busy machine either.
    await asyncio.gather(*(asyncio.to_thread(gateway.send, each, str(tokens)) for each in sessions))
    for client in clients:
        await client.underway.wait()


async def _has_seen_the_end(http: httpx.AsyncClient, client: Client, session: str) -> bool:
    try:
        answer = await http.get(f"/v1/sessions/{session}")
    except httpx.TransportError:
        return False  # the gateway has closed this connection, which was idle, in this moment
    if not answer.is_success:
        return False
    snapshot = answer.json()
    runs = snapshot["runs"]
    are_over = all(run["status"] != "running" and not run["will_retry"] for run in runs)
    return bool(runs) and are_over and client.view.same_as(snapshot)


def is_over(client: Client) -> bool:
    """Whether it has seen the end of a run."""
    return any(event.type == "run.end" for event in client.received)


def assert_ended_well(gateway: Gateway, session: str, client: Client) -> None:
    """The last attempt has ended well, nothing came twice, and both see the same."""
    snapshot = gateway.snapshot(session)
    assert snapshot["runs"][-1]["status"] == "ok"
    assert client.view.same_as(snapshot)
    assert_dense(client.received)


def assert_whole(gateway: Gateway, session: str, client: Client, tokens: int) -> None:
    """Nothing is missing, nothing came twice, and both see the same."""
    snapshot = gateway.snapshot(session)
    assert [run["status"] for run in snapshot["runs"]] == ["ok"]
    assert output(snapshot) == text_of(tokens)
    assert_dense(client.received)
    assert client.view.same_as(snapshot)


class AnyPlace(Protocol):
    """Redis, on which a stack runs."""

    def settings(self) -> dict[str, str]:
        """The addresses of log and queue."""
        ...

    def primary(self, session: str) -> EmbeddedServer:
        """The server that takes the writes of a session."""
        ...


class Place(AnyPlace, Protocol):
    """One with a replica of everything."""

    def replica(self, session: str) -> EmbeddedServer:
        """One that would be the next."""
        ...

    def hand_over(self, session: str) -> None:
        """Let a replica be the primary, as an operator does it; nothing is lost."""
        ...

    def servers(self) -> Sequence[EmbeddedServer]:
        """All of them, with Sentinels."""
        ...


class Alone:
    """One server with log and queue, and no replica."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def settings(self) -> dict[str, str]:
        return {"STEPWIRE_REDIS_URL": self._server.url}

    def primary(self, session: str) -> EmbeddedServer:  # noqa: ARG002 - there is one for all
        return self._server


class BehindSentinels:
    """Log and queue are on one primary."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def settings(self) -> dict[str, str]:
        return {"STEPWIRE_REDIS_URL": self._watched.url}

    def primary(self, session: str) -> EmbeddedServer:  # noqa: ARG002 - there is one for all
        return self._watched.primary

    def replica(self, session: str) -> EmbeddedServer:
        primary = self.primary(session)
        return next(server for server in self._watched.servers if server is not primary)

    def hand_over(self, session: str) -> None:
        before = self.primary(session)

        def is_taken() -> bool:
            try:
                self._watched.ask("FAILOVER", NAME)
            except RedisError:
                return False  # the last one is too short ago, or the replica not there yet
            return True

        wait_until(is_taken, "a Sentinel takes the order")
        wait_until(lambda: self.primary(session) is not before, "another primary")

    def servers(self) -> Sequence[EmbeddedServer]:
        return [*self._watched.servers, *self._watched.sentinels]


class OnCluster:
    """The log is on a cluster, the queue on a server to which nothing happens."""

    def __init__(self, nodes: Cluster, queue: EmbeddedServer) -> None:
        self._nodes = nodes
        self._queue = queue

    def settings(self) -> dict[str, str]:
        return {"STEPWIRE_REDIS_URL": self._nodes.url, "STEPWIRE_QUEUE_URL": self._queue.url}

    def primary(self, session: str) -> EmbeddedServer:
        return self._nodes.owner(slot(session))

    def replica(self, session: str) -> EmbeddedServer:
        return self._nodes.replica_of(self._nodes.owner(slot(session)))

    def hand_over(self, session: str) -> None:
        before = self._nodes.owner(slot(session))
        after = self._nodes.replica_of(before)
        after.ask("CLUSTER", "FAILOVER")
        wait_until(lambda: before.owner_of(slot(session)) == after.port, "another primary")
        self._nodes.settle()

    def servers(self) -> Sequence[EmbeddedServer]:
        return self._nodes.nodes
