"""axe: what of a page breaks the rules for people who cannot see it, or use no mouse."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from playwright.sync_api import Page

_SOURCE: Final = (
    Path(__file__).parents[2] / "inspector" / "node_modules" / "axe-core" / "axe.min.js"
)

_RUN: Final = """(within) => axe.run(within ?? document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}).then(({violations}) => violations.flatMap(({id, nodes}) =>
    nodes.map(({target, failureSummary}) => `${id}: ${target}: ${failureSummary}`)))"""


def violations(page: Page, within: str | None = None) -> list[str]:
    """What axe finds on the page as it is now, in the element of a selector."""
    # Not by a script element, which the page's policy refuses.
    page.evaluate(_SOURCE.read_text() + ";0")
    found: list[str] = page.evaluate(_RUN, within)
    return found
