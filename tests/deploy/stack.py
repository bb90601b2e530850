"""The services of docker-compose.yml as processes of this machine, on free loopback ports."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.compose import ROOT, Service, health_command
from stack import wait_until
from stepwire_cli.dev.embedded_server import free_port

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 10.0
_ADDRESS: Final = re.compile(r"127\.0\.0\.1([:/])8000")
"""Where the services listen inside their containers, as their health checks name it."""


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
        **given,
        **settings,
        "HOME": str(folder),
        # Beside others on one machine it has no /tmp of its own.
        "STEPWIRE_HEALTH_FILE": str(folder / f"{service['command'][1]}-{port}.health"),
        "STEPWIRE_HOST": "127.0.0.1",
        "STEPWIRE_PORT": str(port),
    }
    health = _at_port(health_command(service), port)
    with _started(service["command"], health, env, folder, f"{service['command'][1]}-{port}") as it:
        yield it


@contextmanager
def running_proxy(
    service: Service, *, folder: Path, port: int, gateways: list[int]
) -> Iterator[Process]:
    """nginx as the proxy's script starts it, with the variables of compose.

    Three things differ: the ports, the folders, and the gateways' addresses, which the engine's DNS
    would give. Like these, they are not remembered as failed from one request to the next.
    """
    health_port = free_port()
    servers = " ".join(f"server 127.0.0.1:{gateway} max_fails=0;" for gateway in gateways)
    template = folder / "nginx.conf.template"
    template.write_text(
        _replaced(
            (ROOT / "deploy/nginx.conf.template").read_text(),
            {
                r"resolver [^;]+;": f"upstream gateways {{ {servers} }}",
                r"set \$gateway gateway:8000;": "set $gateway gateways;",
                r"listen 127\.0\.0\.1:8001;": f"listen 127.0.0.1:{health_port};",
                # Processes that root starts would belong to a user that cannot read this folder.
                r"pid ": "user root; pid " if os.geteuid() == 0 else "pid ",
            },
        ).replace("/tmp/", f"{folder}/")  # noqa: S108
    )
    script = folder / "proxy.sh"
    ours, certificates = (volume.split(":") for volume in service["volumes"])
    text = (ROOT / service["entrypoint"][1].replace(ours[1], "deploy")).read_text()
    script.write_text(
        re.sub(r"(?m)^(\s*LISTEN='?)8000", rf"\g<1>127.0.0.1:{port}", text)
        .replace("/tmp/", f"{folder}/")  # noqa: S108
        .replace(ours[1], str(folder))
        .replace(certificates[1], certificates[0])
    )
    given = {name: str(value or "") for name, value in service["environment"].items()}
    env = {"PATH": f"{os.environ['PATH']}{os.pathsep}/usr/sbin", **given}
    health = [
        part.replace("127.0.0.1:8001", f"127.0.0.1:{health_port}")
        for part in health_command(service)
    ]
    command = [service["entrypoint"][0], str(script)]
    with _started(command, health, env, folder, "proxy") as process:
        yield process


def wait_until_listening(proxy: Process, port: int) -> None:
    """Not by its health check, which asks the gateway."""

    def listens() -> bool:
        assert proxy.popen.poll() is None, proxy.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "the proxy")


def run_proxy_script(
    compose: dict[str, Any], *, programs: Path, replaced: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The proxy's script with the variables of compose and these programs before others.

    ``replaced``: paths of the container, and what stands for them here.
    """
    script = (ROOT / "deploy/proxy.sh").read_text()
    places = {"/etc/stepwire/": f"{ROOT}/deploy/", **(replaced or {})}
    assert all(path in script for path in places)
    # In one pass: what is put in may itself be below a folder that is replaced.
    script = re.sub("|".join(places), lambda found: places[found.group()], script)
    environment = compose["services"]["proxy"]["environment"]
    given = {name: str(value or "") for name, value in environment.items()}
    return subprocess.run(
        ["/bin/sh", "-c", script],
        env=given | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )


def _replaced(text: str, replacements: dict[str, str]) -> str:
    for pattern, replacement in replacements.items():
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, pattern
    return text


def _at_port(command: list[str], port: int) -> list[str]:
    return [_ADDRESS.sub(rf"127.0.0.1\g<1>{port}", part) for part in command]


def why_there_is_no_proxy() -> str | None:
    """How to get what is missing of the proxy's image."""
    # Debian puts nginx where only root's PATH looks.
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    needed = {"nginx": "nginx-light", "envsubst": "gettext-base"}
    missing = [package for name, package in needed.items() if not shutil.which(name, path=path)]
    return f"apt install {' '.join(missing)}" if missing else None


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
