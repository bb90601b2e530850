"""What an event costs the gateway with 100, 1,000 and 10,000 sessions open at the same total rate.

Each session has one client, and each gets its part of the events. What does not come from events
is in it too: comments that keep streams open, looks at logs.
"""

from __future__ import annotations

import sys
from functools import partial

from load import Load
from rounds import Row, table
from under_load import Window, load_rows, stepwire_served

FLAT = "<= 1.15"


def measure(*, short: bool = False) -> list[Row]:
    rounds, rate, warm_s, window_s = (1, 200, 0.2, 0.5) if short else (5, 5_000, 3.0, 6.0)
    few, *more = (1, 2) if short else (100, 1_000, 10_000)
    begin = partial(Load.paced, events_per_s=rate)
    windows: dict[int, list[Window]] = {few: [], **{sessions: [] for sessions in more}}
    for _ in range(rounds):
        for sessions, of_sessions in windows.items():
            with stepwire_served(sessions, STEPWIRE_MAX_STREAMS="100000") as served:
                of_sessions.append(served.window(begin, warm_s=warm_s, window_s=window_s))
    costs = {
        sessions: [window.us_per_event("gateway") for window in of_sessions]
        for sessions, of_sessions in windows.items()
    }
    return [
        *(
            Row(
                f"gateway CPU, {sessions:,} sessions open, {rate:,} events/s in all",
                "µs/event",
                costs[sessions],
                f"{few:,} sessions open",
                costs[few],
                FLAT,
            )
            for sessions in more
        ),
        *load_rows(
            f"{more[-1]:,} sessions",
            windows[more[-1]],
            per_s=rate,
            interval_ms=1e3 * more[-1] / rate,
        ),
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
