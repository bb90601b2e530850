"""The base images that the Dockerfile and the compose file name, made of Debian's packages.

They have what of the official ones counts here. What differs: redis and nginx are Debian's, with
busybox for a shell; the python image has this machine's certificates and package index.
"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compose.engine import Engine
from compose.packages import Packages

FOLDER: Final = Path(__file__).parent / "base"

CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Base:
    """An image, and the packages that are in it."""

    tag: str
    packages: str
    next_release: bool

    @property
    def name(self) -> str:
        return self.tag.split(":")[0]


_BASES: Final = (
    Base(
        "python:3.13-slim",
        "base-files base-passwd libc-bin bash dash coreutils findutils grep sed hostname login "
        "passwd tar util-linux debianutils libstdc++6 netbase tzdata python3 python3-venv",
        next_release=True,
    ),
    Base(
        "nginx:stable-alpine",
        "busybox nginx-light gettext-base base-files libc-bin netbase",
        next_release=True,
    ),
    Base(
        "redis:7-alpine",
        "busybox redis-server redis-tools base-files libc-bin",
        next_release=False,
    ),
)


def make_base_images(engine: Engine, packages: Packages, folder: Path) -> None:
    """All of them, in an engine that cannot pull them."""

    def make(base: Base) -> None:
        archive, context = folder / f"{base.name}.tar", folder / base.name
        packages.unpack(archive, base.packages.split(), next_release=base.next_release)
        engine.docker("import", str(archive), f"rootfs-{base.name}")
        archive.unlink()
        shutil.copytree(FOLDER / base.name, context)
        if base.name == "python":
            shutil.copy(CERTIFICATES, context)
            (context / "pip.conf").write_text(_pip_conf())
        engine.docker("build", "--quiet", "--tag", base.tag, str(context))

    # Two processors.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, _BASES))


def _pip_conf() -> str:
    """Where this machine's pip looks for packages, as far as that is not on its own disk."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    wanted = configparser.ConfigParser(interpolation=None)
    wanted["global"] = {"cert": str(CERTIFICATES), "timeout": "180"}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2].replace("_", "-")
        if option in ("index-url", "extra-index-url", "trusted-host") and "file:" not in value:
            wanted["global"][option] = value.strip("'\"")
    text = ["[global]", *(f"{name} = {value}" for name, value in wanted["global"].items())]
    return "\n".join(text) + "\n"
