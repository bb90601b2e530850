"""Rounds, medians and the one table that every benchmark prints."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its peer, both from the same run: one value a round."""

    what: str
    unit: str
    ours: Sequence[float]
    peer: str
    theirs: Sequence[float]
    goal: str

    @property
    def ratio(self) -> float:
        """Ours to theirs, medians over the rounds."""
        return statistics.median(self.ours) / statistics.median(self.theirs)


def _figure(values: Sequence[float]) -> str:
    median = statistics.median(values)
    return f"{median:,.4g} [{min(values):,.4g} .. {max(values):,.4g}]"


def table(rows: Sequence[Row]) -> str:
    """Medians with minimum and maximum over the rounds."""
    header = ("what", "unit", "stepwire", "beside", "that", "ratio", "goal")
    body = [
        (
            row.what,
            row.unit,
            _figure(row.ours),
            row.peer,
            _figure(row.theirs),
            f"{row.ratio:.3g}",
            row.goal,
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in (header, *body)) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *body)
    )


def write_json(rows: Sequence[Row], path: Path) -> None:
    """All figures of all rounds, with what they were measured on."""
    document = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
