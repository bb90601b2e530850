"""Any value becomes text; one bad value costs only itself."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading

import pytest
from pydantic import BaseModel

from stepwire._text import as_text


class Model(BaseModel):
    name: str
    lock: object = None


@dataclasses.dataclass
class Point:
    x: int
    at: dt.date


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "text", "language"),
    [
        (None, "", None),
        ("text", "text", None),
        (0, "0", "text"),
        (1.5, "1.5", "text"),
        (b"abc", "<3 bytes>", "text"),
        ([], "[]", "json"),
        ({"ä": [1, None]}, '{\n    "ä": [\n        1,\n        null\n    ]\n}', "json"),
    ],
)
def test_values_as_users_see_them(value: object, text: str, language: str | None) -> None:
    assert as_text(value) == (text, language)


def test_structures_of_all_kinds_are_json() -> None:
    value = {
        "model": Model(name="m"),
        "point": Point(1, dt.date(2026, 1, 2)),
        "when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "set": {1},
        7: b"xy",
    }
    assert json.loads(as_text(value)[0]) == {
        "model": {"name": "m", "lock": None},
        "point": {"x": 1, "at": "2026-01-02"},
        "when": "2026-01-02T00:00:00Z",
        "set": [1],
        "7": "<2 bytes>",
    }


def test_a_bad_value_costs_only_itself() -> None:
    lock = threading.Lock()
    shown = json.loads(
        as_text({"good": 1, "lock": lock, "rude": Rude(), "m": Model(name="n", lock=lock)})[0]
    )
    assert shown["good"] == 1
    assert shown["lock"] == str(lock)
    assert shown["rude"] == "<Rude: its text raised RuntimeError>"
    assert shown["m"] == {"name": "n", "lock": str(lock)}


def test_a_structure_that_contains_itself_is_cut_off() -> None:
    endless: list[object] = []
    endless.append(endless)
    text, language = as_text(endless)
    assert language == "json"
    assert "[...]" in text
