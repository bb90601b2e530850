"""The page's own tests of what needs no browser, on pip's Node."""

from __future__ import annotations

import re
import subprocess

import pytest

from inspector.content.harness import INSPECTOR, NODE

LEAST_TESTS = 50


@pytest.mark.usefixtures("page_policy")
def test_the_pages_unit_tests_pass() -> None:
    tests = sorted(map(str, INSPECTOR.glob("tests/unit/*.test.mjs")))
    command = (NODE, "--import", "./tests/unit/resolve.mjs", "--test", "--test-reporter=tap")
    done = subprocess.run(
        (*command, *tests), cwd=INSPECTOR, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {what: int(n) for what, n in re.findall(r"(?m)^# (\w+) (\d+)$", done.stdout)}
    assert counts["pass"] == counts["tests"] >= LEAST_TESTS, counts
