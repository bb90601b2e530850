"""Debian's packages: installed on this machine, or unpacked into the root folder of an image."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

SOURCES: Final = Path("/etc/apt/sources.list.d/debian.sources")
"""The machine's own mirrors."""

_OLD, _NEW = "bookworm", "trixie"


class Packages:
    """Those of this release, and, kept apart in an apt state of their own, those of the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        apt = folder / "apt"
        for part in ("lists/partial", "cache/archives/partial"):
            (apt / part).mkdir(parents=True)
        (apt / "status").touch()
        self._sources = apt / "next.sources"
        self._sources.write_text(SOURCES.read_text().replace(_OLD, _NEW))
        options = {
            "Dir::Etc::sourcelist": self._sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": apt / "lists",
            "Dir::State::status": apt / "status",
            "Dir::Cache": apt / "cache",
        }
        self._next = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self._env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}

    def install(self, *names: str) -> None:
        """On this machine, unless they are there."""
        if missing := [name for name in names if not self._has(name)]:
            self._run("apt-get", "update", "-qq")
            self._run("apt-get", "install", "-qq", "--no-install-recommends", *missing)

    def take_file(self, package: str, path: str, *, to: Path) -> None:
        """One file out of a package of the next release."""
        self._run("apt-get", *self._next, "update", "-qq")
        unpacked = self._folder / package
        unpacked.mkdir()
        self._run("apt-get", *self._next, "download", "-qq", package, cwd=unpacked)
        [archive] = unpacked.glob("*.deb")
        self._run("dpkg", "-x", str(archive), str(unpacked))
        shutil.copy2(unpacked / path, to)

    def unpack(self, archive: Path, names: list[str], *, next_release: bool) -> None:
        """A root folder of these packages and what they need, as a tar file.

        Their scripts are not run: an image says itself what those would have done.
        """
        options = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man")]
        if not next_release:
            options.append("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
        self._run(
            "mmdebstrap",
            *("--quiet", "--variant=extract", f"--include={','.join(names)}", *options),
            *(_NEW if next_release else _OLD, str(archive)),
            str(self._sources if next_release else SOURCES),
        )

    def _has(self, name: str) -> bool:
        query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
        shown = subprocess.run(query, capture_output=True, text=True, check=False)
        return shown.stdout == "installed"

    def _run(self, *command: str, cwd: Path | None = None) -> None:
        result = subprocess.run(
            command,
            cwd=cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = f"{' '.join(command)}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
        assert result.returncode == 0, said
