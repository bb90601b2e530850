"""What perf says of a server, as the picture needs it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from redis_stacks import folded, stacks

SAMPLES = """\
        ffffffff9b10 finish_task_switch
        ffffffff9a00 do_syscall_64
        ffffffff9a99 entry_SYSCALL_64_after_hwframe
            7f0a1f10 __GI___writev
            55d0000a _writeToClient
            55d00009 beforeSleep
            55d00001 aeMain

            55d00700 lpFind
            55d00600 hmgetCommand
            55d00500 call
            55d00400 [unknown]
            55d00300 VM_CallArgv
            55d00200 [unknown]

            7f0a1a10 _int_malloc
            55d00200 [unknown]

            55d00200

            55d00400 [unknown]
            55d00300 VM_CallArgv

            55d00010 siphash
            55d0000b [unknown]
            55d0000a readQueryFromClient
            55d00001 aeMain
"""


def test_a_sample_is_where_the_server_was_as_far_as_its_stack_says() -> None:
    assert [folded(stack) for stack in stacks(SAMPLES)] == [
        "server;beforeSleep;_writeToClient;kernel: write",
        "server;script;redis.call;hmgetCommand",
        "server;script;memory",
        "server;script;Lua",
        "server;script;redis.call;around the command",
        "server;readQueryFromClient;siphash",
    ]
