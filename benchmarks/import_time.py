"""What a starting process pays for its imports: user CPU, beside what it imports from others.

Each figure is the least of several new processes, less that of an interpreter that imports nothing.
All of them find their modules compiled, as installed packages have them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from chainlit_peer import FOLDER as CHAINLIT
from chainlit_peer import missing
from rounds import Row, table

IMPORTS: Final = {
    "import stepwire": "import stepwire",
    "modules of `stepwire worker`": "import stepwire_cli.main, stepwire._worker.arq_worker",
    "modules of `stepwire gateway`": "import stepwire_cli.main, stepwire_gateway.server",
    "modules of `stepwire tail`": "import stepwire_cli.main, stepwire_cli.tail.live",
}
PEERS: Final = {
    "import stepwire": "import asyncio, pydantic, pydantic_settings, redis.asyncio",
    "modules of `stepwire worker`": "import click, pydantic_settings, arq.worker",
    "modules of `stepwire gateway`": "import click, pydantic_settings, fastapi, uvicorn, jwt, "
    "redis.asyncio, sse_starlette, prometheus_client",
    "modules of `stepwire tail`": "import click, pydantic_settings, httpx, rich.live",
}
"""The libraries of each of ours, also those that it loads only when it connects."""

_GOALS: Final = dict.fromkeys(IMPORTS, "<= 2") | {"import stepwire": "<= 1"}

Programs = Mapping[str, tuple[str, str]]
"""The interpreter and the code of each, by name."""


def _user_ms(python: str, code: str, env: Mapping[str, str]) -> float:
    process = subprocess.Popen([python, "-c", code], env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code} failed")
    return usage.ru_utime * 1000


def _round(programs: Programs, env: Mapping[str, str], tries: int) -> dict[str, float]:
    """The least of each; they take turns, so that all of them meet the same machine."""
    least = dict.fromkeys(programs, float("inf"))
    for _ in range(tries):
        for name, (python, code) in programs.items():
            least[name] = min(least[name], _user_ms(python, code, env))
    return least


def measure(*, short: bool = False) -> list[Row]:
    rounds, tries = (1, 1) if short else (5, 4)
    chainlit = str(CHAINLIT / "bin" / "python")
    programs = {"nothing": (sys.executable, "pass")}
    measured = ["import stepwire"] if short else list(IMPORTS)
    programs |= {f"ours: {what}": (sys.executable, IMPORTS[what]) for what in measured}
    programs |= {f"peer: {what}": (sys.executable, PEERS[what]) for what in measured}
    if not missing():
        programs |= {"chainlit": (chainlit, "import chainlit; chainlit.Message")}
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    if not short:
        _round(programs, env, 1)  # compiles what has changed since the last time
    found = [_round(programs, env, tries) for _ in range(rounds)]

    def figures(name: str) -> list[float]:
        # The clock of a process may be coarse: less than nothing is nothing.
        return [max(times[name] - times["nothing"], 0.1) for times in found if name in times]

    beside = "the libraries alone"
    rows = [
        Row(what, "ms", figures(f"ours: {what}"), beside, figures(f"peer: {what}"), _GOALS[what])
        for what in measured
    ]
    # Every file of handlers imports it, as ours.
    ours, theirs = figures("ours: import stepwire"), figures("chainlit")
    peer = Row("import stepwire", "ms", ours, "import chainlit 2.12", theirs, "<= 0.5", missing())
    return [*rows, peer]


if __name__ == "__main__":
    print(table(measure(short="--short" in sys.argv)))
