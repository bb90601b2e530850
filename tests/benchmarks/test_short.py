"""The benchmarks run; what they measure is never judged by a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize(
    "name",
    [
        "stream_token",
        "empty_steps",
        "start_latency",
        "running_jobs",
        "fresh_client",
        "stuck_clients",
        "gateway_events",
        "fan_out",
        "idle_streams",
        "stream_latency",
        "open_sessions",
        "gateways",
    ],
)
def test_a_benchmark_runs_in_its_short_form(name: str) -> None:
    result = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", "--short"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    header, *rows = result.stdout.splitlines()
    assert header.split()[:3] == ["what", "unit", "stepwire"]
    assert rows
