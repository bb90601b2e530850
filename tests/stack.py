"""The product as its users run it: workers and gateways as processes, clients over HTTP."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
from redis import Redis

from forks import FORKS
from stepwire_cli.dev import child_processes
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import free_port
from stepwire_core.values.ids import new_id

START_LIMIT_S = 30


COVERAGE: Final = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
"""With these variables coverage follows into a process.

That costs about half a second of processor time for each start, so conftest.py takes them out of
the environment.
"""


def wait_until(true: Callable[[], bool], what: str, limit_s: float = START_LIMIT_S) -> None:
    """Return soon after it is true; the one place where a test looks again and again.

    It looks less often as it waits: asking a process a question takes some of its time.
    """
    deadline = time.monotonic() + limit_s
    pause_s = 0.01
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, 0.2)


class Gateway:
    """A gateway process and a client of it."""

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=15)

    def ready(self) -> bool:
        try:
            return self.client.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def create_session(self, session_id: str | None = None) -> str:
        body = {} if session_id is None else {"id": session_id}
        response = self.client.post("/v1/sessions", json=body)
        assert response.status_code in (200, 201), response.text
        created: str = response.json()["session_id"]
        return created

    def send(self, session_id: str, content: str, **fields: object) -> dict[str, str]:
        path = f"/v1/sessions/{session_id}/messages"
        response = self.client.post(path, json={"content": content, **fields})
        assert response.status_code == 202, response.text
        accepted: dict[str, str] = response.json()
        return accepted

    def start(self, session_id: str, task: str, **args: Any) -> str:
        """The id of a new run of a ``@cl.task``."""
        path = f"/v1/sessions/{session_id}/runs"
        response = self.client.post(path, json={"task": task, "args": args})
        assert response.status_code == 202, response.text
        run_id: str = response.json()["run_id"]
        return run_id

    def snapshot(self, session_id: str) -> dict[str, Any]:
        response = self.client.get(f"/v1/sessions/{session_id}")
        assert response.status_code == 200, response.text
        snapshot: dict[str, Any] = response.json()
        return snapshot

    def upload(self, session_id: str, name: str, content: bytes, mime: str = "text/plain") -> str:
        """The id of a file that a person has put into the session."""
        path = f"/v1/sessions/{session_id}/elements"
        headers = {"content-type": mime}
        response = self.client.post(path, params={"name": name}, content=content, headers=headers)
        assert response.status_code == 201, response.text
        element_id: str = response.json()["id"]
        return element_id

    def open_ask(self, session_id: str) -> dict[str, Any]:
        """The question of a handler, once it asks."""
        asks: list[dict[str, Any]] = []

        def asked() -> bool:
            asks[:] = [a for a in self.snapshot(session_id)["asks"] if a["status"] == "open"]
            return bool(asks)

        wait_until(asked, "a handler asks")
        return asks[0]

    def answer(self, session_id: str, ask_id: str, **answer: object) -> httpx.Response:
        return self.client.post(f"/v1/sessions/{session_id}/asks/{ask_id}", json=answer)

    def run(self, session_id: str, run_id: str) -> dict[str, Any] | None:
        runs = self.snapshot(session_id)["runs"]
        return next((run for run in runs if run["run_id"] == run_id), None)

    def wait_for_end(self, session_id: str, run_id: str) -> dict[str, Any]:
        """The run, once its last ``run.end`` is there."""
        ended: list[dict[str, Any]] = []

        def over() -> bool:
            run = self.run(session_id, run_id)
            if run is not None and run["status"] != "running" and not run["will_retry"]:
                ended.append(run)
            return bool(ended)

        wait_until(over, f"the end of run {run_id}")
        return ended[0]


class Stack:
    """Starts processes against one server and ends them all.

    With a shared gateway it uses the queue of that gateway, which is empty again at the end.
    Coverage follows into the processes only if they are ``measured``: it doubles what they cost.
    """

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        shared: SharedGateway | None = None,
        *,
        measured: bool = False,
    ) -> None:
        self.folder = folder
        self._shared = shared
        self._exit = ExitStack()
        self.redis = self._exit.enter_context(Redis.from_url(redis_url))
        self.queue: str = f"queue:{new_id()}" if shared is None else shared.queue
        self.env = (
            os.environ
            | (COVERAGE if measured else {})
            | {
                "STEPWIRE_REDIS_URL": redis_url,
                "STEPWIRE_QUEUE_NAME": self.queue,
                "STEPWIRE_GRACE_S": "2",
                "STEPWIRE_TAIL_CHECK_S": "0.5",
                # Tests go by what they say, whatever .env a contributor has.
                "STEPWIRE_ENV_FILE": "",
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()
        if self._shared is not None:
            self._shared.empty_queue()
        if exc is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-4000:]}")

    def worker(self, app: str | Path, **env: str) -> Child:
        """A worker that is ready; ``app`` is a file, or the text of one."""
        path = app if isinstance(app, Path) else self._write(app)
        command = child_processes.worker(path, self.env | env, log=self._log("worker"))
        child = self._start(command)
        wait_until(lambda: "worker ready" in child.output or child.exit_code is not None, "worker")
        assert child.exit_code is None, child.output
        return child

    def gateway(self, *, port: int | None = None, **env: str) -> Gateway:
        """A gateway that is ready."""
        port = port or free_port()
        command = child_processes.gateway(self.env | env, port=port, log=self._log("gateway"))
        child = self._start(command)
        gateway = Gateway(child, port)
        self._exit.callback(gateway.client.close)
        wait_until(lambda: gateway.ready() or child.exit_code is not None, "gateway")
        assert child.exit_code is None, child.output
        return gateway

    @property
    def settings(self) -> dict[str, str]:
        """What its processes find in the environment for us."""
        return {name: value for name, value in self.env.items() if name.startswith("STEPWIRE_")}

    def shared_gateway(self) -> Gateway:
        """A gateway with the usual settings, which other tests use after this one.

        Its process starts once for all of them. A test that stops its gateway, or reads its log or
        its counters, takes :meth:`gateway`. A stack with settings of its own gets its own gateway.
        """
        if self._shared is None or self.settings != self._shared.settings:
            return self.gateway()
        gateway = self._shared.client()
        self._exit.callback(gateway.client.close)
        return gateway

    def _start(self, command: Child) -> Child:
        child = FORKS.child(command)
        child.start()
        self._exit.callback(child.stop)
        return child

    def _write(self, text: str) -> Path:
        path = self.folder / f"app_{new_id()}.py"
        path.write_text(textwrap.dedent(text))
        return path

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}-{new_id()}.log"


class SharedGateway:
    """A gateway process that the stacks of many tests use, one after another, with its queue.

    It is started by the first test that wants it.
    """

    def __init__(self, folder: Path, redis_url: str, *, measured: bool = False) -> None:
        self._stack = Stack(folder, redis_url, measured=measured)
        self._gateway: Gateway | None = None
        self.queue = self._stack.queue
        self.settings = self._stack.settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(exc_type, exc, traceback)

    def client(self) -> Gateway:
        """A client of its own for one test."""
        if self._gateway is None or self._gateway.child.exit_code is not None:
            self._gateway = self._stack.gateway()
        return Gateway(self._gateway.child, self._gateway.port)

    def empty_queue(self) -> None:
        """Remove the jobs, workers and dead letters that a test has left behind."""
        for key in self._stack.redis.scan_iter(f"{self.queue}*", count=1000):
            self._stack.redis.delete(key)
