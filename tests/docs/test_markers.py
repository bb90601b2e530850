"""What ``make test-fast`` leaves out is known by what a test uses (tests/conftest.py)."""

from __future__ import annotations

import pytest

import conftest


def marks(request: pytest.FixtureRequest) -> set[str]:
    return {mark.name for mark in request.node.iter_markers()} & {"process", "browser", "slow"}


@pytest.mark.usefixtures("stack")
def test_a_test_with_a_fixture_of_processes_is_marked(request: pytest.FixtureRequest) -> None:
    assert marks(request) == {"process"}


def test_a_test_without_one_is_not_marked(request: pytest.FixtureRequest) -> None:
    assert marks(request) == set()


def test_every_name_that_marks_a_module_is_one_that_a_test_imports() -> None:
    tests = "".join(path.read_text() for path in conftest.TESTS.rglob("test_*.py"))
    assert [name for name in conftest.STARTS_PROCESSES if name not in tests] == []
