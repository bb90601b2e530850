"""The compose file of a copy of the project, as its users start it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from compose.engine import Engine
from deploy.compose import ROOT
from stack import wait_until

HEALTH_LIMIT_S: Final = 90


@dataclass(frozen=True, slots=True)
class Project:
    """Its containers have the name of the project, that of the service and a number."""

    name: str
    folder: Path
    engine: Engine
    port: int
    api_key: str
    env: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=30)

    def compose(
        self, *arguments: str, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return self.engine.docker(
            *("compose", "--project-name", self.name, *arguments),
            cwd=self.folder,
            env=self.env | env,
            check=check,
        )

    def up(self, *, workers: int, gateways: int) -> None:
        """Start what is not there, and wait until all of it is healthy."""
        scale = ("--scale", f"worker={workers}", "--scale", f"gateway={gateways}")
        up = self.compose("up", "--detach", "--wait", *scale, check=False)
        logs = "" if up.returncode == 0 else self.compose("logs", "--tail", "40").stdout
        assert up.returncode == 0, f"{up.stderr[-2000:]}\n{logs[-8000:]}"

    def container(self, service: str, number: int = 1) -> str:
        return f"{self.name}-{service}-{number}"

    def containers(self) -> list[str]:
        """All that run, by name."""
        label = f"label=com.docker.compose.project={self.name}"
        listed = self.engine.docker("ps", "--filter", label, "--format", "{{.Names}}")
        return sorted(listed.stdout.split())

    def inspect(self, container: str) -> dict[str, Any]:
        [found] = json.loads(self.engine.docker("inspect", container).stdout)
        return dict(found)

    def processes(self, container: str) -> Iterator[Path]:
        """The folders in /proc of all that runs in a container."""
        listed = self.engine.docker("top", container, "-eo", "pid").stdout.split()[1:]
        for pid in listed:
            yield Path("/proc", pid)

    def crash(self, container: str) -> None:
        """Kill it without a word to the engine, which takes it for a crash, and starts it again."""
        os.kill(int(self.inspect(container)["State"]["Pid"]), signal.SIGKILL)

    def health(self, container: str) -> str:
        return str(self.inspect(container)["State"]["Health"]["Status"])

    def wait_until_healthy(self, container: str) -> None:
        wait_until(lambda: self.health(container) == "healthy", container, HEALTH_LIMIT_S)


def copy_of_the_project(folder: Path) -> Path:
    """What git knows of it, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - whichever the machine has
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder
