"""What each process loads, and what it does not: it starts at every deploy and every reload."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Final

import pytest

PARTS: Final = {
    "handlers": "stepwire",
    "commands": "stepwire_cli.main",
    "client": "stepwire_cli.tail.live",
    "worker": "stepwire._worker.arq_worker",
}
"""Imported one after the other, so that all of them cost one process: each row below holds for a
part with those before it."""

_CONNECTS: Final = {"redis", "hiredis", "jwt", "cryptography"}
"""The libraries that a process loads when it opens a store: redis-py brings the others."""

_SERVES: Final = {"fastapi", "starlette", "uvicorn", "sse_starlette", "prometheus_client"}

_TESTS: Final = {"fakeredis", "pytest", "obstore", "openai", "langchain_core", "opentelemetry"}
"""The libraries behind extras that none of these parts asks for."""

_MODELS: Final = {"pydantic", "pydantic_core", "stepwire_core.wire.documents"}
"""What only a process that makes or reads documents needs, and the client of a gateway."""

_STORES: Final = {"stepwire_core.log.event_log", "stepwire_core.redis.standalone"}
"""Our own modules that only a process with a session needs."""

LEFT_OUT: Final = {
    "handlers": _CONNECTS
    | _MODELS
    | _STORES
    | _SERVES
    | _TESTS
    | {"arq", "click", "dotenv", "httpx", "pydantic_settings", "rich"},
    "commands": _CONNECTS | _SERVES | _TESTS | {"arq", "httpx", "rich"},
    "client": _CONNECTS | _SERVES | _TESTS | {"arq"},
    "worker": _SERVES | _TESTS,
}

PROGRAM: Final = """
import importlib, json, sys
loaded = {}
for part, module in json.loads(sys.argv[1]).items():
    importlib.import_module(module)
    ours = {name for name in sys.modules if name.startswith("stepwire_core.")}
    loaded[part] = sorted({name.partition(".")[0] for name in sys.modules} | ours)
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(PARTS)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_process_loads_no_library_that_it_does_not_need(
    loaded: dict[str, list[str]], part: str
) -> None:
    assert sorted(LEFT_OUT[part].intersection(loaded[part])) == []


def test_what_is_left_out_is_called_so_where_it_is_loaded(loaded: dict[str, list[str]]) -> None:
    """A name that is written wrong would count as left out by every part."""
    used = {"redis", "arq", "click", "httpx", "pydantic_settings", "rich"} | _STORES | _MODELS
    assert used <= {*loaded["worker"]}
    with_gateway = LEFT_OUT["handlers"] - {*loaded["worker"]}
    assert [name for name in with_gateway if importlib.util.find_spec(name) is None] == []
