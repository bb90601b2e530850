"""Users of Redis with the rights in the documents, and no others, do all that a session may do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis import Redis

from cluster import cluster, sentinels
from stack import Gateway, Stack
from stepwire_cli.dev.embedded_server import EmbeddedServer, embedded_server
from stepwire_core.process.redis_rights import Needs

ROOT = Path(__file__).parents[2]

APP = """
    import stepwire as cl

    @cl.task
    async def part(text):
        return text + "!"

    @cl.on_message
    async def main(message):
        if message.content == "fail":
            raise ValueError("as asked")
        cl.user_session.set("name", "Ada")
        async with cl.Step("work", type="llm") as step:
            await step.stream_token("to")
            step.output = await cl.enqueue(part, text="done")
        await cl.Message(content="with a file", elements=[cl.Text("t", content="x")]).send()
        answer = await cl.AskUserMessage("Name?", timeout=30).send()
        await cl.Message(content=answer["output"]).send()

    @cl.on_feedback
    async def rated(feedback):
        pass

    @cl.on_chat_end
    async def end():
        pass
"""

QUEUE = "stepwire:queue"


class Place:
    """Where log and queue are, and all servers on which the users must be known."""

    def __init__(self, log: str, queue: str, servers: Sequence[EmbeddedServer]) -> None:
        self.log, self.queue, self._servers = log, queue, servers

    def make(self, user: str, rules: Sequence[str]) -> None:
        """Let all servers know a user."""
        for server in self._servers:
            with Redis(port=server.port) as redis:
                redis.execute_command("ACL SETUSER", user, "reset", "on", ">password", *rules)

    def denied(self) -> list[object]:
        """All that any user was refused."""
        found: list[object] = []
        for server in self._servers:
            with Redis(port=server.port) as redis:
                found += redis.execute_command("ACL LOG")
        return found

    def env(self, user: str) -> dict[str, str]:
        def of(url: str) -> str:
            return url.replace("://", f"://{user}:password@")

        return {"STEPWIRE_REDIS_URL": of(self.log), "STEPWIRE_QUEUE_URL": of(self.queue)}


RARELY = ("database", "prefix", "sentinel")


@pytest.fixture(
    params=["standalone", "cluster", *(pytest.param(one, marks=pytest.mark.long) for one in RARELY)]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with embedded_server() as server:
        match request.param:
            case "standalone":
                yield Place(server.url, server.url, [server])
            case "database":
                other = server.url.removesuffix("0") + "3"
                yield Place(other, other, [server])
            case "prefix":
                prefixed = f"{server.url}?prefix=acme:"
                yield Place(prefixed, prefixed, [server])
            case "sentinel":
                with sentinels(count=1) as watched:
                    yield Place(watched.url, watched.url, watched.servers)
            case _:
                with cluster() as nodes:
                    yield Place(nodes.url, server.url, [server, *nodes.nodes])


def test_with_the_least_rights_all_can_be_done(place: Place, tmp_path: Path) -> None:
    for user, takes_runs in (("worker", True), ("gateway", False)):
        log, queue = (
            Needs.of_log(place.log),
            Needs.of_queue(place.queue, QUEUE, takes_runs=takes_runs),
        )
        place.make(user, ["-@all", *log.acl(), *queue.acl()])
    do_all(place, tmp_path, worker="worker", gateway="gateway")


@pytest.mark.parametrize("place", ["standalone", "cluster"], indirect=True)
def test_the_rights_in_the_operations_guide_are_enough(place: Place, tmp_path: Path) -> None:
    guide = (ROOT / "docs/operations.md").read_text()
    [line] = re.findall(r"^ACL SETUSER stepwire (.*)$", guide, re.MULTILINE)
    place.make("stepwire", line.split())
    do_all(place, tmp_path, worker="stepwire", gateway="stepwire")


def do_all(place: Place, folder: Path, *, worker: str, gateway: str) -> None:
    """All that a session may do, so that no command is forgotten."""
    # Sentinels are no server of redis-py's addresses, and nothing is looked up there.
    with Stack(folder, "redis://127.0.0.1:1/0") as stack:
        stack.env |= {"STEPWIRE_QUEUE_NAME": QUEUE, "STEPWIRE_QUEUE_MAX": "100"}
        stack.worker(APP, **place.env(worker))
        stack.env |= place.env(gateway)
        use(stack.gateway(STEPWIRE_MAX_MESSAGES_PER_MINUTE="100"), stack)
    assert place.denied() == []


def use(gateway: Gateway, stack: Stack) -> None:
    session = gateway.create_session()
    file = gateway.upload(session, "a.txt", b"text")
    run = gateway.send(session, "go", elements=[file])["run_id"]
    ask = gateway.open_ask(session)
    assert gateway.answer(session, ask["id"], content="Ada").is_success
    assert gateway.wait_for_end(session, run)["status"] == "ok"
    step = gateway.snapshot(session)["steps"][-1]["id"]
    path = f"/v1/sessions/{session}"
    rated = gateway.client.put(f"{path}/steps/{step}/feedback", json={"value": 1})
    assert rated.is_success, rated.text
    failed = gateway.send(session, "fail")["run_id"]
    assert gateway.wait_for_end(session, failed)["status"] == "error"
    for command in (["workers"], ["runs"], ["runs", "--failed"], ["retry", failed]):
        done = subprocess.run(
            [sys.executable, "-m", "stepwire_cli", *command],
            env=stack.env,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert gateway.client.delete(path).is_success
