"""All benchmarks, one table; the figures go to ``benchmarks/results.json`` as well."""

from __future__ import annotations

import sys
from pathlib import Path

import empty_steps
import fresh_client
import running_jobs
import start_latency
import stream_token
import stuck_clients
from rounds import table, write_json

if __name__ == "__main__":
    short = "--short" in sys.argv
    rows = [
        row
        for benchmark in (
            stream_token,
            empty_steps,
            start_latency,
            running_jobs,
            fresh_client,
            stuck_clients,
        )
        for row in benchmark.measure(short=short)
    ]
    print(table(rows))
    if not short:
        write_json(rows, Path(__file__).with_name("results.json"))
