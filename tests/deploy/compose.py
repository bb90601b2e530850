"""docker-compose.yml as a compose program reads it: merged and interpolated."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]

Service = dict[str, Any]


def load_compose(**environment: str) -> dict[str, Any]:
    """The file with these variables set, and none from the machine or a .env.

    ``--dry-run``: podman-compose then does not ask for podman itself.
    """
    compose: dict[str, Any] = yaml.safe_load(_merged(tuple(sorted(environment.items()))))
    return compose


@cache
def _merged(environment: tuple[tuple[str, str], ...]) -> str:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "podman_compose", "--dry-run"),
            *("--env-file", os.devnull, "-f", str(ROOT / "docker-compose.yml"), "config"),
        ],
        env={"PATH": os.environ["PATH"], **dict(environment)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def health_command(service: Service) -> list[str]:
    """The command of a service's health check, as a process is started."""
    kind, *command = service["healthcheck"]["test"]
    return ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command


def seconds(duration: str) -> float:
    """A duration of minutes and seconds, such as 1m20s."""
    minutes, _, rest = duration.rpartition("m")
    return 60 * int(minutes or 0) + float(rest.removesuffix("s") or 0)
