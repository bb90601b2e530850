"""Agents of ``@ag-ui/client`` in Node, at a real gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from npm_packages import NODE, node

CLIENTS: Final = Path(__file__).with_name("agui")
_SCRIPT: Final = Path(__file__).with_name("agent.mjs")

VERSIONS: Final = ("agui45", "agui59", "@ag-ui/client")
"""0.0.45, 0.0.59 and 1.0.0, as the packages are called in ``agui/package.json``."""

NEWEST: Final = VERSIONS[-1]


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of the stock client: its messages and state at the end, the events of each run."""

    messages: list[dict[str, Any]]
    state: dict[str, Any]
    runs: list[dict[str, Any]]
    requests: list[dict[str, Any]]

    @property
    def tree(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.state["stepwire"]
        return found

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Who has said what."""
        return [
            (m["role"], m["content"]) for m in self.messages if isinstance(m.get("content"), str)
        ]

    def types(self, run: int = -1) -> list[str]:
        return [event["type"] for event in self.runs[run]["raw"]]

    def events(self, type_: str, run: int = -1) -> list[dict[str, Any]]:
        return [event for event in self.runs[run]["raw"] if event["type"] == type_]


def asked(url: str, thread: str, *actions: list[Any], package: str = NEWEST, **options: Any) -> str:
    """The line that ``agent.mjs`` reads."""
    return json.dumps(
        {
            "packages": str(CLIENTS),
            "package": package,
            "url": url,
            "thread": thread,
            "actions": actions,
            "messages": [],
            "state": {},
            **options,
        }
    )


def agent(url: str, thread: str, *actions: list[Any], **options: Any) -> Agent:
    """Do these things with an agent; each is the name of an action and its arguments."""
    done = node(CLIENTS, str(_SCRIPT), stdin=asked(url, thread, *actions, **options))
    assert done.returncode == 0, done.stderr
    return Agent(**json.loads(done.stdout.splitlines()[-1]))


def did(process: subprocess.Popen[str], action: str) -> None:
    """Wait until a script has done the action of that name."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("did") == action:
            return
    raise AssertionError(_errors(process))


def last_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The last line that a script prints, which is its result."""
    assert process.stdout is not None
    lines = [json.loads(line) for line in process.stdout]
    assert process.wait(100) == 0, _errors(process)
    found: dict[str, Any] = lines[-1]
    return found


def _errors(process: subprocess.Popen[str]) -> str:
    return process.stderr.read() if process.stderr else ""


class Running:
    """An agent that is doing things."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def until(self, action: str) -> None:
        did(self._process, action)

    def end(self) -> Agent:
        return Agent(**last_line(self._process))


@contextmanager
def script(folder: Path, path: Path, line: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script on Node, and kill it in the end."""
    with subprocess.Popen(
        [str(NODE), str(path)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.close()
            yield process
        finally:
            process.kill()


@contextmanager
def starting(url: str, thread: str, *actions: list[Any], **options: Any) -> Iterator[Running]:
    """The same while the test does other things."""
    line = asked(url, thread, *actions, tells=True, **options)
    with script(CLIENTS, _SCRIPT, line) as process:
        yield Running(process)
