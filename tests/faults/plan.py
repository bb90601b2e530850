"""A plan of what is done to workers, and the report of what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MOMENTS: Final = ("noreplicas", "misconf", "busy", "silence", "unreadable")
"""What can be asked for in :attr:`Plan.moments`, and goes together; ``failover`` is another one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a storm; a seed deals the same work and faults in the same order."""

    runs: int
    seed: int
    restart_redis: bool
    every_s: float = 1.0
    storm_s: float = 20.0
    """Then there is peace: a slow machine must get through, too."""
    messages: int = 4
    """Sent by one client, each when the last is answered."""
    pace: float = 1.0
    """How long handlers take."""
    limit_s: float = 90.0
    moments: tuple[str, ...] = ()
    """Of :data:`MOMENTS` and ``failover``: each at least once, one after another."""
    hostile: tuple[str, ...] = ()
    """Of :data:`HOSTILE`: tasks that run beside the others, in the same workers."""
    repeats: int = 2
    """How often each of them is run."""


@dataclass(slots=True)
class Report:
    """The actions of a storm, and what clients must not have seen."""

    faults: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    hostile: Counter[str] = field(default_factory=Counter)
    """How hostile runs have ended."""
    events: int = 0
    parts: int = 0
    """Sub-tasks that were begun."""
    dead_letters: int = 0
    took_s: float = 0.0
    violations: list[str] = field(default_factory=list)


def summary(plan: Plan, report: Report) -> str:
    """The actions and their outcome, for people."""

    def counts(of: Counter[str] | Counter[int]) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(of.items(), key=str)) or "none"

    lines = {
        "plan": f"{plan.runs} runs, seed {plan.seed}"
        + (", Redis restarted in the middle" if plan.restart_redis else ""),
        "done": counts(report.faults),
        "runs ended": counts(report.ended),
        "hostile": counts(report.hostile),
        "attempts": ", ".join(f"{n} x {a}" for a, n in sorted(report.attempts.items())),
        "sub-tasks": str(report.parts),
        "events": f"{report.events:,}",
        "dead letters": str(report.dead_letters),
        "took": f"{report.took_s:.0f} s",
        "violations": str(len(report.violations)),
    }
    return "\n".join(f"{name:<13}{value}" for name, value in lines.items())
