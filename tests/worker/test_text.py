"""Any value becomes text; one bad value costs only itself."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading

import pytest
from pydantic import BaseModel

from stepwire._tree.rendering import as_text, bounded, labels
from stepwire_core.values.json_values import TOO_DEEP


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
    assert TOO_DEEP in text


def test_metadata_that_fits_is_shown_as_it_is() -> None:
    values = {"a": [1, {"b": None}], "c": "x" * 900}
    assert bounded(values, 1_000) == values
    assert bounded({}, 0) == {}


def test_of_metadata_that_is_too_long_the_rest_stays_and_marks_say_what_is_missing() -> None:
    shown = bounded({"before": 1, "prompt": "x" * 10_000, "after": [2]}, 1_000)
    assert shown == {"before": 1, "prompt": "[left out: 10008 characters]", "after": [2]}
    many = bounded({f"key {n}" * 1_000: "x" * 1_000 for n in range(1_000)}, 1_000)
    assert len(json.dumps(many)) < 30_000
    assert many["…"] == "[left out: 980 more entries]"


def test_labels_are_bounded_in_length_and_number() -> None:
    assert labels(["short"]) == ["short"]
    shown = labels(["x" * 5_000] * 150)
    assert shown == [*["x" * 1_000 + "…"] * 100, "… 50 more"]
