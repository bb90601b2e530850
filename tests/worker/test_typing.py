"""A user's type checker reads an app that uses the API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

APP: Final = Path(__file__).parent / "apps/users_app.py"


def test_an_app_that_uses_the_api_is_clean_under_mypy_strict(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong_app.py"
    wrong.write_text("import stepwire as cl\n\ncl.Step(nme='typo')\ncl.Message().send(1)\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-incremental"]
    clean = subprocess.run(
        [*command, APP], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110
    )
    assert clean.returncode == 0, clean.stdout
    typos = subprocess.run(
        [*command, wrong], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110
    )
    assert 'Unexpected keyword argument "nme"' in typos.stdout
    assert "Too many arguments" in typos.stdout
