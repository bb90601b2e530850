"""What a delivery costs the gateway with 500 clients on one session, beside nginx with nchan.

Saturated, a fixed number of events is on its way to the clients all the time; paced, there are 100
a second, so that each leaves in a write of its own. Sixteen steps stream side by side: the deltas
of one step alone would merge.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import nchan
from load import Load
from rounds import Row, table
from under_load import Window, load_rows, nchan_served, stepwire_served

STEPS = 16
EVENTS_PER_S = 100
AHEAD = 256
"""Events on their way when saturated."""


def measure(*, short: bool = False) -> list[Row]:
    rounds, clients, warm_s, window_s = (1, 20, 0.2, 0.5) if short else (5, 500, 2.0, 4.0)
    skipped = nchan.why_not()
    rows = []
    loads: list[tuple[str, str, dict[str, float], Callable[[Load], None]]] = [
        (
            "saturated",
            "<= 0.8",
            {},
            partial(Load.saturating, subscribers=clients, ahead=AHEAD),
        ),
        (
            f"{EVENTS_PER_S} events/s",
            "<= 2",
            {"per_s": EVENTS_PER_S * clients, "interval_ms": 1e3 / EVENTS_PER_S},
            partial(Load.paced, events_per_s=EVENTS_PER_S),
        ),
    ]
    for name, goal, schedule, begin in loads:
        what = f"{clients} clients on one session, {name}"
        ours: list[Window] = []
        theirs: list[Window] = []
        for _ in range(rounds):
            with stepwire_served(1, readers=clients, steps=STEPS) as served:
                ours.append(served.window(begin, warm_s=warm_s, window_s=window_s))
            if not skipped:
                with nchan_served(1, readers=clients) as served:
                    theirs.append(served.window(begin, warm_s=warm_s, window_s=window_s))
        figures: list[tuple[str, str, Callable[[Window], float]]] = [
            ("gateway CPU", "µs/delivery", lambda window: window.us_per_event("gateway")),
            ("the gateway's share", "cores", lambda window: window.share("gateway")),
        ]
        for figure, unit, values in figures:
            rows.append(
                Row(
                    f"{what}: {figure}",
                    unit,
                    [values(window) for window in ours],
                    "nginx with nchan",
                    [values(window) for window in theirs],
                    goal if unit == "µs/delivery" else "",
                    skipped,
                )
            )
        rows += load_rows(what, ours, **schedule)
        if not skipped:
            rows += load_rows(f"nchan, {what}", theirs, **schedule)
    return rows


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
