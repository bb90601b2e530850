"""The first moments of a process: it can be told to stop, and says in a line what is wrong."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack import wait_until
from stepwire_cli.dev.embedded_server import EmbeddedServer, free_port

SLOW_MODULE = """
    import pathlib, time
    import stepwire as cl

    pathlib.Path("loading").touch()
    time.sleep(600)
"""

UNSHARE = shutil.which("unshare")


@contextmanager
def started(
    *command: str, cwd: Path, as_first_process: bool = False, **env: str
) -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-m", "stepwire_cli", *command]
    if as_first_process:
        # Process 1 of a namespace, as in a container: signals without a handler are ignored.
        program = [str(UNSHARE), "--pid", "--fork", "--kill-child", "--", *program]
    process = subprocess.Popen(
        program,
        cwd=cwd,
        env=os.environ | {"STEPWIRE_ENV_FILE": ""} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_process(of: subprocess.Popen[str]) -> int:
    """The child of ``unshare``, as it is called from outside of its namespace."""
    children = Path(f"/proc/{of.pid}/task/{of.pid}/children")
    wait_until(lambda: bool(children.read_text().split()), "it is there")
    return int(children.read_text().split()[0])


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing, as a paused Redis."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("worker", signal.SIGTERM),
        ("gateway", signal.SIGINT),
        pytest.param("worker", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("gateway", signal.SIGTERM, marks=pytest.mark.long),
    ],
)
def test_a_process_that_waits_for_redis_ends_when_it_is_told_to(
    tmp_path: Path, silent: int, command: str, number: signal.Signals
) -> None:
    (tmp_path / "app.py").write_text(
        "import stepwire as cl\ncl.on_message(lambda: None)\nopen('loaded', 'w').close()\n"
    )
    arguments = ["app.py"] if command == "worker" else ["--port", str(free_port())]
    address = f"redis://127.0.0.1:{silent}"
    with started(command, *arguments, "--redis-url", address, cwd=tmp_path) as process:
        wait_until(lambda: has_client(silent), "it asks Redis")
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "told to stop before it was ready\n")


def has_client(port: int) -> bool:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    # The remote address of the client's end; 01: established.
    return any(
        line.split()[2] == f"0100007F:{port:04X}" and line.split()[3] == "01" for line in lines
    )


@pytest.mark.skipif(
    UNSHARE is None or os.geteuid() != 0, reason="needs unshare (util-linux), and root"
)
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_the_first_process_of_a_container_ends_while_the_users_module_is_loaded(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "app.py").write_text(textwrap.dedent(SLOW_MODULE))
    with started("worker", "app.py", cwd=tmp_path, as_first_process=True) as process:
        wait_until((tmp_path / "loading").exists, "the module is being loaded")
        os.kill(first_process(process), number)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "told to stop before it was ready\n")


def test_ctrl_c_while_a_command_is_loaded_leaves_no_traceback(tmp_path: Path) -> None:
    """A module that the command imports takes its time, as on a slow disk."""
    (tmp_path / "click.py").write_text(
        "import time\nopen('loading', 'w').close()\ntime.sleep(600)\n"
    )
    with started("tail", "s", cwd=tmp_path, PYTHONPATH=str(tmp_path)) as process:
        wait_until((tmp_path / "loading").exists, "it is being loaded")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (128 + signal.SIGINT, "")


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A .env of another user; the commands below run without root's rights."""
    tmp_path.chmod(0o755)
    for folder in list(tmp_path.parents)[:3]:
        folder.chmod(0o755)
    file = tmp_path / ".env"
    file.write_text("STEPWIRE_PORT=8000\n")
    file.chmod(0o600)
    return file


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize(
    "command",
    [
        *("worker", "tail"),
        *(pytest.param(one, marks=pytest.mark.long) for one in ("gateway", "workers")),
    ],
)
def test_a_dot_env_that_cannot_be_read_is_one_line(unreadable: Path, command: str) -> None:
    arguments = {"worker": ["app.py"], "tail": ["s"]}.get(command, [])
    done = run_in(unreadable.parent, command, *arguments, as_user=10001)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: .env cannot be read by user 10001 (Permission denied): let that user read it "
        "(chmod, chown), or name another file in STEPWIRE_ENV_FILE (empty: none is read)\n"
    )


def run_in(
    folder: Path, *arguments: str, as_user: int | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    # Measured, it would have to write where that user may not.
    mine = ("STEPWIRE", "COVERAGE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    # Loaded before it loses its rights: an interpreter below /root could not be read after.
    code = "import os, stepwire_cli.tail.live, stepwire_gateway.server\n"
    code += "from stepwire_cli.main import main\n"
    code += f"os.setuid({as_user})\n" if as_user is not None else ""
    code += "main()\n"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_env_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    for name in ("missing.env", "."):
        done = run_in(tmp_path, "workers", STEPWIRE_ENV_FILE=name)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"STEPWIRE_ENV_FILE='{name}': this file does not exist" in done.stderr
    (tmp_path / "latin.env").write_bytes("STEPWIRE_QUEUE_NAME=schön".encode("latin-1"))
    done = run_in(tmp_path, "workers", STEPWIRE_ENV_FILE="latin.env")
    assert (done.returncode, "latin.env is not text in UTF-8" in done.stderr) == (1, True)


def test_a_folder_called_dot_env_is_not_settings(tmp_path: Path, server: EmbeddedServer) -> None:
    """Virtual environments are often called so."""
    (tmp_path / ".env").mkdir()
    done = run_in(tmp_path, "workers", "--json", STEPWIRE_REDIS_URL=server.url)
    assert (done.returncode, done.stderr) == (0, "")
