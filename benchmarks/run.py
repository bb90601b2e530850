"""Benchmarks in one table, and every figure of every round in ``benchmarks/results.json``.

    python benchmarks/run.py                     all of them
    python benchmarks/run.py stream_token …      some of them
    python benchmarks/run.py --list              which there are
    python benchmarks/run.py --short             that they work; the figures mean nothing

Each of several has a process of its own, so that none finds what another has left in the heap. One
that fails is told of at the end, and the others run all the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Final

from rounds import Row, machine, table

HERE: Final = Path(__file__).parent


def names() -> list[str]:
    """The modules of this folder that can be measured."""
    return sorted(
        path.stem for path in HERE.glob("*.py") if "\ndef measure(" in path.read_text("utf-8")
    )


def _measure(name: str, short: bool) -> list[Row]:
    rows: list[Row] = import_module(name).measure(short=short)
    return rows


def _measured(name: str, *, short: bool, alone: bool) -> list[Row]:
    if alone:
        return _measure(name, short)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(_measure, name, short).result()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure, beside peers, in one table.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; by default all")
    parser.add_argument("--short", action="store_true", help="see that they work, measure nothing")
    parser.add_argument("--list", action="store_true", help="which there are")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(names()))
        return 0
    if unknown := set(arguments.names) - set(names()):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; see --list")

    facts = machine()
    rows: list[Row] = []
    failed: list[str] = []
    for name in arguments.names or names():
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows += _measured(name, short=arguments.short, alone=len(arguments.names) == 1)
        except Exception:  # noqa: BLE001 - the boundary to what is measured
            traceback.print_exc()
            failed.append(name)
        if not arguments.short:
            # After each of them, so that a run that is cut off leaves what it has.
            document = {"machine": facts, "rows": [row.document() for row in rows]}
            HERE.joinpath("results.json").write_text(json.dumps(document, indent=2) + "\n")
    print(table(rows))
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
