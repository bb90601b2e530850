"""``make faults``: the long form; exit code 1 if anything was seen that must not be."""

from __future__ import annotations

import argparse
import random
import sys

from faults.storm import Plan, carry_out, summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--storm-s", type=float, default=180.0, help="how long each of two rages")
    parser.add_argument("--only", choices=["calm", "restart"], help="with or without a restart")
    options = parser.parse_args()
    print(f"seed {options.seed}; again with: make faults SEED={options.seed}", flush=True)
    violations: list[str] = []
    for restart in (False, True):
        if options.only and restart != (options.only == "restart"):
            continue
        plan = Plan(
            options.runs,
            options.seed,
            restart_redis=restart,
            storm_s=options.storm_s,
            limit_s=options.storm_s + 75,
        )
        report = carry_out(plan)
        print(f"\n{summary(plan, report)}", flush=True)
        for violation in report.violations:
            print(f"  {violation}")
        violations += report.violations
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
