"""Workers and gateways as processes of their own: started, and ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx

from stepwire_cli.dev import child_processes
from stepwire_cli.dev.embedded_server import free_port

LIMIT_S: Final = 30.0


@contextmanager
def gateway_at(env: Mapping[str, str], log: Path) -> Iterator[int]:
    """A gateway that answers, for as long as the block runs; its port."""
    port = free_port()
    child = child_processes.gateway(dict(env), port=port, log=log)
    child.start()

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
        return False

    try:
        until(answers, child)
        yield port
    finally:
        child.stop()


def ready(worker: child_processes.Child) -> None:
    """Return when a worker that was started with a log takes jobs."""
    until(lambda: "worker ready" in worker.output, worker)


def until(true: Callable[[], bool], child: child_processes.Child) -> None:
    """Return when it is so.

    Raises:
        RuntimeError: it does not become so; the message has what the process has said.
    """
    deadline = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline or child.exit_code is not None:
            raise RuntimeError(f"a process did not do its part:\n{child.output[-2000:]}")
        time.sleep(0.005)
