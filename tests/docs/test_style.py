"""How documents are written, as far as a program can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.snippets import ROOT

MOST_CHARACTERS = 120
MOST_WORDS_IN_A_CELL = 25

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "tests/README.md",
    ROOT / "examples/cookbook/README.md",
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_short_enough_to_be_read_side_by_side(document: Path) -> None:
    lines = document.read_text().splitlines()
    # The address of a link cannot be broken, nor can a row of a table.
    prose = [re.sub(r"\]\([^)]*\)", "]", line) for line in lines if not line.startswith("|")]
    assert [line for line in prose if len(line) > MOST_CHARACTERS] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_cells_of_tables_hold_no_paragraphs(document: Path) -> None:
    rows = [line for line in document.read_text().splitlines() if line.startswith("|")]
    cells = [cell for row in rows for cell in row.strip("|").split("|")]
    assert [cell for cell in cells if len(cell.split()) > MOST_WORDS_IN_A_CELL] == []
