"""Gateways that stand under a path: behind nginx, behind another server, in another application."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from stack import Gateway, Stack, wait_until
from stepwire_cli.dev.child_processes import Child
from stepwire_cli.dev.embedded_server import free_port

EXAMPLES = Path(__file__).parents[1] / "examples"

PREFIX = "/stepwire"

WAYS = ("passed on", "stripped", "stripped, said by uvicorn", "mounted")


@contextmanager
def prefixed(way: str, stack: Stack, **env: str) -> Iterator[Gateway]:
    """A gateway under ``/stepwire``, reached as its clients reach it."""
    with ExitStack() as exits:
        port = free_port()
        if way == "mounted":
            command = [sys.executable, str(EXAMPLES / "mounted.py")]
            exits.enter_context(process(command, stack, PORT=str(port), **env))
        else:
            if way == "stripped, said by uvicorn":
                inner = free_port()
                command = [*UVICORN, "--port", str(inner), "--root-path", PREFIX]
                exits.enter_context(process(command, stack, **env))
            else:
                inner = stack.gateway(STEPWIRE_ROOT_PATH=PREFIX, **env).port  # type: ignore[arg-type]
            exits.enter_context(proxy(stack, port=port, gateway=inner, strips=way != "passed on"))
        gateway = Gateway(Child([]), port)
        gateway.url += PREFIX
        gateway.client = exits.enter_context(httpx.Client(base_url=gateway.url, timeout=15))
        wait_until(gateway.ready, f"a gateway, {way}")
        yield gateway


UVICORN = [sys.executable, "-m", "uvicorn", "--factory", "stepwire_gateway:create_app"]


@contextmanager
def process(command: list[str], stack: Stack, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    with (stack.folder / f"{Path(command[1]).name}-{free_port()}.log").open("wb") as log:
        running = subprocess.Popen(command, env=stack.env | env, stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            raise


@contextmanager
def proxy(stack: Stack, *, port: int, gateway: int, strips: bool) -> Iterator[None]:
    """nginx with the configuration of the example."""
    # Debian puts it where only root's PATH looks.
    program = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if program is None:
        pytest.skip("no nginx here: apt install nginx-light")
    text = (EXAMPLES / "under_a_path.conf").read_text()
    target = f"proxy_pass http://127.0.0.1:{gateway}{'/' if strips else ''};"
    for old, new in {
        "proxy_pass http://127.0.0.1:8000;": target,
        "listen 127.0.0.1:8080;": f"listen 127.0.0.1:{port};",
        "pid nginx.pid;": f"pid {stack.folder}/nginx-{port}.pid;",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    config = stack.folder / f"nginx-{port}.conf"
    config.write_text(text)
    command = [program, "-e", "stderr", "-c", str(config), "-g", "daemon off;"]
    with process(command, stack, PATH=os.environ["PATH"]):
        yield
