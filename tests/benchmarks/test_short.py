"""The benchmarks run; what they measure is never judged by a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from before_after import compared
from run import HERE as BENCHMARKS
from run import names

NAMES = names()
OFTEN = ("empty_steps", "fresh_client", "start_latency", "stream_token")
"""The others start servers and processes by the dozen; what they share with these is tried here."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCHMARKS / "run.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize(
    "name",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in NAMES],
)
def test_a_benchmark_runs_in_its_short_form(name: str) -> None:
    result = run(name, "--short")
    assert result.returncode == 0, result.stderr
    header, *rows, machine = result.stdout.splitlines()
    assert header.split()[:3] == ["what", "unit", "stepwire"]
    assert rows
    assert machine.startswith("python ")


def test_the_benchmarks_that_the_documentation_tells_of_are_there() -> None:
    told = (BENCHMARKS.parent / "docs" / "performance.md").read_text()
    assert NAMES
    assert [name for name in NAMES if f"`{name}`" not in told] == []


def test_the_list_names_every_benchmark() -> None:
    assert run("--list").stdout.split() == NAMES


def test_a_benchmark_that_is_not_there_is_told_of() -> None:
    result = run("no_such_one")
    assert result.returncode == 2
    assert "no such benchmark: no_such_one; see --list" in result.stderr


def test_a_benchmark_that_breaks_is_told_of_and_the_others_run(
    tmp_path: Path,
) -> None:
    for path in BENCHMARKS.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "empty_steps.py").write_text("\ndef measure(*, short):\n    raise OSError\n")
    (tmp_path / "stuck_clients.py").write_text(
        "from rounds import Row\n\ndef measure(*, short):\n"
        "    return [Row('what', 's', [1.0], 'peer', [2.0], '<= 0.5')]\n"
    )
    result = subprocess.run(
        [sys.executable, tmp_path / "run.py", "--short", "empty_steps", "stuck_clients"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert "failed: empty_steps" in result.stderr
    assert "what" in result.stdout.splitlines()[1]


def test_what_two_checkouts_have_in_common_is_compared() -> None:
    rows = {"a": {"unit": "s", "ours": [1.0, 2.0], "peer": "p", "ratio": 0.5}}
    faster = {"a": {"unit": "s", "ours": [0.5], "peer": "p", "ratio": 0.25}, "new": {}}
    figure, beside = compared([rows, rows], [faster])
    assert (figure.what, figure.ratio) == ("a", 0.5 / 1.5)
    assert (beside.what, beside.ratio) == ("a: to p", 0.5)
