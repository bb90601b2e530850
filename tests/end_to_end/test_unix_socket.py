"""Redis behind a socket of this machine (``unix://``) does all that one behind a port does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import Stack, wait_until
from stepwire_cli.dev.embedded_server import server_program

APP = """
    import stepwire as cl

    @cl.on_message
    async def main(message):
        await cl.Message(f"You said {message.content}").send()
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "s"
    process = subprocess.Popen(
        [server_program(), "--port", "0", "--unixsocket", path, "--save", "", "--dir", tmp_path],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(path.exists, "the server is up")
        yield f"unix://{path}?db=0"
    finally:
        process.kill()
        process.wait()


def test_a_run_is_streamed_through_a_unix_socket(url: str, tmp_path: Path) -> None:
    with Stack(tmp_path, url) as stack:
        stack.worker(APP)
        gateway = stack.gateway()
        session = gateway.create_session()
        run = gateway.send(session, "hello")["run_id"]
        assert gateway.wait_for_end(session, run)["status"] == "ok"
        assert gateway.snapshot(session)["steps"][-1]["output"] == "You said hello"
