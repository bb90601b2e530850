"""Draws the panels of the Grafana dashboard from a Prometheus, as SVG.

    python docs/diagrams/dashboard.py http://127.0.0.1:9090 FROM TO docs/dashboard.svg

It asks the queries of deploy/grafana/stepwire.json, in their places. It is not Grafana's picture:
Grafana draws axes and colours of its own.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import httpx

DASHBOARD: Final = Path(__file__).parents[2] / "deploy/grafana/stepwire.json"

CELL_X: Final = 50
CELL_Y: Final = 22
GAP: Final = 6
POINTS: Final = 90

COLOURS: Final = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#65a30d")

STYLE: Final = """
    text { font: 11px system-ui, sans-serif; fill: #374151; }
    .title { font-weight: 600; fill: #111827; }
    .row { font-size: 13px; font-weight: 600; fill: #111827; }
    .number { font-size: 26px; font-weight: 600; fill: #2563eb; }
    .axis { fill: #9ca3af; font-size: 10px; }
    .paper { fill: #f9fafb; }
    .panel { fill: #fff; stroke: #e5e7eb; }
    .grid { stroke: #f3f4f6; }
    .line { fill: none; stroke-width: 1.5; }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One time series: its name, and its values by the share of the time that has passed."""

    name: str
    points: list[tuple[float, float]]


class Prometheus:
    """The numbers between two moments."""

    def __init__(self, url: str, begin: float, end: float) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self._begin, self._end = begin, end

    def lines(self, target: dict[str, Any]) -> list[Line]:
        step = max(1.0, (self._end - self._begin) / POINTS)
        query = target["expr"].replace("$__rate_interval", f"{max(10, int(4 * step))}s")
        asked = {"query": query, "start": self._begin, "end": self._end, "step": step}
        answer = self._http.get("/api/v1/query_range", params=asked).raise_for_status().json()
        return [
            Line(
                named(target["legendFormat"], series["metric"]),
                [
                    ((at - self._begin) / (self._end - self._begin), float(value))
                    for at, value in series["values"]
                    if value not in ("NaN", "+Inf", "-Inf")
                ],
            )
            for series in answer["data"]["result"]
        ]


def named(form: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        form = form.replace("{{" + label + "}}", value)
    # A label that is empty is not there.
    return re.sub(r" ?\{\{\w+\}\}", "", form)


def told(value: float, unit: str) -> str:
    """A number as people read it."""
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit in ("bytes", "Bps"):
        for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= size:
                return f"{value / size:.3g} {name}" + ("/s" if unit == "Bps" else "")
    text = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return text + {"s": " s", "ops": "/s", "reqps": "/s", "Bps": " B/s"}.get(unit, "")


def drawn(panel: dict[str, Any], prometheus: Prometheus) -> Iterator[str]:
    place = panel["gridPos"]
    x, y = place["x"] * CELL_X, place["y"] * CELL_Y
    width, height = place["w"] * CELL_X - GAP, place["h"] * CELL_Y - GAP
    yield f'  <g transform="translate({x + GAP},{y + GAP})">'
    if panel["type"] == "row":
        yield f'    <text class="row" x="4" y="13">{escape(panel["title"])}</text>'
    else:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        lines = [line for target in panel["targets"] for line in prometheus.lines(target)]
        yield f'    <rect class="panel" width="{width}" height="{height}" rx="3"/>'
        yield f'    <text class="title" x="8" y="16">{escape(panel["title"])}</text>'
        yield from (_number if panel["type"] == "stat" else _chart)(lines, unit, width, height)
    yield "  </g>"


def _number(lines: list[Line], unit: str, width: int, height: int) -> Iterator[str]:
    values = [line.points[-1][1] for line in lines if line.points]
    text = told(values[0], unit) if values else "no data"
    x, y = width / 2 - 7 * len(text), height / 2 + 16
    yield f'    <text class="number" x="{x}" y="{y}">{text}</text>'


def _chart(lines: list[Line], unit: str, width: int, height: int) -> Iterator[str]:
    left, top, right, bottom = 52, 26, width - 8, height - 24
    most = max((value for line in lines for _, value in line.points), default=0) or 1.0
    for part in (0.0, 0.5, 1.0):
        at = bottom - part * (bottom - top)
        yield f'    <path class="grid" d="M{left},{at:.1f}H{right}"/>'
        yield f'    <text class="axis" x="4" y="{at + 3:.1f}">{told(most * part, unit)}</text>'
    x = 8.0
    for line, colour in zip(lines, COLOURS * (1 + len(lines) // len(COLOURS)), strict=False):
        points = " ".join(
            f"{left + share * (right - left):.1f},{bottom - value / most * (bottom - top):.1f}"
            for share, value in line.points
        )
        yield f'    <polyline class="line" stroke="{colour}" points="{points}"/>'
        room = 14 + 6 * len(line.name)
        if x + room < width:
            yield f'    <circle cx="{x + 3}" cy="{height - 9}" r="3" fill="{colour}"/>'
            yield f'    <text x="{x + 9}" y="{height - 5}">{escape(line.name)}</text>'
            x += room


def main() -> None:
    url, begin, end, path = sys.argv[1:]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    prometheus = Prometheus(url, float(begin), float(end))
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * CELL_X + GAP, rows * CELL_Y + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="paper" width="{width}" height="{height}"/>',
    ]
    for panel in panels:
        lines += drawn(panel, prometheus)
    Path(path).write_text("\n".join([*lines, "</svg>", ""]))


if __name__ == "__main__":
    main()
