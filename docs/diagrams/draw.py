"""Draws a diagram, which is a TOML file of boxes and arrows, as SVG.

    python docs/diagrams/draw.py docs/diagrams/architecture.toml docs/architecture.svg

The same text makes the same bytes, so a test compares what is in the repository with its source.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

UNIT = 10
LINE = 16

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2937; text-anchor: middle; }
    .title { font-weight: 600; }
    .group-title { font-size: 12px; fill: #6b7280; text-anchor: start; }
    .label { font-size: 12px; fill: #1d4ed8; paint-order: stroke; stroke: #fff; stroke-width: 5px; }
    .paper { fill: #fff; }
    .group { fill: #f3f4f6; stroke: #d1d5db; }
    .box { fill: #fff; stroke: #6b7280; }
    .arrow { fill: none; stroke: #1d4ed8; stroke-width: 1.5; marker-end: url(#head); }
    #head path { fill: #1d4ed8; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e5e7eb; }
      .group-title { fill: #9ca3af; }
      .label { fill: #93c5fd; stroke: #111827; }
      .paper { fill: #111827; }
      .group { fill: #1f2937; stroke: #374151; }
      .box { fill: #111827; stroke: #9ca3af; }
      .arrow { stroke: #93c5fd; }
      #head path { fill: #93c5fd; }
    }
"""

HEAD = (
    '  <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
    ' markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and some lines of text."""

    x: float
    y: float
    width: float
    height: float
    title: str
    lines: tuple[str, ...] = ()
    id: str = ""
    code: str = ""
    """The file that it stands for; it is not drawn."""

    def anchor(self, side: str) -> Point:
        """A point of a side: ``right``, or ``right@0.25`` for a quarter of the way down.

        Raises:
            ValueError: a box does not have that side.
        """
        name, _, share = side.partition("@")
        part = float(share or 0.5)
        points = {
            "left": (self.x, self.y + part * self.height),
            "right": (self.x + self.width, self.y + part * self.height),
            "top": (self.x + part * self.width, self.y),
            "bottom": (self.x + part * self.width, self.y + self.height),
        }
        if name not in points:
            raise ValueError(f"{side!r} is not a side: use one of {', '.join(points)}")
        return points[name]


def drawn(source: dict[str, Any]) -> str:
    """The SVG of a diagram."""
    boxes = {item["id"]: _box(item) for item in source["box"]}
    width, height = source["width"] * UNIT, source["height"] * UNIT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"  <title>{escape(source['title'])}</title>",
        f"  <style>{STYLE}  </style>",
        HEAD,
        f'  <rect class="paper" width="{width}" height="{height}"/>',
    ]
    for group in source["group"]:
        lines += _group(_box(group))
    for box in boxes.values():
        lines += _rectangle(box)
    arrows = [(_points(arrow, boxes), arrow["label"]) for arrow in source["arrow"]]
    for points, _ in arrows:
        way = " ".join(f"{_px(x)},{_px(y)}" for x, y in points)
        lines.append(f'  <polyline class="arrow" points="{way}"/>')
    # Above all arrows, so that none crosses a label.
    for points, label in arrows:
        lines += _label(points, label)
    return "\n".join([*lines, "</svg>", ""])


def _box(item: dict[str, Any]) -> Box:
    lines: tuple[str, ...] = tuple(item.get("lines", ()))
    return Box(**{**item, "lines": lines})


def _group(box: Box) -> Iterator[str]:
    yield (
        f'  <rect class="group" rx="8" x="{_px(box.x)}" y="{_px(box.y)}"'
        f' width="{_px(box.width)}" height="{_px(box.height)}"/>'
    )
    yield _text("group-title", box.x + 1, box.y + 2, box.title)


def _rectangle(box: Box) -> Iterator[str]:
    yield (
        f'  <rect class="box" rx="5" x="{_px(box.x)}" y="{_px(box.y)}"'
        f' width="{_px(box.width)}" height="{_px(box.height)}"/>'
    )
    middle = box.x + box.width / 2
    spread = len(box.lines) * LINE / UNIT
    top = box.y + box.height / 2 - spread / 2 + 0.45
    yield _text("title", middle, top, box.title)
    for number, line in enumerate(box.lines, 1):
        yield _text("line", middle, top + number * LINE / UNIT, line)


def _points(arrow: dict[str, Any], boxes: dict[str, Box]) -> list[Point]:
    ends = []
    for name in (arrow["from"], arrow["to"]):
        box, _, side = name.partition(".")
        ends.append(boxes[box].anchor(side))
    return [ends[0], *((x, y) for x, y in arrow.get("via", ())), ends[1]]


def _label(points: list[Point], label: str) -> Iterator[str]:
    if label:
        (x1, y1), (x2, y2) = points[0], points[-1]
        yield _text("label", (x1 + x2) / 2, (y1 + y2) / 2 + 0.4, label)


def _text(name: str, x: float, y: float, text: str) -> str:
    return f'  <text class="{name}" x="{_px(x)}" y="{_px(y)}">{escape(text)}</text>'


def _px(length: float) -> str:
    return f"{length * UNIT:g}"


def main(source: str, target: str) -> None:
    """Draw one file into another."""
    diagram = tomllib.loads(Path(source).read_text(encoding="utf-8"))
    Path(target).write_text(drawn(diagram), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
