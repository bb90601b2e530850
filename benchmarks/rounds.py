"""Rounds, medians and the one table that every benchmark prints."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from stepwire_cli.dev.embedded_server import server_program

_GOAL: Final = re.compile(r"(<=|<|>=|>) ([\d,.]+)(?: (.+))?")


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its peer, both from the same run: one value a round.

    ``goal`` is about the ratio, as ``<= 0.5``, or, followed by the unit, about our own figure, as
    ``>= 3,000 steps/s``; an empty one sets no goal. A row whose peer is not on this machine
    says so in ``skipped``, has no ``theirs``, and may have no figures at all.

    Raises:
        ValueError: the goal has another form.
    """

    what: str
    unit: str
    ours: Sequence[float]
    peer: str
    theirs: Sequence[float]
    goal: str
    skipped: str = ""

    def __post_init__(self) -> None:
        if self.goal and (
            (match := _GOAL.fullmatch(self.goal)) is None or match[3] not in {None, self.unit}
        ):
            raise ValueError(
                f"goal {self.goal!r}: write '<= 0.5' about the ratio, "
                f"or '<= 5 {self.unit}' about the figure"
            )

    @property
    def ratio(self) -> float | None:
        """Ours to theirs, medians over the rounds; None without one of them, or beside nothing."""
        if not self.ours or not self.theirs or not (theirs := statistics.median(self.theirs)):
            return None
        return statistics.median(self.ours) / theirs

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal, or without the figures to judge it."""
        if (match := _GOAL.fullmatch(self.goal)) is None:
            return None
        if match[3] is None:
            value = self.ratio
        else:
            value = statistics.median(self.ours) if self.ours else None
        if value is None:
            return None
        limit = float(match[2].replace(",", ""))
        if value == limit:
            return "=" in match[1]
        return (value < limit) == match[1].startswith("<")

    def document(self) -> dict[str, Any]:
        """Everything of the row, for JSON."""
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": list(self.ours),
            "peer": self.peer,
            "theirs": list(self.theirs),
            "ratio": self.ratio,
            "goal": self.goal,
            "met": self.met,
            "skipped": self.skipped,
        }


def percentile(values: Sequence[float], percent: int) -> float:
    """Of values that are a sample of what may happen."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _figure(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{_short(statistics.median(values))} [{_short(min(values))} .. {_short(max(values))}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Medians with minimum and maximum over the rounds."""
    header = ("what", "unit", "stepwire", "beside", "that", "ratio", "goal", "met")
    body = [
        (
            row.what,
            row.unit,
            _figure(row.ours),
            row.peer,
            f"skipped: {row.skipped}" if row.skipped else _figure(row.theirs),
            "" if row.ratio is None else f"{row.ratio:.3g}",
            row.goal,
            {True: "yes", False: "no", None: ""}[row.met],
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in (header, *body)) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *body)
    )


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    program = subprocess.run(
        [server_program(), "--version"], capture_output=True, text=True, check=True
    )
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "server": " ".join(program.stdout.split()[:3]),
        "redis-py": version("redis"),
        "arq": version("arq"),
    }
