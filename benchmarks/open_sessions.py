"""What an event costs the gateway with 100, 1,000 and 10,000 sessions open at the same total rate.

Each session has one client, and each gets its part of the events. What does not come from events
is in it too: comments that keep streams open, looks at logs. That is measured by itself as well,
before the first event.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis

from accounting import cpu_s
from load import Load
from rounds import Row, table
from under_load import Served, Window, load_rows, stepwire_served

FLAT = "<= 1.15"

SETTLED_S = 12.0
"""After so long the clients that came are looked at as rarely as all others."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What it costs that streams are open in which nothing happens."""

    gateway_share: float
    """Of a core."""
    redis_share: float
    commands_per_s: float


def _commands(redis: Redis) -> int:
    """How many the server has executed so far."""
    stats: Any = redis.info("stats")
    return int(stats["total_commands_processed"])


def waiting(served: Served, *, settled_s: float, window_s: float) -> Waiting:
    """The cost of the streams that are open, for a while without events."""
    time.sleep(settled_s)
    with Redis(port=served.redis_port) as redis:
        before = [cpu_s(served.servers[name]) for name in ("gateway", "redis")]
        commands = _commands(redis)
        time.sleep(window_s)
        commands = _commands(redis) - commands
        after = [cpu_s(served.servers[name]) for name in ("gateway", "redis")]
    gateway, its = (late - early for early, late in zip(before, after, strict=True))
    return Waiting(gateway / window_s, its / window_s, commands / window_s)


def measure(*, short: bool = False) -> list[Row]:
    rounds, rate, warm_s, window_s = (1, 200, 0.2, 0.5) if short else (5, 5_000, 3.0, 6.0)
    settled_s, quiet_s = (0.0, 0.2) if short else (SETTLED_S, 30.0)
    few, *more = (1, 2) if short else (100, 1_000, 10_000)
    begin = partial(Load.paced, events_per_s=rate)
    windows: dict[int, list[Window]] = {few: [], **{sessions: [] for sessions in more}}
    quiet: dict[int, list[Waiting]] = {sessions: [] for sessions in windows}
    for _ in range(rounds):
        for sessions, of_sessions in windows.items():
            with stepwire_served(sessions, STEPWIRE_MAX_STREAMS="100000") as served:
                quiet[sessions].append(waiting(served, settled_s=settled_s, window_s=quiet_s))
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
        *_quiet_rows(more[-1], quiet[more[-1]], few, quiet[few]),
        *load_rows(
            f"{more[-1]:,} sessions",
            windows[more[-1]],
            per_s=rate,
            interval_ms=1e3 * more[-1] / rate,
        ),
    ]


def _quiet_rows(
    many: int, of_many: Sequence[Waiting], few: int, of_few: Sequence[Waiting]
) -> list[Row]:
    figures: list[tuple[str, str, Callable[[Waiting], float]]] = [
        ("gateway CPU", "ms/s", lambda one: one.gateway_share * 1e3),
        ("Redis CPU", "ms/s", lambda one: one.redis_share * 1e3),
        ("commands to Redis", "commands/s", lambda one: one.commands_per_s),
    ]
    return [
        Row(
            f"{many:,} sessions open without events: {what}",
            unit,
            [value(one) for one in of_many],
            f"{few:,} sessions open",
            [value(one) for one in of_few],
            "",
        )
        for what, unit, value in figures
    ]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
