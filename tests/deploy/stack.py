"""The services of docker-compose.yml as processes of this machine, on free loopback ports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.compose import ROOT, Service, health_command

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 10.0
ADDRESS: Final = "127.0.0.1:8000"
"""Where the services listen inside their containers."""


@dataclass(slots=True)
class Process:
    """A running service; ``health`` is its health check's command."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    health: list[str]
    env: dict[str, str]

    def is_healthy(self) -> bool:
        result = subprocess.run(
            self.health, env=self.env, capture_output=True, timeout=10, check=False
        )
        return result.returncode == 0

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_healthy():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} is not healthy:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """Its exit code after SIGTERM.

        Raises:
            subprocess.TimeoutExpired: it goes on; it has been killed.
        """
        self.popen.terminate()
        try:
            return self.popen.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextmanager
def running(
    service: Service, *, packages: Path, folder: Path, port: int, settings: dict[str, str]
) -> Iterator[Process]:
    """A service of ours, from the packages of its image, with the variables of compose."""
    given = {
        name: str(value) for name, value in service["environment"].items() if value is not None
    }
    env = {
        "PATH": f"{packages / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        **given,
        **settings,
        "STEPWIRE_HOST": "127.0.0.1",
        "STEPWIRE_PORT": str(port),
    }
    health = [part.replace(ADDRESS, f"127.0.0.1:{port}") for part in health_command(service)]
    with _started(service["command"], health, env, folder, f"{service['command'][1]}-{port}") as it:
        yield it


@contextmanager
def running_proxy(
    service: Service, *, folder: Path, port: int, gateways: list[int]
) -> Iterator[Process]:
    """nginx with the configuration that compose mounts.

    Two things differ: the port, and the gateways' addresses, which Docker's DNS would give. Like
    these, they are not remembered as failed from one request to the next.
    """
    source = ROOT / service["volumes"][0].split(":")[0]
    servers = " ".join(f"server 127.0.0.1:{gateway} max_fails=0;" for gateway in gateways)
    text = source.read_text()
    for name, value in service["environment"].items():
        text = text.replace(f"${{{name}}}", str(value))
    for pattern, replacement in {
        r"resolver [^;]+;": f"upstream gateways {{ {servers} }}",
        r"set \$gateway gateway:8000;": "set $gateway gateways;",
        r"listen 8000;": f"listen 127.0.0.1:{port};",
        r"pid [^;]+;": f"pid {folder}/nginx.pid;",
    }.items():
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, pattern
    config = folder / "nginx.conf"
    config.write_text(text)
    command = [nginx() or "nginx", "-c", str(config), "-g", "daemon off;"]
    health = [part.replace(ADDRESS, f"127.0.0.1:{port}") for part in health_command(service)]
    with _started(command, health, dict(os.environ), folder, "proxy") as process:
        yield process


def nginx() -> str | None:
    """Debian puts it where only root's PATH looks."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


def imports(packages: Path, module: str) -> bool:
    """Whether the Python of an image finds a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([packages / "bin" / "python", "-c", code], check=False).returncode == 0


@contextmanager
def _started(
    command: list[str], health: list[str], env: dict[str, str], folder: Path, name: str
) -> Iterator[Process]:
    log = folder / f"{name}.log"
    program = shutil.which(command[0], path=env["PATH"])
    assert program, f"{command[0]} is not on the PATH of the image"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [program, *command[1:]],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    process = Process(name, popen, log, health, env)
    try:
        yield process
    finally:
        if popen.poll() is None:
            process.stop()
