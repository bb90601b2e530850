"""Whether the plan holds when things come at random and machines are lost.

    python benchmarks/capacity_simulation.py

A discrete-event simulation of one server of the log and one gateway of the installation that
``capacity_model.py`` plans. Each is a single thread with a row before it, and gets its share of the
load. Events come at random; a call takes a random time around what was measured; streams are opened
and runs are started meanwhile, in the same thread that delivers events, and so hold them up. Shown
is the time from a worker's call to the client's socket: as planned, at other degrees of use, while
the clients of other gateways that were lost come to this one, and after the server was away.

Every figure follows from the costs and a seed: nothing here is measured with a clock.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from capacity_model import Costs, Load, Machine, cores
from rounds import Row, percentile, table

BACK_S: Final = 0.1
"""Waits are short again when no event takes longer than this."""
_PING_S: Final = 15.0
_AT_S: Final = 4.0
"""When something is lost, in those scenarios."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, for so many seconds."""

    seconds: float = 12.0
    seed: int = 1
    lost: float = 0.0
    """The part of all gateways that is lost at once."""
    reconnect_s: float = 3.0
    """Over how many seconds the clients of lost gateways come to the others."""
    away_s: float = 0.0
    """For how long the server of the log does not answer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    gateway_busy: float
    log_busy: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    back_after_s: float | None
    """From the loss until no event takes longer than `BACK_S`; None: not within the time."""


@dataclass(slots=True)
class _Thread:
    """What comes waits for what came before."""

    chance: random.Random
    free_at: float = 0.0
    busy_s: float = 0.0

    def serve(self, at: float, mean_s: float, wake_s: float = 0.0) -> float:
        """When what came at ``at`` is done. Half of its time is fixed, the rest is at random; and
        it takes ``wake_s`` more if nothing else is there."""
        if at >= self.free_at:
            mean_s += wake_s
        takes_s = mean_s * (0.5 + 0.5 * self.chance.expovariate(1.0))
        self.free_at = max(at, self.free_at) + takes_s
        self.busy_s += takes_s
        return self.free_at


def simulated(costs: Costs, load: Load, machine: Machine, scenario: Scenario) -> Outcome:
    """One gateway's share of ``load``, as many as the processor time of all asks for."""
    chance = random.Random(scenario.seed)
    log, gateway = _Thread(chance), _Thread(chance)
    need = cores(costs, load, machine.busy)
    share = machine.busy / need.gateway
    # The server of the log is as busy as planned: what it does for other gateways, and what is not
    # an append, is a part of the time of each.
    append_s = machine.busy / (load.deliveries_per_s * share)

    def arrivals(per_s: float) -> Iterator[float]:
        """Random times; after a loss as many more as the lost gateways would have had."""
        at = 0.0
        while True:
            grown = 1 / (1 - scenario.lost) if at >= _AT_S else 1.0
            at += chance.expovariate(per_s * share * grown)
            if at >= scenario.seconds:
                return
            yield at

    work: list[tuple[float, float, float]] = []
    for at in arrivals(load.deliveries_per_s):
        held = _AT_S + scenario.away_s if _AT_S <= at < _AT_S + scenario.away_s else at
        stored = log.serve(held, append_s * (1 - scenario.lost) if at >= _AT_S else append_s)
        work.append((stored, at, costs.event_gateway_s))
    for per_s, takes_s in (
        (load.opens_per_s, costs.open_gateway_s),
        (load.runs_per_s, costs.run_gateway_s),
        (load.browsers / _PING_S, costs.idle_gateway_s * _PING_S),
    ):
        work += [(at, -1.0, takes_s) for at in arrivals(per_s)]
    if scenario.lost:
        came = round(load.browsers * share * scenario.lost / (1 - scenario.lost))
        work += [
            (_AT_S + chance.uniform(0.0, scenario.reconnect_s), -1.0, costs.open_gateway_s)
            for _ in range(came)
        ]
    heapq.heapify(work)
    took: list[float] = []
    last_slow = _AT_S
    while work:
        at, since, takes_s = heapq.heappop(work)
        done = gateway.serve(at, takes_s, costs.wake_gateway_s if since >= 0 else 0.0)
        if since >= 0:
            took.append((done - since) * 1e3)
            if done - since > BACK_S:
                last_slow = max(last_slow, since)
    return Outcome(
        gateway_busy=gateway.busy_s / scenario.seconds,
        log_busy=log.busy_s / scenario.seconds,
        p50_ms=percentile(took, 50),
        p99_ms=percentile(took, 99),
        worst_ms=max(took),
        back_after_s=None if last_slow > scenario.seconds - BACK_S else last_slow - _AT_S,
    )


def _scenarios(short: bool) -> list[tuple[str, float, Scenario]]:
    """Names, the degree of use that is planned for, and what happens."""
    calm = Scenario(seconds=0.5 if short else 12.0)
    lost = Scenario(seconds=4.5 if short else 30.0, lost=1 / 3)
    return [
        ("60 % busy, as planned", 0.6, calm),
        ("75 % busy", 0.75, calm),
        ("90 % busy", 0.9, calm),
        ("60 % busy, a third of the gateways lost", 0.6, lost),
        ("50 % busy, a third of the gateways lost", 0.5, lost),
        (
            "50 % busy, a third lost, back within 15 s",
            0.5,
            replace(lost, reconnect_s=15.0),
        ),
        ("60 % busy, the log away for 2 s", 0.6, replace(lost, lost=0.0, away_s=2.0)),
    ]


def measure(*, short: bool = False) -> list[Row]:
    costs, load = Costs(), Load()
    rows = []
    for name, busy, scenario in _scenarios(short):
        outcomes = [
            simulated(costs, load, Machine(busy=busy), replace(scenario, seed=seed))
            for seed in range(1, 2 if short else 4)
        ]
        what = f"simulated, {name}"
        planned = [] if scenario.lost else [busy] * len(outcomes)
        figures: list[tuple[str, str, Callable[[Outcome], float]]] = [
            ("call to socket, p50", "ms", lambda outcome: outcome.p50_ms),
            ("call to socket, p99", "ms", lambda outcome: outcome.p99_ms),
            ("call to socket, longest", "ms", lambda outcome: outcome.worst_ms),
        ]
        busy_for = [outcome.gateway_busy for outcome in outcomes]
        rows.append(Row(f"{what}: gateway", "cores", busy_for, "planned", planned, ""))
        rows += [
            Row(f"{what}: {figure}", unit, [of(outcome) for outcome in outcomes], "", [], "")
            for figure, unit, of in figures
        ]
        if scenario.lost or scenario.away_s:
            after = [o.back_after_s for o in outcomes if o.back_after_s is not None]
            never = len(outcomes) - len(after)
            name = f"{what}: all within 0.1 s again after"
            rows.append(
                Row(name, "s", after, "", [], "", f"never in {never} rounds" if never else "")
            )
    return rows


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
