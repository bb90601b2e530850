"""The Dockerfile, and what its stages build, without a container engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.compose import ROOT

BUILDING: Final = ("build", "packages", "own")
"""The stages that build, each upon the one before."""

IMAGES: Final = ("worker", "gateway")

_FOLDERS: Final = re.compile(r"(?<![\w/])/(?=(src|dist|opt|own)\b)")
_MOUNT: Final = re.compile(r"--mount=\S+\s+")


@dataclass(slots=True)
class Stage:
    """One ``FROM … AS name`` and the instructions below it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, keyword: str) -> str:
        return [text for word, text in self.instructions if word == keyword][-1]

    def every(self, keyword: str) -> list[str]:
        return [text for word, text in self.instructions if word == keyword]

    def health_command(self) -> list[str]:
        _, _, command = self.last("HEALTHCHECK").partition("CMD ")
        return exec_form(command)


def exec_form(text: str) -> list[str]:
    """A command written as a list; the shell form, which swallows signals, is refused."""
    command: list[str] = json.loads(text)
    return command


def read_stages() -> dict[str, Stage]:
    """The stages of the Dockerfile, by name."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction in text.replace("\\\n", " ").splitlines():
        word, _, rest = instruction.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stage = stages[name] = Stage(base, name)
        elif word and stage is not None:
            stage.instructions.append((word, rest.strip()))
    return stages


def build_packages(stages: dict[str, Stage], root: Path) -> None:
    """Do what the stages do that the images copy from, below ``root``: its /src, /dist, /own, /opt.

    /opt then has the packages of each image, as they are there. What this cannot show is what
    depends on the base image: its Python, its libraries, its shell.
    """
    subprocess.run([sys.executable, "-m", "venv", root / "python"], check=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("STEPWIRE_")}
    env["PATH"] = f"{root}/python/bin:{env['PATH']}"
    folder = root
    for word, text in (step for name in BUILDING for step in stages[name].instructions):
        if word == "WORKDIR":
            folder = Path(_below(text, root))
            folder.mkdir(parents=True)
        elif word == "ENV":
            env |= dict(pair.split("=", 1) for pair in text.split())
        elif word == "COPY":
            _copy(text.split(), folder)
        elif word == "RUN":
            _run(_below(_MOUNT.sub("", text), root), folder, env)
        else:
            raise NotImplementedError(word)
    for image in IMAGES:
        for copy in stages[image].every("COPY"):
            _, source, target = _below(copy, root).split()
            if source != target:
                shutil.copytree(source, target, dirs_exist_ok=True)


def _below(text: str, root: Path) -> str:
    return _FOLDERS.sub(f"{root}/", text)


def _copy(paths: list[str], folder: Path) -> None:
    *sources, target = paths
    for source in (ROOT / path for path in sources):
        if source.is_dir():
            # As .dockerignore has it; and Docker copies into a folder that is there.
            ignore = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(source, folder / target, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy(source, folder / target)


def _run(command: str, folder: Path, env: dict[str, str]) -> None:
    result = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
