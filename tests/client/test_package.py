"""The TypeScript client's own tests, on pip's Node, and whether its generated types are current."""

from __future__ import annotations

import re

import pytest

from client.openapi import document
from client.package import CLIENT, run

# The first test waits for the packages and the build.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("built_client")]

LEAST_TESTS = 50


def test_the_clients_unit_tests_pass() -> None:
    tests = sorted(map(str, CLIENT.glob("tests/*.test.mjs")))
    done = run("node", "--test", "--test-reporter=tap", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {what: int(n) for what, n in re.findall(r"(?m)^# (\w+) (\d+)$", done.stdout)}
    assert counts["pass"] == counts["tests"] >= LEAST_TESTS, counts


def test_the_clients_types_are_those_of_the_gateway() -> None:
    done = run("node", "scripts/types.mjs", "--check", stdin=document())
    assert done.returncode == 0, done.stderr


def test_the_clients_reference_is_what_it_exports() -> None:
    done = run("node", "scripts/api.mjs", "--check")
    assert done.returncode == 0, done.stderr
