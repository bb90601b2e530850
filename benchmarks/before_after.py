"""The same benchmarks with the code of another checkout and with this one, by turns, in one table.

    git worktree add build/before REVISION
    python benchmarks/before_after.py build/before gateway_events stream_token

Each checkout runs its own benchmarks, with the packages of this environment. A row is compared if
both have it under the same name. They take turns (before, now, now, before …), so that what the
machine does meanwhile meets both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rounds import Row, table

HERE: Final = Path(__file__).parents[1]
PACKAGES: Final = ("worker", "shared", "gateway", "cli")
ORDER: Final = ("before", "now"), ("now", "before")

Rows = Mapping[str, Mapping[str, Any]]


def measured(checkout: Path, name: str) -> Rows:
    """The rows of a benchmark, by what they measure."""
    path = os.pathsep.join(str(checkout / package) for package in PACKAGES)
    subprocess.run(
        [sys.executable, checkout / "benchmarks" / "run.py", name],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    results = json.loads((checkout / "benchmarks" / "results.json").read_text())
    return {row["what"]: row for row in results["rows"]}


def compared(before: Sequence[Rows], now: Sequence[Rows]) -> list[Row]:
    """A row for each figure, and one for its ratio to its peer, if that was measured every time."""
    rows: list[Row] = []
    for what, sample in now[0].items():
        if not all(what in of for of in before):
            continue
        ours, theirs = (
            [figure for of in each for figure in of[what]["ours"]] for each in (now, before)
        )
        rows.append(Row(what, sample["unit"], ours, "before", theirs, ""))
        ratios, earlier = ([of[what]["ratio"] for of in each] for each in (now, before))
        if None not in ratios + earlier:
            beside = f"{what}: to {sample['peer']}"
            rows.append(Row(beside, "ratio", ratios, "before", earlier, ""))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure another checkout and this one.")
    parser.add_argument("before", type=Path, help="a checkout with the earlier code")
    parser.add_argument("names", nargs="+", metavar="NAME", help="which benchmarks")
    parser.add_argument("--turns", type=int, default=2, help="how often each is measured")
    arguments = parser.parse_args()
    if not (arguments.before / "benchmarks" / "run.py").is_file():
        parser.error(f"{arguments.before} is not a checkout of stepwire")
    checkouts = {"before": arguments.before.resolve(), "now": HERE}
    rows: list[Row] = []
    for name in arguments.names:
        results: dict[str, list[Rows]] = {"before": [], "now": []}
        for which in (which for turn in range(arguments.turns) for which in ORDER[turn % 2]):
            print(f"{name}, {which} …", file=sys.stderr, flush=True)
            results[which].append(measured(checkouts[which], name))
        rows += compared(results["before"], results["now"])
        print(table(rows), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
