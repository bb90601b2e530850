"""``useStream`` of ``@langchain/react`` in Node, at a real gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faces.agui_agent import did, last_line, script
from npm_packages import node

PACKAGES: Final = Path(__file__).with_name("langgraph")
_SCRIPT: Final = Path(__file__).with_name("stream.mjs")


@dataclass(frozen=True, slots=True)
class Thread:
    """What the hook has at the end."""

    messages: list[dict[str, Any]]
    tool_calls: list[dict[str, Any]]
    nested: list[dict[str, Any]]
    """The tool calls of the first subgraph, where they were asked for."""
    subgraphs: list[dict[str, Any]]
    interrupts: list[dict[str, Any]]
    is_loading: bool
    error: str | None
    requests: list[tuple[str, str, int]]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Who has said what."""
        return [(message["type"], message["text"]) for message in self.messages]


def asked(gateway_url: str, thread_id: str, actions: tuple[list[Any], ...], **options: Any) -> str:
    about = {"packages": str(PACKAGES), "url": f"{gateway_url}/langgraph", "thread": thread_id}
    return json.dumps(about | {"actions": actions} | options)


def thread(gateway_url: str, thread_id: str, *actions: list[Any], **options: Any) -> Thread:
    """Do these things on a page; each is the name of an action of ``stream.mjs`` and its values."""
    line = asked(gateway_url, thread_id, actions, **options)
    done = node(PACKAGES, str(_SCRIPT), stdin=line)
    assert done.returncode == 0, done.stderr
    return Thread(**json.loads(done.stdout.splitlines()[-1]))


class Running:
    """A page that is doing things."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def until(self, action: str) -> None:
        did(self._process, action)

    def end(self) -> Thread:
        return Thread(**last_line(self._process))


@contextmanager
def starting(
    gateway_url: str, thread_id: str, *actions: list[Any], **options: Any
) -> Iterator[Running]:
    """The same while the test does other things."""
    with script(PACKAGES, _SCRIPT, asked(gateway_url, thread_id, actions, **options)) as process:
        yield Running(process)
