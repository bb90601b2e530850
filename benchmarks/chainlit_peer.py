"""The peer whose API ours is written after, in a virtual environment of its own.

    python benchmarks/chainlit_peer.py       make that environment, in build/

It holds ``websockets`` as well, the faster of the two libraries that its server can use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from stepwire_cli.dev.embedded_server import free_port

REQUIREMENTS: Final = ("chainlit==2.12.0", "websockets")

FOLDER: Final = Path(__file__).parents[1] / "build" / "chainlit-venv"

START_TIMEOUT_S: Final = 60.0

_PROGRAM: Final = FOLDER / "bin" / "chainlit"


def missing() -> str:
    """Why it cannot be measured beside us here, or nothing."""
    return "" if _PROGRAM.exists() else "chainlit is not installed, see 'make bench-peers'"


def install() -> None:
    """Make the environment; once is enough."""
    if missing():
        venv.create(FOLDER, with_pip=True, clear=True)
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)


@contextmanager
def chainlit_running(handlers: str) -> Iterator[int]:
    """A server with these handlers, for as long as the block runs; its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        app, log = Path(folder, "app.py"), Path(folder, "log")
        app.write_text(handlers)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [_PROGRAM, "run", app, "--headless", "--port", str(port)],
                # It writes its configuration, its translations and a welcome page there.
                env=os.environ | {"CHAINLIT_APP_ROOT": folder},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _wait(port, process, log)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            request = HTTPConnection("127.0.0.1", port, timeout=5)
            request.request("GET", "/project/translations?language=en-US")
            request.getresponse().read()
        except (OSError, HTTPException):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"chainlit did not start:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    install()
    print(f"{', '.join(REQUIREMENTS)}: {missing() or 'installed'}", file=sys.stderr)
