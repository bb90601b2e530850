"""The pictures of the documents are those of their sources."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

from docs.snippets import ROOT

DRAW = ROOT / "docs/diagrams/draw.py"
SOURCE = ROOT / "docs/diagrams/architecture.toml"
PICTURE = ROOT / "docs/architecture.svg"


def _drawn(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DRAW), str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_the_picture_of_the_architecture_is_drawn_from_its_source(tmp_path: Path) -> None:
    done = _drawn(SOURCE, tmp_path / "again.svg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.svg").read_text() == PICTURE.read_text(), "run: make docs"


def test_every_box_is_inside_the_picture_and_none_lies_on_another() -> None:
    root = ET.parse(PICTURE).getroot()  # noqa: S314 - our own file
    name = "{http://www.w3.org/2000/svg}rect"
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    boxes = [
        tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        for rect in root.iter(name)
        if rect.attrib["class"] == "box"
    ]
    assert len(boxes) > 10
    for number, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        for x2, y2, w2, h2 in boxes[:number]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_every_box_of_the_architecture_stands_for_a_file_of_the_tree() -> None:
    boxes = tomllib.loads(SOURCE.read_text())["box"]
    assert [box["title"] for box in boxes if not (ROOT / box["code"]).is_file()] == []


def test_the_numbers_of_the_picture_are_those_of_the_way_of_one_event() -> None:
    labels = [arrow["label"].split()[:1] for arrow in tomllib.loads(SOURCE.read_text())["arrow"]]
    shown = {word for label in labels for word in label}
    text = (ROOT / "docs/architecture.md").read_text()
    way = text.split("## The way of one event")[1].split("\n## ")[0]
    told = set(re.findall(r"^(?:- )?(\w)\. ", way, re.MULTILINE))
    assert shown <= told, shown - told


def test_a_side_that_does_not_exist_is_named(tmp_path: Path) -> None:
    source = tmp_path / "wrong.toml"
    source.write_text(SOURCE.read_text().replace("buffer.top", "buffer.middle"))
    done = _drawn(source, tmp_path / "wrong.svg")
    assert done.returncode != 0
    assert "'middle' is not a side" in done.stderr
