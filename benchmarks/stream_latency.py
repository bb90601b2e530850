"""From ``stream_token`` to the client's socket, beside bare PUBLISH to SUBSCRIBE.

1,000 sessions with one client each, ten tokens a second in each. While they stream, the same
process also publishes bare messages, and the process with the clients is subscribed to them: the
same Redis, the same load, the same processes at both ends. A message carries the time at which it
was made.
"""

from __future__ import annotations

import sys
from functools import partial

from clients import Stream
from load import Load
from rounds import Row, percentile, table
from under_load import Window, load_rows, stepwire_served

PER_SESSION = 10
PROBES_PER_S = 200


def measure(*, short: bool = False) -> list[Row]:
    rounds, sessions, warm_s, window_s = (1, 20, 0.2, 0.5) if short else (5, 1_000, 2.0, 5.0)
    windows: list[Window] = []
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    for _ in range(rounds):
        with stepwire_served(sessions) as served:
            probe = Stream(served.redis_port, b"SUBSCRIBE probe\r\n", b"subscribe", "bare")
            served.clients.open([probe])
            begin = partial(
                Load.paced,
                events_per_s=sessions * PER_SESSION,
                probes_per_s=PROBES_PER_S,
                probe_port=served.redis_port,
            )
            windows.append(served.window(begin, warm_s=warm_s, window_s=window_s, watch=True))
            took = served.clients.took_ms()
            ours.append(took["events"])
            theirs.append(took["bare"])
    what = f"{sessions:,} sessions x {PER_SESSION} tokens/s"
    return [
        *(
            Row(
                f"{what}: stream_token to the client's socket, {name}",
                "ms",
                [percentile(values, percent) for values in ours],
                "bare PUBLISH to SUBSCRIBE meanwhile",
                [percentile(values, percent) for values in theirs],
                "<= 3",
            )
            for name, percent in (("p50", 50), ("p99", 99))
        ),
        *load_rows(what, windows, per_s=sessions * PER_SESSION, interval_ms=1e3 / PER_SESSION),
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
