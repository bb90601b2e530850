"""How much more two gateways deliver than one: 500 clients on one session, saturated.

Redis, the load and the clients run on the same cores: what they use, no gateway can have. So the
processor time of each delivery is shown beside the rate, and how many cores everything together
had.
"""

from __future__ import annotations

import sys
from functools import partial

from fan_out import AHEAD, STEPS
from load import Load
from rounds import Row, table
from under_load import Window, load_rows, stepwire_served


def measure(*, short: bool = False) -> list[Row]:
    rounds, clients, warm_s, window_s = (1, 20, 0.2, 0.5) if short else (5, 500, 2.0, 4.0)
    begin = partial(Load.saturating, subscribers=clients, ahead=AHEAD)
    one: list[Window] = []
    two: list[Window] = []
    for _ in range(rounds):
        for count, windows in ((1, one), (2, two)):
            with stepwire_served(1, readers=clients, steps=STEPS, gateways=count) as served:
                windows.append(served.window(begin, warm_s=warm_s, window_s=window_s))
    what = f"{clients} clients, saturated, two gateways"
    return [
        Row(
            f"{what}: deliveries",
            "1/s",
            [window.delivered / window.seconds for window in two],
            "one gateway",
            [window.delivered / window.seconds for window in one],
            "",
        ),
        Row(
            f"{what}: gateway CPU",
            "µs/delivery",
            [window.us_per_event("gateway") for window in two],
            "one gateway",
            [window.us_per_event("gateway") for window in one],
            "",
        ),
        Row(
            f"{what}: all that runs",
            "cores",
            [sum(map(window.share, window.cpu)) for window in two],
            "one gateway",
            [sum(map(window.share, window.cpu)) for window in one],
            "",
        ),
        *load_rows(what, two),
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
