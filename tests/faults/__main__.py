"""``make faults``: the long form; exit code 1 if anything was seen that must not be."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from typing import Final

from faults.plan import MOMENTS, Plan, summary
from faults.storm import carry_out
from faults.work import HOSTILE

STORMS: Final = ("calm", "restart", "moments", "failover")
"""Workers suffer in all of them. Beside that: nothing; Redis is restarted; hostile handlers and the
moments; hostile handlers and a failover."""


def main() -> int:
    options = parse_arguments()
    print(f"seed {options.seed}; again with: make faults SEED={options.seed}", flush=True)
    violations: list[str] = []
    for storm in options.only:
        plan = Plan(
            options.runs,
            options.seed,
            restart_redis=storm == "restart",
            storm_s=options.storm_s,
            limit_s=options.storm_s + 75,
            moments={"moments": options.moments, "failover": ("failover",)}.get(storm, ()),
            hostile=options.hostile if storm in {"moments", "failover"} else (),
            repeats=max(2, options.runs // 20),
        )
        report = carry_out(plan)
        print(f"\n{summary(plan, report)}", flush=True)
        for violation in report.violations:
            print(f"  {violation}")
        violations += report.violations
    return 1 if violations else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--storm-s", type=float, default=180.0, help="how long each rages")
    for name, of in (("only", STORMS), ("moments", MOMENTS), ("hostile", tuple(HOSTILE))):
        parser.add_argument(f"--{name}", type=some_of(of), default=of, help=f"of {', '.join(of)}")
    return parser.parse_args()


class some_of:  # noqa: N801 - argparse shows it: invalid some_of value
    """Known names with commas between; an empty list is fine, too."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __call__(self, text: str) -> tuple[str, ...]:
        found = tuple(part for part in text.split(",") if part)
        if unknown := set(found) - set(self._names):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not of {self._names}")
        return found


if __name__ == "__main__":
    sys.exit(main())
