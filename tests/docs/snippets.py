"""The code in a document, as a reader would type it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_CODE = re.compile(
    r"^```\w+(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
_EXECUTED = re.compile(
    r"^<!-- Executed as it stands by [^\n]* -->\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL
)


def files(document: str) -> dict[str, str]:
    """The files that a document has its reader write, by their name."""
    text = (ROOT / document).read_text()
    return {code["title"]: code["code"] for code in _CODE.finditer(text) if code["title"]}


def executed(document: str) -> list[str]:
    """The snippets that a document says are executed as they stand."""
    found: list[str] = _EXECUTED.findall((ROOT / document).read_text())
    return found
