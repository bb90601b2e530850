"""The arguments of the scripts: one order, written once."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import takewhile

import pytest

from stepwire_core.redis.scripts import ARGUMENTS, lua_source, script_args

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


def test_an_argument_that_is_missing_or_unknown_is_refused() -> None:
    assert script_args("log/begin_run", "rest", turn="t", run="r", token="k") == [  # noqa: S106
        "r",
        "k",
        "t",
        "rest",
    ]
    for wrong in ({"run": "r", "token": "k"}, {"run": "r", "token": "k", "turn": "", "more": 1}):
        with pytest.raises(TypeError, match="log/begin_run takes run, token, turn"):
            script_args("log/begin_run", **wrong)


def test_a_script_begins_with_its_arguments_as_variables() -> None:
    head = b"local HEAD = 3\nlocal run, token, turn = ARGV[1], ARGV[2], ARGV[3]\n"
    assert lua_source("log/begin_run").startswith(head)
