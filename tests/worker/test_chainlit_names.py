"""The names of the library whose API this is: those that are here, and what the others say."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import stepwire as cl
from stepwire._chainlit import HERE, INSTEAD
from stepwire.errors import NotProvided


def test_each_name_is_here_or_says_what_is_instead() -> None:
    assert HERE - set(cl.__all__) == {"__version__"}
    assert INSTEAD.keys() & set(cl.__all__) == set()
    assert INSTEAD.keys() & HERE == set()
    for name, instead in INSTEAD.items():
        with pytest.raises(NotProvided) as raised:
            getattr(cl, name)
        assert str(raised.value) == f"stepwire has no {name}, which chainlit has: {instead}"
        assert not hasattr(cl, name)
        assert getattr(cl, name, None) is None


def test_the_error_reaches_another_process_whole() -> None:
    error: NotProvided = pickle.loads(pickle.dumps(NotProvided("cache", "x")))  # noqa: S301
    assert issubclass(type(error), AttributeError)
    assert (error.attribute, error.instead) == ("cache", "x")


def test_any_other_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match="module 'stepwire' has no attribute 'Messages'"
    ) as raised:
        cl.Messages  # type: ignore[attr-defined]  # noqa: B018
    assert not isinstance(raised.value, cl.StepwireError)


def test_importing_loads_neither_the_list_nor_what_only_some_use() -> None:
    code = "import sys, stepwire; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = done.stdout.split()
    assert "stepwire" in loaded
    heavy = {"stepwire._chainlit", "matplotlib", "pandas", "plotly", "numpy", "arq", "httpx"}
    assert heavy.intersection(loaded) == set()
