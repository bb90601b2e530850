"""The messages on a machine that has only a part of stepwire's packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ALWAYS = frozenset(
    {"annotated_types", "dotenv", "hiredis", "jwt", "pydantic", "pydantic_core"}
    | {"pydantic_settings", "redis", "typing_extensions", "typing_inspection"}
)
"""What `pip install stepwire` brings, with what that brings along."""

WORKER = frozenset({"arq", "click"})

HIDES = """
import sys
from pathlib import Path

class Hides:
    \"\"\"Finds nothing in site-packages that is not among the names given.\"\"\"

    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        ours = first in sys.stdlib_module_names or first.startswith(("stepwire", "_"))
        if not ours and first not in {names!r}:
            raise ModuleNotFoundError(f"No module named {{first!r}}", name=first)
        return None

sys.meta_path.insert(0, Hides())
"""

COMMAND = "from stepwire_cli.__main__ import main; main()"


def with_only(
    names: frozenset[str], code: str, *arguments: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """A Python that has these packages, and no other."""
    return subprocess.run(
        [sys.executable, "-c", HIDES.format(names=set(names)) + code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_emits_steps_needs_no_extra(tmp_path: Path) -> None:
    result = with_only(ALWAYS, "import stepwire as cl; cl.Step; cl.enqueue", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_client_needs_httpx_alone(tmp_path: Path) -> None:
    httpx = {"anyio", "certifi", "h11", "httpcore", "httpx", "idna", "sniffio"}
    code = "from stepwire.client import Client; Client('http://x').close()"
    result = with_only(ALWAYS | httpx, code, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        (["--help"], ["dev", "worker", "gateway"]),
        (["worker", "app.py"], ["worker"]),
        (["gateway"], ["gateway"]),
        (["dev", "app.py"], ["dev"]),
        ([], ["dev", "worker", "gateway"]),
    ],
)
def test_without_any_extra_one_line_says_which_to_install(
    tmp_path: Path, arguments: list[str], extras: list[str]
) -> None:
    result = with_only(ALWAYS, COMMAND, *arguments, cwd=tmp_path)
    said = " or ".join(f"pip install 'stepwire[{extra}]'" for extra in extras)
    assert result.stderr == f"Error: the command line needs 'click': {said}\n"
    assert (result.returncode, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("has", "arguments", "package", "extra"),
    [
        ({"click"}, ["worker", "app.py"], "arq", "worker"),
        (WORKER, ["gateway"], "fastapi", "gateway"),
        (WORKER, ["dev", "app.py"], "watchfiles", "dev"),
        (WORKER, ["tail", "s"], "rich", "dev"),
        (WORKER, ["send", "s", "text"], "httpx", "client"),
        (WORKER, ["answer", "s", "text"], "httpx", "client"),
    ],
)
def test_a_command_whose_extra_is_missing_says_so_in_one_line(
    tmp_path: Path, has: frozenset[str], arguments: list[str], package: str, extra: str
) -> None:
    result = with_only(ALWAYS | has, COMMAND, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    wanted = f"Error: this command needs {package!r}: pip install 'stepwire[{extra}]'\n"
    assert (result.stderr, result.stdout) == (wanted, "")


def test_the_help_needs_no_more_than_a_worker_has(tmp_path: Path) -> None:
    result = with_only(ALWAYS | WORKER, COMMAND, "--help", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Usage: " in result.stdout
