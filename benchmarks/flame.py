"""Draws a profile: folded stacks, as py-spy writes them, as an SVG that needs no script.

    py-spy record --gil -t -f raw -o stacks.txt -- python benchmarks/stream_token.py
    python benchmarks/flame.py stacks.txt docs/profile.svg "stream_token in one worker process"

Of each thread only what lies above the event loop, or above its first function, is drawn; functions
without lines, the widest first; what is narrower than a letter is left out.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

WIDTH: Final = 1100
LINE: Final = 17
LETTER: Final = 6.2
HEAD: Final = 30

_FRAME: Final = re.compile(r"(?P<name>.+?) \((?P<file>.+?)(?::\d+)?\)")
_BOTTOM: Final = re.compile(r"Handle\._run|Thread\.run")
_COLOURS: Final = {"stepwire": "#f4a261", "redis": "#8ecae6", "json": "#b7e4c7", "asyncio": "#ddd"}


@dataclass(slots=True)
class Node:
    """A function, below those that called it."""

    samples: int = 0
    below: dict[str, Node] = field(default_factory=dict)

    def add(self, frames: list[str], samples: int) -> None:
        self.samples += samples
        if frames:
            self.below.setdefault(frames[0], Node()).add(frames[1:], samples)


def frames_of(stack: str) -> list[str]:
    """The functions of a stack, without what every stack begins with."""
    thread, *frames = stack.split(";")
    bottoms = [at for at, frame in enumerate(frames) if _BOTTOM.match(frame)]
    return [
        thread.rpartition(": ")[2],
        *map(_short, frames[bottoms[-1] + 1 :] if bottoms else frames),
    ]


def _short(frame: str) -> str:
    match = _FRAME.fullmatch(frame)
    if match is None:
        return frame
    # The end of an absolute path: its beginning says where a user keeps files.
    file = match["file"] if match["file"][0] != "/" else match["file"].rpartition("/")[2]
    return f"{match['name']} ({file})"


def tree_of(folded: str) -> Node:
    """All stacks, one into the other."""
    root = Node()
    for line in folded.splitlines():
        stack, _, samples = line.rpartition(" ")
        root.add(frames_of(stack), int(samples))
    return root


def _drawn(name: str, node: Node, x: float, depth: int, scale: float, whole: int) -> list[str]:
    width = node.samples * scale
    if width < LETTER:
        return []
    y = HEAD + depth * LINE
    colour = next((c for part, c in _COLOURS.items() if f"({part}" in name), "#eee")
    text = name if len(name) * LETTER < width else name.partition(" (")[0]
    letters = int(width / LETTER)
    text = text if len(text) <= letters else text[: letters - 1] + "…" if letters > 3 else ""
    share = f"{100 * node.samples / whole:.1f} %"
    box = f'<rect x="{x:.1f}" y="{y}" width="{width - 0.5:.1f}" height="{LINE - 1}"'
    label = f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(text)}</text>'
    title = f"<title>{escape(name)}: {share}</title>"
    lines = [f'<g>{title}{box} fill="{colour}"/>{label}</g>']
    for below, child in sorted(node.below.items(), key=lambda item: -item[1].samples):
        lines += _drawn(below, child, x, depth + 1, scale, whole)
        x += child.samples * scale
    return lines


def _depth(node: Node, scale: float) -> int:
    shown = [child for child in node.below.values() if child.samples * scale >= LETTER]
    return 1 + max((_depth(child, scale) for child in shown), default=0)


def svg(folded: str, title: str) -> str:
    """The picture."""
    root = tree_of(folded)
    scale = WIDTH / root.samples
    height = HEAD + _depth(root, scale) * LINE + 4
    body = "\n".join(_drawn("all threads", root, 0, 0, scale, root.samples))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="monospace" font-size="10">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        f'<text x="3" y="18" font-size="14">{escape(title)}</text>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    stacks, picture, title = sys.argv[1:]
    Path(picture).write_text(svg(Path(stacks).read_text(), title))
