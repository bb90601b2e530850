"""What processes have used, by the kernel's own accounting (Linux)."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable
from pathlib import Path


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of processor time that these processes have used so far, in all their threads."""
    # The clock of another process, as clock_getcpuclockid(3) makes its id.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def wake_ups(pids: Iterable[int]) -> int:
    """How often the threads of these processes had nothing to do and waited, so far."""
    statuses = (
        thread.joinpath("status").read_text()
        for pid in pids
        for thread in Path(f"/proc/{pid}/task").iterdir()
    )
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in statuses)


def resident_bytes(pid: int) -> int:
    """Memory that a process holds now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def many_files() -> None:
    """Let this process, and those it starts, open as many sockets as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
