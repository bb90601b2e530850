"""The arguments of the scripts: one order, written once."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import takewhile
from pathlib import Path

import pytest

from stepwire_core.redis.scripts import ARGUMENTS, ROWS, lua_constants, lua_source, script_args
from stepwire_core.wire.events import NewEvent

PER_SCRIPT = {"AT_ONCE"}
"""A bound of its own in each script: how much one call does."""

every_script = pytest.mark.parametrize("name", ARGUMENTS)


def file_of(name: str) -> Traversable:
    folder, _, script = name.partition("/")
    return files("stepwire_core").joinpath(folder, "lua", f"{script}.lua")


@every_script
def test_the_head_of_a_script_describes_its_arguments_in_their_order(name: str) -> None:
    text = file_of(name).read_text()
    head = "\n".join(takewhile(lambda line: line.startswith("--"), text.split("\n")))
    described = head.partition("-- ARGV")[2]
    at = 0
    for argument in ARGUMENTS[name]:
        place = re.compile(rf"\b{argument}\b").search(described, at)
        assert place, argument
        at = place.end()


@every_script
def test_a_script_uses_its_arguments_by_name_alone(name: str) -> None:
    text = file_of(name).read_text()
    assert not re.search(r"ARGV\[\d", text)
    code = re.sub(r"--.*", "", text)
    for argument in ARGUMENTS[name]:
        assert re.search(rf"\b{argument}\b", code), argument


@pytest.mark.parametrize("name", ROWS)
def test_a_script_reads_the_values_of_a_row_by_their_places(name: str) -> None:
    code = re.sub(r"--.*", "", file_of(name).read_text())
    for place in ("width", *ROWS[name]):
        assert re.search(rf"\b{place.upper()}\b", code), place


def test_an_event_is_a_row_of_the_script_that_appends() -> None:
    assert NewEvent._fields == ROWS["log/append"]


def test_no_number_is_written_in_two_scripts() -> None:
    """What several scripts need stands once: in a part that stands before them, or in Python."""
    defined: dict[str, set[str]] = {}
    for path in sorted(Path(str(files("stepwire_core"))).rglob("*.lua")):
        for names, values in re.findall(
            r"^local ([A-Z_, ]+) = (.+?)(?: --.*)?$", path.read_text(), re.MULTILINE
        ):
            for name, value in zip(names.split(", "), values.split(", "), strict=False):
                if name not in PER_SCRIPT:
                    defined.setdefault(name, set()).add(f"{path.name}: {value}")
    assert {name: places for name, places in defined.items() if len(places) > 1} == {}


def test_a_constant_of_python_is_one_of_lua() -> None:
    assert lua_constants(A=1, B="it's", C=["x", "y"], D={"s:": "gone"}) == (
        b"local A = 1\nlocal B = 'it\\'s'\nlocal C = {'x', 'y'}\nlocal D = {['s:'] = 'gone'}\n"
    )


def test_an_argument_that_is_missing_or_unknown_is_refused() -> None:
    right = {"message": "m", "turn": "t", "run": "r", "token": "k"}
    assert script_args("log/begin_run", "rest", **right) == ["r", "k", "t", "m", "rest"]
    for wrong in ({"run": "r", "token": "k"}, right | {"more": "1"}):
        with pytest.raises(TypeError, match="log/begin_run takes run, token, turn, message"):
            script_args("log/begin_run", **wrong)


def test_a_script_begins_with_its_arguments_as_variables() -> None:
    head = b"local HEAD = 4\nlocal run, token, turn, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n"
    assert lua_source("log/begin_run").startswith(head)
