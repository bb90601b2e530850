"""Test your handlers in process: no server, no worker, no gateway.

In ``conftest.py``::

    pytest_plugins = ["stepwire.testing"]

In a test (with anyio's or asyncio's pytest plugin)::

    import app  # your handlers

    async def test_the_agent_searches_before_it_answers(stepwire_app):
        run = await stepwire_app.message("What is stepwire?")
        assert run.status == "ok"
        agent = stepwire_app.tree["agent"]
        assert [step.name for step in agent.children] == ["search", "answer"]
        assert agent["search"].output == "2 hits"

Everything is real but Redis, which is fakeredis here (``pip install 'stepwire[testing]'``): what is
tested is what your handlers do, not crashes, blocking or order between processes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from fakeredis import FakeAsyncRedis, FakeRedis, FakeServer

from stepwire._handlers import Handlers, load_handlers, process_wide
from stepwire._process import used_as_process_publisher
from stepwire._publisher import Publisher
from stepwire._run import Runner
from stepwire_core.clock import now
from stepwire_core.connections import ServerId
from stepwire_core.documents import (
    ON_CHAT_START,
    ON_MESSAGE,
    USER_MESSAGE,
    RunDocument,
    StepDocument,
)
from stepwire_core.errors import HandlerNotFound
from stepwire_core.events import step_event
from stepwire_core.ids import new_id
from stepwire_core.log import Batch, EventLog
from stepwire_core.queue import RunRequest
from stepwire_core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Branch:
    """A step of the tree, and those below it in the order of their starts.

    It has the fields of the step (``name``, ``type``, ``status``, ``input``, ``output``, …);
    ``branch["name"]`` is the first step of that name below it, at any depth.
    """

    step: StepDocument | None
    children: list[Branch] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self.step is None:
            raise AttributeError(name)
        return getattr(self.step, name)

    def __getitem__(self, name: str) -> Branch:
        for branch in self.walk():
            if branch.step is not None and branch.step.name == name and branch is not self:
                return branch
        raise KeyError(f"no step {name!r} in\n{self}")

    def __contains__(self, name: object) -> bool:
        return any(branch.step is not None and branch.step.name == name for branch in self.walk())

    def walk(self) -> Iterator[Branch]:
        """This branch and all below it, each before those below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def __str__(self) -> str:
        """An outline, for a test that fails: name, status and the beginning of the output."""
        return "\n".join(self._lines(0)) or "(no steps)"

    def _lines(self, depth: int) -> Iterator[str]:
        if self.step is not None:
            step = self.step
            line = f"{'  ' * depth}{step.name} ({step.type}) {step.status}"
            yield f"{line}  {step.output[:60]}".replace("\n", " ").rstrip()
            depth += 1
        for child in self.children:
            yield from child._lines(depth)


class App:
    """Your handlers and one session: the fixture ``stepwire_app``.

    Without :meth:`load`, the handlers are those that imported modules have defined.
    """

    def __init__(self) -> None:
        server = FakeServer()
        settings = Settings(log_max_events=100_000)
        self._redis = FakeAsyncRedis(server=server)
        self._log = EventLog(self._redis, ServerId.of("given"), settings)
        self._settings = settings
        self._handlers: Handlers = process_wide
        self._publisher = Publisher(settings, redis=FakeRedis(server=server))
        self._branches = Branch(None)
        self.session_id = new_id()

    @property
    def tree(self) -> Branch:
        """All steps and messages of the session, as they were after the last call."""
        return self._branches

    def load(self, target: str) -> None:
        """Use the handlers of a file or module instead, as ``stepwire worker`` does.

        Raises:
            HandlerModuleError: it cannot be loaded.
        """
        self._handlers = load_handlers(target)

    async def start(self) -> RunDocument:
        """Run ``on_chat_start``; the run as it ended."""
        return await self._run(ON_CHAT_START)

    async def message(self, content: str, *, author: str = "User", **metadata: Any) -> RunDocument:
        """Send a person's message and run ``on_message``; the run as it ended."""
        run_id, ts = new_id(), now()
        message = StepDocument(
            id=new_id(),
            session_id=self.session_id,
            run_id=run_id,
            attempt=0,
            parent_id=None,
            name=author,
            type=USER_MESSAGE,
            status="ok",
            output=content,
            metadata=metadata,
            started_at=ts,
            ended_at=ts,
            ts=ts,
        )
        return await self._run(ON_MESSAGE, run_id=run_id, message=message)

    async def task(self, task: str, **arguments: Any) -> RunDocument:
        """Run a ``@cl.task`` by its name; the run as it ended."""
        return await self._run(task, arguments=arguments)

    async def _run(
        self,
        handler: str,
        *,
        run_id: str | None = None,
        message: StepDocument | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> RunDocument:
        if handler not in self._handlers.functions:
            raise HandlerNotFound(handler, list(self._handlers.functions))
        run_id = run_id or new_id()
        await self._log.create(self.session_id, run_id)
        if message is not None:
            events = [step_event("step.start", message), step_event("step.end", message)]
            batch = Batch(self.session_id, events, producer=f"m.{message.id}", run_id=run_id)
            await self._log.append(batch)
        request = RunRequest(
            session_id=self.session_id,
            run_id=run_id,
            handler=handler,
            message=message,
            arguments=arguments or {},
        )
        runner = Runner(self._handlers, self._log, self._publisher, self._settings)
        with used_as_process_publisher(self._publisher):
            await runner.execute(request)
        snapshot = await self._log.snapshot(self.session_id)
        self._branches = _grown(snapshot.steps)
        run = snapshot.run(run_id)
        if run is None:
            raise LookupError(f"run {run_id} has left no trace")
        return run

    def close(self) -> None:
        self._publisher.close()


def _grown(steps: list[StepDocument]) -> Branch:
    root = Branch(None)
    branches = {step.id: Branch(step) for step in steps}
    for branch in branches.values():
        parent = branches.get(branch.parent_id or "", root)
        parent.children.append(branch)
    return root


@pytest.fixture
def stepwire_app() -> Iterator[App]:
    """Your handlers and a session of their own."""
    app = App()
    before = list(sys.path)
    try:
        yield app
    finally:
        sys.path[:] = before
        app.close()
