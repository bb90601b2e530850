"""The picture of a profile."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from flame import frames_of, svg

STACK = (
    "thread (7): MainThread;run (app.py:3);Handle._run (asyncio/events.py:80);"
    "Step.stream_token (stepwire/_tree/step.py:137);<lambda> (/home/ada/app.py:9)"
)


def test_what_every_stack_begins_with_and_where_files_are_is_left_out() -> None:
    assert frames_of(STACK) == [
        "MainThread",
        "Step.stream_token (stepwire/_tree/step.py)",
        "<lambda> (app.py)",
    ]


def test_a_function_is_as_wide_as_its_share_whatever_line_it_was_in() -> None:
    other = STACK.replace(":137", ":120").replace("<lambda>", "other")
    picture = svg(f"{STACK} 30\n{other} 10\n", "what <this> is")
    groups = [group for group in ET.fromstring(picture) if len(group) == 3]  # noqa: S314 - our own
    shown = {group[0].text: float(group[1].attrib["width"]) for group in groups}
    widths = [shown["<lambda> (app.py): 75.0 %"], shown["other (app.py): 25.0 %"]]
    assert round(widths[0] / widths[1]) == 3
    assert "Step.stream_token (stepwire/_tree/step.py): 100.0 %" in shown
    assert "ada" not in picture
