"""Workers and gateways as processes of their own, started and ended by another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from stepwire_core.errors import StepwireError

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0
_LOOK_S: Final = 0.02


class NotStarted(StepwireError):
    """A process has ended, or was not ready in time; the message has its log."""


@dataclass(slots=True)
class Child:
    """A ``stepwire`` command in a process group of its own.

    The terminal's Ctrl-C then reaches only us, and the processes stop in the order that we choose.
    Its output goes to ``log`` if there is one, else to ours.
    """

    arguments: list[str]
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    @property
    def output(self) -> str:
        """What it has written to its log so far."""
        return "" if self.log is None or not self.log.exists() else self.log.read_text()

    def start(self) -> None:
        # -P: a file in the working directory must not take the place of a module that we import.
        command = [sys.executable, "-P", "-m", "stepwire_cli", *self.arguments]
        log = None if self.log is None else self.log.open("ab")
        try:
            self.process = subprocess.Popen(
                command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            if log is not None:
                log.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self) -> int | None:
        """Ask it to end, and end it with all that it has started if it does not; its exit code."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """End it at once, with all that it has started, as a crash would."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def worker(app: str | Path, env: dict[str, str], *, log: Path | None = None) -> Child:
    """A worker with the handlers of ``app``; not started yet."""
    return Child(["worker", str(app)], env, log)


def gateway(
    env: dict[str, str], *, port: int, host: str = "127.0.0.1", log: Path | None = None
) -> Child:
    """A gateway; not started yet."""
    return Child(["gateway", "--host", host, "--port", str(port)], env, log)


def wait_until(
    there: Callable[[], bool],
    what: str,
    children: Sequence[Child] = (),
    *,
    stopping: threading.Event | None = None,
) -> bool:
    """Return True as soon as something is there, False when ``stopping`` is set before.

    Raises:
        NotStarted: it took too long, or one of ``children``, which it needs, has ended.
    """
    stopping = stopping or threading.Event()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not there():
        for child in children:
            if child.exit_code is not None:
                raise NotStarted(
                    f"'stepwire {child.arguments[0]}' has ended with exit code {child.exit_code}"
                    f"{_logged([child])}"
                )
        if time.monotonic() > deadline:
            raise NotStarted(f"{what} is not there after {START_TIMEOUT_S:g} s{_logged(children)}")
        if stopping.wait(_LOOK_S):
            return False
    return True


def gateway_is_ready(url: str) -> bool:
    """Whether a gateway answers there, and reaches its Redis."""
    try:
        return httpx.get(f"{url}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False


def _logged(children: Sequence[Child]) -> str:
    """What those have written that write to a log; the others have told it already."""
    logs = "\n".join(child.output for child in children if child.output)
    return f":\n{logs}" if logs else ""
