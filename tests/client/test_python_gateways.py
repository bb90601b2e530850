"""Both Python clients, and gateways that are killed, drained and started again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from docs.snippets import executed
from proxy import Proxy
from scripted import LIMIT_S
from stack import Gateway, Stack, wait_until
from stepwire.client import (
    AsyncClient,
    Client,
    Conflict,
    Connection,
    Forbidden,
    NoAnswer,
    NotFound,
    Session,
    SessionTree,
    _following,
)
from stepwire_core.values.ids import new_id
from stepwire_core.wire.rights import Right
from tokens import API_KEY, SECRET

APP = Path(__file__).with_name("app.py")
WHOLE = "".join(f"{number} " for number in range(60))


class Reader:
    """A thread that follows a session, as a program would."""

    def __init__(self, session: Session) -> None:
        self.tree = SessionTree()
        self.connections: list[Connection] = []
        self.error: Exception | None = None
        self._session = session
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        told = self.connections.append
        try:
            with closing(self._session.follow(self.tree, on_connection=told)) as updates:
                for _ in updates:
                    pass
        except Exception as error:  # noqa: BLE001 - the test asks for it
            self.error = error

    def join(self) -> None:
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def wait_for_state(self, state: str) -> None:
        wait_until(lambda: self.connections[-1:][0].state == state, f"the stream is {state}")

    def wait_until_current(self, gateway: Gateway) -> None:
        snapshot = gateway.snapshot(self._session.id)
        wait_until(lambda: self.tree.cursor == snapshot["cursor"], "the tree is current")
        mine = self.tree.snapshot()
        assert mine == {name: snapshot[name] for name in mine}


@pytest.fixture
def gateway(stack: Stack) -> Gateway:
    stack.worker(APP)
    return stack.gateway()


def test_a_reader_loses_nothing_over_a_gateway_that_is_killed_and_one_that_drains(
    stack: Stack, gateway: Gateway
) -> None:
    with Client(gateway.url) as client:
        session = client.create_session()
        reader = Reader(session)
        reader.wait_for_state("live")
        first = session.send("first")

        gateway.child.kill()
        reader.wait_for_state("reconnecting")
        with Client(gateway.url, max_retries=0) as hasty, pytest.raises(NoAnswer):
            hasty.session(session.id).send("lost")
        gateway = stack.gateway(port=gateway.port)
        reader.wait_for_state("live")
        assert session.wait(first.run_id).status == "ok"
        reader.wait_until_current(gateway)

        second = session.send("second")
        gateway.child.stop()
        gateway = stack.gateway(port=gateway.port)
        assert session.wait(second.run_id).status == "ok"
        reader.wait_until_current(gateway)

        answers = [s.text("output") for s in reader.tree.steps.values()]
        assert answers.count(WHOLE) == 2
        assert reader.connections[-1].gaps == 0
        session.delete()
        reader.join()
    assert isinstance(reader.error, NotFound)
    assert reader.error.code == "session_not_found"


def test_a_message_is_sent_once_while_its_gateway_is_killed_and_started_again(
    stack: Stack, gateway: Gateway
) -> None:
    """The connection that the client keeps is of the gateway that is gone."""
    with Client(gateway.url, max_retries=9) as client:
        session = client.create_session()
        gateway.child.kill()
        sender = threading.Thread(target=session.send, args=["once"])
        sender.start()
        gateway = stack.gateway(port=gateway.port)
        sender.join(LIMIT_S)
        tree = session.read()
    said = [step.text("output") for step in tree.steps.values() if step.is_message]
    assert said.count("once") == 1


def test_a_stream_that_falls_silent_is_given_up_and_goes_on(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a NAT that has forgotten it: no end comes, and no ping."""
    with Proxy(gateway.port) as proxy, Client(f"http://127.0.0.1:{proxy.port}") as client:
        session = client.create_session()
        monkeypatch.setattr(_following, "SILENCE_S", 2)
        reader = Reader(session)
        reader.wait_for_state("live")
        assert proxy.silence_all() >= 1
        run_id = gateway.send(session.id, "hi")["run_id"]
        gateway.wait_for_end(session.id, run_id)
        reader.wait_until_current(gateway)
        session.delete()
        reader.join()
    assert any(isinstance(c.error, NoAnswer) for c in reader.connections)


def test_a_person_does_everything_with_tokens_that_end(stack: Stack, tmp_path: Path) -> None:
    stack.worker(APP)
    gateway = stack.gateway(STEPWIRE_AUTH_SECRETS=SECRET, STEPWIRE_API_KEYS=API_KEY)
    gateway.client.headers["Authorization"] = f"Bearer {API_KEY}"
    reasons: list[str] = []
    rights: tuple[Right, ...] = ("read", "write", "cancel", "admin")
    sid = new_id()

    async def main() -> None:
        async with AsyncClient(gateway.url, token=API_KEY) as backend:

            async def get_token(reason: str) -> str:
                reasons.append(reason)
                return (await backend.create_token("ada", [sid], rights=rights, ttl_s=2)).token

            async with AsyncClient(gateway.url, get_token=get_token) as client:
                session = await client.create_session(sid)
                with pytest.raises(Forbidden):
                    await client.session("of-another").read()

                sent = await session.send("ask")
                tree = SessionTree()
                async with aclosing(session.follow(tree)) as updates:
                    async for _ in updates:
                        if tree.open_asks:
                            break
                [ask] = tree.open_asks
                assert (await session.answer(ask.id, "Ada")).status == "answered"
                with pytest.raises(Conflict) as refused:
                    await session.answer(ask.id, "Bob")
                assert refused.value.code == "ask_ended"
                assert (await session.wait(sent.run_id)).status == "ok"

                tree = await session.read()
                [hello] = [s for s in tree.steps.values() if s.actions]
                [again] = hello.actions.values()
                clicked = await session.wait(await session.click(again.id))
                assert (clicked.handler, clicked.status) == ("action:again", "ok")
                tree = await session.read()
                assert tree.steps[hello.document.id].actions == {}
                with pytest.raises(NotFound):
                    await session.click(again.id)
                step = next(s for s in tree.steps.values() if s.document.name == "answer")
                await session.rate(step.document.id, 1, "good")
                tree = await session.read()
                rated = tree.steps[step.document.id].feedback
                assert rated is not None
                assert (rated.value, rated.comment) == (1, "good")
                await session.rate(step.document.id, None)

                path = tmp_path / "a b.txt"
                path.write_text("from disk")
                sent = await session.send("", files=[path])
                await session.wait(sent.run_id)
                tree = await session.read()
                assert tree.steps[step.document.id].feedback is None
                [element] = tree.steps[sent.message_id].elements.values()
                assert (element.name, element.mime) == ("a b.txt", "text/plain")
                assert await session.download(element.id) == b"from disk"
                await session.download_to(element.id, tmp_path / "copy")
                assert (tmp_path / "copy").read_text() == "from disk"
                texts = [s.text("output") for s in tree.steps.values()]
                assert "a b.txt: from disk" in texts

                run_id = await session.run("double", {"number": 21})
                assert (await session.wait(run_id)).handler == "double"
                resumed = await session.resume()
                assert (await session.read_run(resumed)).run_id == resumed

                sent = await session.send("wait")
                await session.cancel(sent.run_id)
                assert (await session.wait(sent.run_id)).status == "cancelled"

                while "refused" not in reasons:
                    # A token has 2 s; its end is noticed by the request that comes after it.
                    await session.read()
                await session.delete()
                with pytest.raises(NotFound):
                    await session.read()

    async def in_time() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(in_time())
    assert reasons[0] == "first"


def test_a_reader_of_one_run_gets_that_run_alone_and_its_end(gateway: Gateway) -> None:
    with Client(gateway.url) as client:
        session = client.create_session()
        one, other = (session.run("double", {"number": n}) for n in (1, 2))
        session.wait(other)
        session.wait(one)
        events = list(session.events(run_id=one))
    tree = SessionTree()
    for event in events:
        tree.apply(event)
    assert [run.document.run_id for run in tree.runs.values()] == [one]
    assert [step.text("output") for step in tree.steps.values()] == ["2"]


def test_the_example_of_the_document_streams_an_answer(gateway: Gateway, tmp_path: Path) -> None:
    [code] = executed("docs/clients.md")
    example = tmp_path / "example.py"
    example.write_text(code.replace("http://127.0.0.1:8000", gateway.url))
    done = subprocess.run(
        [sys.executable, example], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (f"User: What is stepwire?\nanswer: {WHOLE}\n", "")
