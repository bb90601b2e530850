"""Any value becomes text; one bad value costs only itself."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import json
import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from pydantic import BaseModel

from stepwire._values.rendering import as_text, bounded, labels
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


def test_a_value_that_can_be_read_once_is_left_to_the_code_that_it_was_made_for() -> None:
    items = iter([1, 2])
    generator = (number for number in [1, 2])
    assert as_text({"items": items, "generator": generator})[1] == "json"
    bounded({"generator": generator}, 1_000)
    assert (list(items), list(generator)) == ([1, 2], [1, 2])


class Counted(collections.UserList[object]):
    """Tells how many of its items have been read."""

    read = 0

    def __iter__(self) -> Iterator[object]:
        for item in self.data:
            self.read += 1
            yield item


@pytest.mark.parametrize(
    "value",
    [
        {"a": ["x" * 7, None, {"b": [1.5] * 500}]},
        [{"key" * 30: "x" * 5_000}, 2],
        [["é" * 40] * 40] * 40,
        {f"key {number}": number for number in range(1_000)},
    ],
)
def test_a_text_with_a_limit_is_the_beginning_of_the_whole_text(value: object) -> None:
    whole, _ = as_text(value)
    for limit in (1, 10, 77, 500, 1_000):
        text, _ = as_text(value, limit)
        assert len(text) > limit
        assert text[:limit] == whole[:limit]
    assert as_text(value, len(whole))[0] == whole


def test_a_huge_structure_is_not_read_beyond_the_limit() -> None:
    huge = Counted(["x" * 10] * 100_000)
    text, _ = as_text({"huge": huge}, 1_000)
    assert 1_000 < len(text) < 10_000
    assert huge.read <= 1_000
    twice: list[object] = []
    twice += [twice, twice]
    assert len(as_text(twice, 1_000)[0]) < 100_000
    assert bounded({"twice": twice, "after": 1}, 1_000) == {
        "twice": "[left out: more than 1000 characters]",
        "after": 1,
    }


def test_numbers_and_arrays_of_numpy_are_numbers_and_lists() -> None:
    value = {
        "int": np.int64(3),
        "float": np.float32(1.5),
        "bool": np.bool_(True),
        "date": np.datetime64("2026-01-02"),
        "rows": np.array([[1.0, math.nan], [3.0, math.inf]]),
        "scalar": np.array(7),
        "long": np.longdouble(2),
    }
    assert json.loads(as_text(value)[0]) == {
        "int": 3,
        "float": 1.5,
        "bool": True,
        "date": "2026-01-02",
        "rows": [[1.0, None], [3.0, None]],
        "scalar": 7,
        "long": "2.0",
    }
    assert as_text(np.array([1, 2])) == ("[\n    1,\n    2\n]", "json")
    assert as_text(np.int64(5)) == ("5", "text")
    assert len(as_text(np.zeros((10_000, 10_000)), 1_000)[0]) < 20_000


def test_metadata_that_fits_is_shown_as_it_is() -> None:
    values = {"a": [1, {"b": None}], "c": "x" * 900}
    assert bounded(values, 1_000) == values
    assert bounded({}, 0) == {}


def test_of_metadata_that_is_too_long_the_rest_stays_and_marks_say_what_is_missing() -> None:
    shown = bounded({"before": 1, "prompt": "x" * 10_000, "after": [2]}, 1_000)
    assert shown == {"before": 1, "prompt": "[left out: more than 1000 characters]", "after": [2]}
    assert bounded({"a": "x" * 900, "b": "y" * 900}, 1_000)["b"] == "[left out: 903 characters]"
    many = bounded({f"key {n}" * 1_000: "x" * 1_000 for n in range(1_000)}, 1_000)
    assert len(json.dumps(many)) < 30_000
    assert many["…"] == "[left out: 980 more entries]"


def test_labels_are_bounded_in_length_and_number() -> None:
    assert labels(["short"]) == ["short"]
    shown = labels(["x" * 5_000] * 150)
    assert shown == [*["x" * 1_000 + "…"] * 100, "… 50 more"]
