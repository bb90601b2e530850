"""The container engine of this machine, or one that is made of Debian's packages."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from compose.host import left_as_it_was
from compose.packages import Packages

START_LIMIT_S: Final = 60
STOP_LIMIT_S: Final = 60

LEAST_COMPOSE: Final = (2, 24)
"""Earlier ones know no ``env_file`` that may be missing."""

_CAP_SYS_ADMIN: Final = 1 << 21
_CAP_NET_ADMIN: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class Engine:
    """Where commands of ``docker`` go, by their environment."""

    env: dict[str, str] = field(default_factory=dict)

    def docker(
        self,
        *arguments: str,
        cwd: Path | None = None,
        check: bool = True,
        env: dict[str, str] | None = None,
        limit_s: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker`` with these arguments.

        Raises:
            AssertionError: its exit code is not 0, unless ``check`` is off.
        """
        result = subprocess.run(
            ["docker", *arguments],  # noqa: S607 - whichever the machine has
            cwd=cwd,
            env=os.environ | self.env | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        said = f"docker {' '.join(arguments)}\n{result.stdout[-3000:]}\n{result.stderr[-6000:]}"
        assert result.returncode == 0 or not check, said
        return result

    def answers(self) -> bool:
        """Whether there is an engine behind the command, with a Compose that is new enough."""
        try:
            info = self.docker("info", check=False, limit_s=20)
            compose = self.docker("compose", "version", "--short", check=False, limit_s=20)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return False
        if info.returncode != 0 or compose.returncode != 0:
            return False
        major, minor, *_ = compose.stdout.strip().removeprefix("v").split(".")
        return (int(major), int(minor)) >= LEAST_COMPOSE


def why_there_is_none() -> str | None:
    """Why no engine can be had on this machine; None if one is there, or can be made."""
    if Engine().answers():
        return None
    none = "no Docker engine with Compose 2.24 answers, and none can be made here:"
    release = Path("/etc/os-release")
    is_debian_12 = release.exists() and {"ID=debian", 'VERSION_ID="12"'} <= set(
        release.read_text().splitlines()
    )
    if not is_debian_12 or os.geteuid() != 0:
        return f"{none} that takes root, and Debian 12"
    if Path("/run/systemd/system").exists():
        return f"{none} its package would become a service of this machine"
    rights = int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16)
    if not rights & _CAP_SYS_ADMIN or not rights & _CAP_NET_ADMIN:
        return f"{none} this container may not start others"
    return None


@contextmanager
def running_engine(folder: Path) -> Iterator[tuple[Engine, Packages | None]]:
    """An engine; with the packages of which its base images are made if it is our own.

    An own one has its socket, its data and its Compose below ``folder``. Of what it does to the
    machine nothing is left, but for the packages that were installed.
    """
    if Engine().answers():
        yield Engine(), None
        return
    packages = Packages(folder)
    packages.install("docker.io", "iptables", "mmdebstrap")
    # Debian 12 has no Compose of version 2. This one file needs nothing newer than its libc.
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    packages.take_file(
        "docker-compose", "usr/libexec/docker/cli-plugins/docker-compose", to=plugins
    )
    socket = f"unix://{folder}/docker.sock"
    engine = Engine({"DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder / "config")})
    with left_as_it_was(), _daemon(folder, socket, engine):
        yield engine, packages


@contextmanager
def _daemon(folder: Path, socket: str, engine: Engine) -> Iterator[None]:
    log = folder / "dockerd.log"
    command = [
        "dockerd",
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "docker.pid"), "--host", socket),
        # systemd, the default of some packages, may not be there.
        *("--exec-opt", "native.cgroupdriver=cgroupfs"),
    ]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        ) as daemon,
    ):
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not engine.answers():
                assert daemon.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < deadline, log.read_text()[-4000:]
            yield
        finally:
            with suppress(AssertionError, subprocess.TimeoutExpired):
                if there := engine.docker("ps", "-aq").stdout.split():
                    engine.docker("rm", "-f", *there)
            daemon.terminate()
            try:
                daemon.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
