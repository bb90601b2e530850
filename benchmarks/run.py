"""All benchmarks, one table; the figures go to ``benchmarks/results.json`` as well."""

from __future__ import annotations

import sys
from pathlib import Path

import start_latency
import stream_token
from rounds import table, write_json

if __name__ == "__main__":
    short = "--short" in sys.argv
    rows = [*stream_token.measure(short=short), *start_latency.measure(short=short)]
    print(table(rows))
    if not short:
        write_json(rows, Path(__file__).with_name("results.json"))
