"""The page's colours can be read, in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOKENS = (Path(__file__).parents[2] / "inspector/src/design/tokens.css").read_text()
_PAIR = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
COLOURS = {name: (light, dark) for name, light, dark in _PAIR.findall(TOKENS)}

TEXTS = [
    *("text", "soft", "faint", "focus", "ok", "bad", "warn"),
    *("violet", "amber", "teal", "blue", "pink", "slate"),
]
GROUNDS = ["page", "surface", "sunken", "selected"]


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def mixed(colour: str, ground: str, share: float) -> str:
    """As ``color-mix(in srgb, …)`` does."""
    pairs = ((int(colour[at : at + 2], 16), int(ground[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(text: str, ground: str, scheme: int) -> None:
    assert contrast(COLOURS[text][scheme], COLOURS[ground][scheme]) >= 4.5


@pytest.mark.parametrize("tone", TEXTS[4:])
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_a_chip_can_be_read_on_its_own_colour(tone: str, scheme: int) -> None:
    colour, surface = COLOURS[tone][scheme], COLOURS["surface"][scheme]
    assert contrast(colour, mixed(colour, surface, 0.12)) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_lines_of_fields_can_be_seen(scheme: int) -> None:
    """WCAG 2.2, 1.4.11: 3 to 1."""
    assert contrast(COLOURS["line-strong"][scheme], COLOURS["surface"][scheme]) >= 3


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_white_stands_out_from_the_main_button(scheme: int) -> None:
    assert contrast("#ffffff", COLOURS["accent"][scheme]) >= 4.5
