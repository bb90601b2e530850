"""A user's type checker reads an app that uses the API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

APP: Final = Path(__file__).parent / "apps/users_app.py"
CACHE: Final = Path(__file__).parents[2] / ".mypy_cache/users_app"

WRONG = """
import stepwire as cl

cl.Step(nme="typo")
cl.Message().send(1)
"""


def test_an_app_that_uses_the_api_is_clean_under_mypy_strict_and_a_wrong_one_is_not(
    tmp_path: Path,
) -> None:
    """Both in one run, and with a cache of its own: reading the libraries takes most of the time.

    The project's configuration is left out: users do not have it.
    """
    (tmp_path / "users_app.py").write_text(APP.read_text())
    (tmp_path / "wrong_app.py").write_text(WRONG)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", ""),
            *("--cache-dir", CACHE, "users_app.py", "wrong_app.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    *errors, total = done.stdout.splitlines()
    assert [line for line in errors if not line.startswith("wrong_app.py:")] == [], done.stdout
    assert 'Unexpected keyword argument "nme"' in done.stdout
    assert "Too many arguments" in done.stdout
    assert "in 1 file (checked 2 source files)" in total
