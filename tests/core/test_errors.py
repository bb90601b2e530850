"""Errors as other processes and other copies get them."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

import pytest

import stepwire
import stepwire_cli
import stepwire_core
import stepwire_gateway
from stepwire_core.errors import InvalidId, SessionFull, StepwireError
from stepwire_core.queue.dead_letters import DeadLetter
from stepwire_core.wire.run_request import RunRequest

LETTER: Final = DeadLetter(
    request=RunRequest(session_id="s", run_id="r", handler="h"),
    status="error",
    error=None,
    attempts=1,
    ended_at="2026-01-01T00:00:00.000Z",
)

SAMPLES: Final[dict[object, object]] = {
    str: "tea",
    int: 7,
    float: 0.5,
    bool: False,
    object: {"any": "thing"},
    list[str]: ["a", "b"],
    dict[str, str]: {"a": "b"},
    list[tuple[str, str]]: [("a", "b")],
    Exception: ValueError("why"),
    float | None: 1.5,
    Mapping[str, Any] | None: {"code": "session_full"},
    DeadLetter: LETTER,
}
"""A value for each type that a constructor of ours takes."""


def modules() -> Iterator[str]:
    for package in (stepwire, stepwire_core, stepwire_cli, stepwire_gateway):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # One runs a command; the others need what is measured beside us.
            if not module.name.endswith("__main__"):
                yield module.name


def subclasses(of: type[StepwireError]) -> Iterator[type[StepwireError]]:
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


def all_errors() -> list[type[StepwireError]]:
    for name in modules():
        importlib.import_module(name)
    ours = {each for each in subclasses(StepwireError) if each.__module__.startswith("stepwire")}
    return [StepwireError, *sorted(ours, key=lambda each: each.__name__)]


def made(error: type[StepwireError]) -> StepwireError:
    constructor: Callable[..., object] = error.__init__
    if constructor is StepwireError.__init__:
        return error("what happened")
    hints = typing.get_type_hints(constructor, vars(inspect.getmodule(error)) | globals())
    hints.pop("return", None)
    return error(**{name: SAMPLES[hint] for name, hint in hints.items()})


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_is_the_same_in_another_process(error: type[StepwireError]) -> None:
    before = made(error)
    before.add_note("seen on the way")
    for name, again in (
        ("pickle", pickle.loads(pickle.dumps(before))),  # noqa: S301 - our own bytes
        ("copy", copy.copy(before)),
        ("deepcopy", copy.deepcopy(before)),
    ):
        assert type(again) is error, name
        assert (str(again), again.args) == (str(before), before.args), name
        assert vars(again) == vars(before), name


def test_an_error_of_users_that_derives_from_ours_travels_too() -> None:
    again: Any = pickle.loads(pickle.dumps(Theirs(flavour="tea")))  # noqa: S301
    assert (type(again), str(again), again.flavour) == (Theirs, "no tea", "tea")


class Theirs(StepwireError):
    def __init__(self, *, flavour: str) -> None:
        self.flavour = flavour
        super().__init__(f"no {flavour}")


def full() -> None:
    raise SessionFull("s", "steps", 3)


def refused() -> None:
    raise InvalidId("step", threading.Lock())


def test_a_pool_of_processes_hands_an_error_on_and_lives() -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        with pytest.raises(SessionFull, match="may have 3 steps") as raised:
            pool.submit(full).result(60)
        assert (raised.value.limit, raised.value.setting) == (3, "STEPWIRE_SESSION_MAX_STEPS")
        # The refused value cannot leave its process; the error can.
        with pytest.raises(InvalidId, match="is not usable"):
            pool.submit(refused).result(60)
        assert pool.submit(int, "4").result(60) == 4
