"""Finalisers that emit, wherever the garbage collector runs them: nothing stands still or is lost.

Each case is a process of its own: one that hangs is ended by its own watchdog, which makes it fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from stepwire_cli.dev.embedded_server import EmbeddedServer
from stepwire_core.log.event_log import open_log
from stepwire_core.settings import Settings
from stepwire_core.values.ids import new_id

pytestmark = pytest.mark.anyio

LIMIT_S = 30

PROGRAM: Final = Path(__file__).parent / "apps/collected_anywhere.py"


@pytest.mark.parametrize(
    "what",
    [
        "a decorated generator",
        "a step in a generator",
        "a session in a generator",
        "__del__",
    ],
)
async def test_a_generator_that_is_collected_anywhere_ends_its_step_and_holds_up_nobody(
    server: EmbeddedServer, what: str
) -> None:
    session_id, count, wanted = new_id(), 400, 200
    arguments = map(str, (LIMIT_S, session_id, what, count, wanted))
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, PROGRAM, *arguments],
        env={"STEPWIRE_REDIS_URL": server.url, "STEPWIRE_SESSION_MAX_STEPS": "20000"},
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    injected, emitted = json.loads(done.stdout)
    assert injected >= wanted
    assert "Exception ignored" not in done.stderr, done.stderr[-4000:]
    async with open_log(Settings(redis_url=server.url)) as log:
        steps = (await log.snapshot(session_id)).steps
    names = [step.name for step in steps]
    expected = emitted | {"left": count}
    assert {name: names.count(name) for name in expected} == expected
    assert {step.status for step in steps} == {"ok"}
    assert {step.output for step in steps if step.name in emitted} == {"xé"}
