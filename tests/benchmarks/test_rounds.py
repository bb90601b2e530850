"""How a row judges and shows its figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from rounds import Row, table


def row(ours: Sequence[float], theirs: Sequence[float], goal: str, skipped: str = "") -> Row:
    return Row("what", "ms", ours, "peer", theirs, goal, skipped)


@pytest.mark.parametrize(
    ("ours", "theirs", "goal", "met"),
    [
        ([1, 9, 1], [2, 2, 2], "<= 0.5", True),
        ([1.1, 1.1], [2, 2], "<= 0.5", False),
        ([1], [1], "< 1", False),
        ([1], [1], ">= 1.0", True),
        ([4], [2], "> 1", True),
        ([4], [2], "<= 5 ms", True),
        ([3_000], [1], ">= 3,000 ms", True),
        ([2_999], [1], ">= 3,000 ms", False),
        ([1], [2], "", None),
        ([1], [], "<= 0.5", None),
        ([1], [0], "<= 0.5", None),
        ([1], [], "<= 5 ms", True),
        ([], [], "<= 5 ms", None),
    ],
)
def test_a_goal_is_about_the_ratio_of_the_medians_or_with_a_unit_about_ours(
    ours: Sequence[float], theirs: Sequence[float], goal: str, met: bool | None
) -> None:
    assert row(ours, theirs, goal).met is met


@pytest.mark.parametrize("goal", ["about 1", "<= 5 s", "<= 5, and 50 ms"])
def test_a_goal_that_cannot_be_judged_is_refused(goal: str) -> None:
    with pytest.raises(ValueError, match=r"write '<= 0\.5' about the ratio"):
        row([1], [1], goal)


def test_the_table_has_medians_with_their_spread_and_what_was_skipped() -> None:
    text = table([row([1, 2, 9], [4], "<= 0.5"), row([3], [], ">= 5", "it is not installed")])
    _, first, second = text.splitlines()
    assert "2 [1 .. 9]" in first
    assert first.split()[-1] == "yes"
    assert "skipped: it is not installed" in second
