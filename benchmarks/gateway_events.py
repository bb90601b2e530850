"""What an event costs the gateway and Redis with one client a session, beside nginx with nchan.

1,000 sessions, ten events a second in each: the same events at the same rate, from ``stream_token``
and posted to nchan, which keeps them in a Redis of its own. Processor time of the servers, for
each event that reached its client.
"""

from __future__ import annotations

import sys
from functools import partial

import nchan
from load import Load
from rounds import Row, table
from under_load import Window, load_rows, nchan_served, stepwire_served

PER_SESSION = 10
"""Events a second."""


def measure(*, short: bool = False) -> list[Row]:
    rounds, sessions, warm_s, window_s = (1, 20, 0.2, 0.5) if short else (5, 1_000, 2.0, 5.0)
    begin = partial(Load.paced, events_per_s=sessions * PER_SESSION)
    what = f"{sessions:,} sessions x {PER_SESSION} events/s, one client each"
    schedule = {"per_s": float(sessions * PER_SESSION), "interval_ms": 1e3 / PER_SESSION}
    ours: list[Window] = []
    theirs: list[Window] = []
    skipped = nchan.why_not()
    for _ in range(rounds):
        with stepwire_served(sessions) as served:
            ours.append(served.window(begin, warm_s=warm_s, window_s=window_s))
        if not skipped:
            with nchan_served(sessions) as served:
                theirs.append(served.window(begin, warm_s=warm_s, window_s=window_s))
    rows = [
        Row(
            f"{what}: CPU of gateway + Redis",
            "µs/event",
            [window.us_per_event("gateway", "redis") for window in ours],
            "nginx with nchan + Redis",
            [window.us_per_event("gateway", "redis") for window in theirs],
            "<= 0.4",
            skipped,
        ),
        Row(
            "the same without Redis",
            "µs/event",
            [window.us_per_event("gateway") for window in ours],
            "nginx with nchan",
            [window.us_per_event("gateway") for window in theirs],
            "",
            skipped,
        ),
        *load_rows(what, ours, **schedule),
    ]
    return rows if skipped else rows + load_rows(f"nchan, {what}", theirs, **schedule)


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
