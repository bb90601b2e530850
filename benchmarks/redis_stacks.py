"""Folds what perf has sampled of a Redis or Valkey server for ``flame.py``.

    perf record -e cpu-clock -F 997 -g -o redis.data -p SERVER -- sleep 10
    perf script -i redis.data -F ip,sym | python benchmarks/redis_stacks.py > stacks.txt

Lua is built without frame pointers, so a stack is cut off where a script begins: what has no
``aeMain`` below it is in a script. The kernel's functions are one frame, named by the system call.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Final

_SYSCALL: Final = "entry_SYSCALL_64_after_hwframe"
_CALLS: Final = {"write": "write", "writev": "write", "read": "read", "epoll_wait": "epoll_wait"}
_MEMORY: Final = ("malloc", "free", "realloc", "calloc", "unlink_chunk")
_UNKNOWN: Final = "[unknown]"


def stacks(samples: str) -> Iterator[list[str]]:
    """The functions of every sample, the outermost first; ``samples`` is what perf script says."""
    for sample in samples.strip().split("\n\n"):
        lines = [line.split(None, 1) for line in sample.strip().splitlines()]
        yield [line[1] if len(line) > 1 else _UNKNOWN for line in reversed(lines)]


def folded(stack: list[str]) -> str:
    """One of them as a line for ``flame.py``, without its count."""
    return ";".join(["server", *_frames(stack)])


def _frames(stack: list[str]) -> list[str]:
    own, kernel = stack, []
    if _SYSCALL in stack:
        at = stack.index(_SYSCALL)
        called = stack[at - 1].removeprefix("__GI___").removeprefix("libc_")
        own, kernel = stack[: at - 1], [f"kernel: {_CALLS.get(called, 'other')}"]
    if "aeMain" in own:
        named = [name for name in own[own.index("aeMain") + 1 :] if name != _UNKNOWN]
        return (named or ["event loop"]) + kernel
    if kernel:
        return kernel
    command = next((at for at, name in enumerate(own) if name.endswith("Command")), None)
    if command is not None:
        return ["script", "redis.call", *own[command : command + 1]]
    if any(name.startswith("VM_Call") for name in own):
        return ["script", "redis.call", "around the command"]
    leaf = own[-1].lstrip("_")
    memory = any(leaf.removeprefix("int_").startswith(name) for name in _MEMORY)
    return ["script", "memory" if memory else "Lua"]


if __name__ == "__main__":
    for line, count in Counter(map(folded, stacks(sys.stdin.read()))).most_common():
        print(line, count)
